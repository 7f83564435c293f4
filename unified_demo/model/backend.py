"""The tiny profile's language backend: a conversation in, surface text out, token by token.

Looks at the pictures, embeds the rendered conversation, prefills, then decodes under the rules of the representation. Pictures
that were looked at are remembered. It parses nothing and calls no expert.
"""

import threading
import time
from collections import deque
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from unified_demo import grammar
from unified_demo.config import GenerationOptions
from unified_demo.conversation import SPOKEN_OF, render_conversation
from unified_demo.errors import UnifiedError
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.messages import Artefact, Conversation, TextPart
from unified_demo.model.absence import absent
from unified_demo.model.answers import AnswerMaps, AnswerReader, likelier
from unified_demo.model.antecedents import AntecedentHead, AntecedentReader
from unified_demo.model.chinese import conversation_in_english
from unified_demo.model.decoder import Decoder
from unified_demo.model.decoding import choose, default_filters
from unified_demo.model.decoding_state import DecodingState
from unified_demo.model.encoding import LabelWords, encode_picture
from unified_demo.model.finding import Finder, Remembered, still
from unified_demo.model.focus import in_focus, is_marked, named_in, since, without_oldest
from unified_demo.model.guiding import Guide, promising, set_apart
from unified_demo.model.intents import NO_CALL, Intent, IntentReader, words_of
from unified_demo.model.likelihood import (
    BELIEVED,
    BELIEVED_OPENLY,
    PERSON,
    UNASKED,
    AnswerLikelihood,
    asks_openly,
    believed,
    leaves_unnamed,
    unasked,
)
from unified_demo.model.looking_back import UNCHANGED, Return, account, going_back
from unified_demo.model.multimodal_lm import EncodedPicture, MultimodalNetwork, ProjectedPicture
from unified_demo.model.naming import Names, StandIns, made_from
from unified_demo.model.outright import becoming, plainly, unseen
from unified_demo.model.perception import Perception
from unified_demo.model.small_talk import ADAPTERS, SmallTalk
from unified_demo.model.tokens import SurfaceWriter, Tokens, Vocabulary
from unified_demo.model.zero_shot import LONGEST_WISH, PluginChooser
from unified_demo.promises import CANNOT_SEE
from unified_demo.regions import SURE as SURE_THING
from unified_demo.regions import WHOLE_PICTURE, Region, Sight
from unified_demo.remembered import shown_in

MOST_PROMPT_TOKENS = 4096
LONGEST_PROMISE = 10
"""Tokens that may stand before a call ("Here is the clip."); they wait until it is known which call it is and that there is a tool."""
NO_TOOL = "I have no tool for {task} here."
SURE = 0.9
"""Below this share of its belief the region reader hears what the frozen language model thinks is asked for."""
NAMES = {
    MediaKind.IMAGE: ("picture", "pictures", "photo", "photograph", "image"), MediaKind.VIDEO: ("video", "clip"),
    MediaKind.AUDIO: ("sound", "recording"),
}  # fmt: skip
"""What an answer calls them."""


@dataclass(frozen=True)
class Seen:
    """A picture the model has looked at: what it adds to the prompt, its proposals' boxes, and what they were made of."""

    projected: ProjectedPicture
    boxes: tuple[Box, ...]
    sight: Sight | None = None


class TinyModel:
    """Network, vocabulary and perception of one process; safe to use from several generators at once."""

    def __init__(
        self,
        network: MultimodalNetwork,
        vocabulary: Vocabulary,
        perception: Perception,
        tasks: tuple[str, ...],
        names: Names | None = None,
        intents: IntentReader | None = None,
        antecedents: AntecedentHead | None = None,
        answers: AnswerMaps | None = None,
        small_talk: SmallTalk | None = None,
    ) -> None:
        """``tasks``: tags of the tasks on offer. The network writes calls of all; one without a tool is answered with NO_TOOL.
        ``names`` finds what is asked for by a noun that is no label; without it labels alone count. ``intents`` says which calls are
        plausible, ``antecedents`` which of several pictures is meant, ``answers`` which noun a question means, ``small_talk`` what is no
        wish at all; without them the network decides alone."""
        self.network, self.vocabulary, self.perception, self.tasks, self.names = network, vocabulary, perception, tasks, names
        self.intents, self.antecedents, self.small_talk = intents, antecedents, small_talk
        words = network.language_model.get_input_embeddings().weight.detach().cpu()
        self._antecedents = AntecedentReader(antecedents, vocabulary, words) if antecedents else None
        tags = [tag for tag in grammar.TASK_TAGS if tag not in tasks]
        self._missing = {vocabulary.tag_ids[grammar.open_tag(tag)]: tag for tag in tags}
        self._label_words = LabelWords(vocabulary, words)
        self._filters = default_filters(vocabulary)
        self._likelihood = AnswerLikelihood(network.language_model, vocabulary)
        self._chooser = PluginChooser(network.language_model, vocabulary) if vocabulary.plugins else None
        self._denial, self._blind = vocabulary.encode("There is no"), vocabulary.encode("I cannot make out")
        self._there = [vocabulary.encode(word)[0] for word in ("There", " There", "there", " there")]
        self._denials, self._nobody = vocabulary.encode(CANNOT_SEE), vocabulary.encode(f"{CANNOT_SEE} anybody")
        self._denied = {kind: [vocabulary.encode(f" {word}")[0] for word in words] for kind, words in NAMES.items()}
        self._answers = AnswerReader(answers, network.language_model, vocabulary) if answers else None
        self._finder = Finder(names, perception, self._answers) if names else None
        self._seen = Remembered[Seen]()

    def look(self, artefact: Artefact) -> Seen:
        """Perceive a picture or the first frame of a video, once, or remember what was drawn here; MediaError when its file is gone."""
        shown = [(self.names.noun_of(one.phrase), one.box) for one in shown_in(artefact)] if self.names else []
        return self._seen.of(artefact, lambda: self._project(self.perception.look(still(artefact), shown)))

    def look_for(self, seen: dict[str, Seen], conversation: Conversation) -> tuple[dict[str, Seen], StandIns | None]:
        """The pictures with proposals for what is asked for by nouns that are no labels there, and what stands in for those nouns."""
        sights = {key: item.sight for key, item in seen.items() if item.sight}
        named, stand_ins = self._finder.asked(sights, conversation) if self._finder else ({}, None)
        return seen | {key: self._project(sight) for key, sight in named.items()}, stand_ins

    def _look_for_answer(self, seen: dict[str, Seen], conversation: Conversation) -> tuple[dict[str, Seen], StandIns | None]:
        """The same for an open question, where a noun answers it better than all labels."""
        sights = {key: item.sight for key, item in seen.items() if item.sight}
        if not self._finder or not sights or is_marked(conversation) or not asks_openly(words_of(conversation)):
            return seen, None
        named, stand_ins = self._finder.answering(sights, conversation)
        return seen | {key: self._project(sight) for key, sight in named.items()}, stand_ins

    def _asked_for(
        self,
        conversation: Conversation,
        tokens: Tokens,
        projected: dict[str, ProjectedPicture],
        seen: Mapping[str, Seen],
        stand_ins: StandIns | None = None,
    ) -> tuple[dict[str, ProjectedPicture], frozenset[str]]:
        """The pictures, and the labels of what the message asks for; none where that is open. Where the region reader is not sure which
        thing it is, the frozen language model has a say, about what things are and not what stands in for them. What is marked needs
        neither.
        """
        sights = {key: item.sight for key, item in seen.items() if item.sight}
        if is_marked(conversation) or not tokens.proposals or len(sights) < len(seen):
            return projected, frozenset()
        labels = [sights[key].regions[index].label for key, index in tokens.proposals]
        shares, said = self.network.wanted(tokens, projected), words_of(conversation)
        nouns = {label: noun for noun, label in stand_ins.labels.items()} if stand_ins else {}
        real = {label: nouns.get(label, label) for label in labels}
        strange = unasked(said, list(real.values()))
        out = {label for label, noun in real.items() if noun in strange}
        sure = max((share for label, share in zip(labels, shares[1:].tolist(), strict=True) if label not in out), default=0.0)
        if sure < SURE * shares[1:].sum():
            gains = likelier(said, real.values(), self._likelihood, self._answers if stand_ins else None)
            for key, sight in sights.items():
                weighed = [gains.get(nouns.get(one.label, one.label), 0.0) + UNASKED * (one.label in out) for one in sight.regions]
                projected = projected | {key: replace(projected[key], likelier=torch.tensor(weighed, device=shares.device))}
            shares = self.network.wanted(tokens, projected)
        return projected, believed(labels, shares.tolist(), BELIEVED_OPENLY if asks_openly(said) else BELIEVED)

    def _project(self, sight: Sight) -> Seen:
        encoded = encode_picture(sight.image, sight.regions, self._label_words)
        with torch.no_grad():
            projected = self.network.project(_on(encoded, self.network.word_mean.device))
        return Seen(projected, tuple(region.box for region in sight.regions), sight)

    def generate(
        self, conversation: Conversation, options: GenerationOptions, cancel: threading.Event
    ) -> Generator[str, None, dict[str, float]]:
        """Surface text as it is decoded; ``cancel`` ends it between two pictures, before the prefill and between two tokens.

        Returns {"look_s", "prefill_s", "decode_s", "tokens", "prompt_tokens", "gate_0", ..., "layer_14_gate_0", ...}; "frozen" in place
        of the gates where the answer was left to the frozen language model.
        """
        started = time.perf_counter()
        conversation = plainly(conversation) if options.constrained else conversation
        back = going_back(conversation) if options.constrained else None
        told_of = account(conversation) if options.constrained else ""
        intent = self.intents.read(conversation) if self.intents and options.constrained and not (back or told_of) else None
        if intent and intent.plan() == (Task.REASONING_EDITING.value,):
            conversation = becoming(conversation)
        talks = intent is not None and self.small_talk is not None and self.small_talk.is_meant(conversation, intent)
        conversation = self._set_apart(conversation, intent, talks)
        artefacts = conversation.artefacts()
        images = [key for key, artefact in artefacts.items() if artefact.kind == MediaKind.IMAGE]
        about = self._about(conversation, intent)
        others = {kind for tag in (intent.plan() if intent else ()) for kind in grammar.TASKS[Task(tag)].needs}
        focus = [back.key] if back else in_focus(conversation, about, others)
        seen: dict[str, Seen] = {}
        for key in focus:
            if not cancel.is_set():
                seen[key] = self.look(artefacts[key])
        looked = time.perf_counter()
        if cancel.is_set():
            return {"look_s": looked - started}
        told = conversation_in_english(since(conversation, focus))
        seen, stand_ins = self.look_for(seen, told)
        tokens = self._tokens(stand_ins.put(told) if stand_ins else told, seen)
        wanted, wish = self.wanted(conversation) if not talks else ("", [])
        kinds = frozenset(artefact.kind for artefact in artefacts.values())
        guide = Guide(intent, self.vocabulary, kinds, bool(tokens.proposals)) if intent and not wanted and not talks else None
        plain = talks or (guide is not None and guide.leaves_to_the_frozen_model(conversation))
        projected = {key: item.projected for key, item in seen.items()}
        asked_for = frozenset[str]()
        if options.constrained and not plain and not (back or told_of) and (not stand_ins or asks_openly(words_of(conversation))):
            projected, asked_for = self._asked_for(conversation, tokens, projected, seen, stand_ins)
            found, answer = self._look_for_answer(seen, told) if not stand_ins else (seen, None)
            if answer:
                seen, stand_ins, tokens = found, answer, self._tokens(answer.put(told), found)
                projected = {key: item.projected for key, item in seen.items()}
                asked_for = frozenset(answer.labels.values())
        decoder = Decoder(self.network, tokens, projected, frozen=plain and not talks, adapters=ADAPTERS if talks else "")
        prefilled = time.perf_counter()
        named = named_in(conversation) or ([about] if about else [])
        may_be = {MediaKind.MASK, *SPOKEN_OF, *(kind for task in self.vocabulary.tasks.values() for kind in task.needs)}
        references = {key: self.vocabulary.encode(key) for key, artefact in artefacts.items() if artefact.kind in may_be}
        regions = {key: item.sight.regions for key, item in seen.items() if item.sight}
        if options.constrained:
            sure = any(region.score >= SURE_THING and region.label != WHOLE_PICTURE for row in regions.values() for region in row)
            self._admit(decoder, kinds | set(NAMES) if guide and guide.wants_something_new() else kinds, sure)
        boxes = [(key, seen[key].boxes[index]) for key, index in tokens.proposals]

        missing = self._nowhere(conversation, regions) if guide else ""
        if missing:
            guide, references = None, {}

        def begin(tasks: Sequence[str]) -> tuple[DecodingState, SurfaceWriter]:
            state = DecodingState(self.vocabulary, tokens.proposals, dict(references), tasks, most=options.max_new_tokens)
            state.wanted, state.wish, state.named, state.asked = wanted, wish, named, words_of(conversation)
            state.marked = is_marked(conversation)
            state.seen, state.believed, state.found = regions, asked_for, bool(stand_ins and asked_for) and asks_openly(state.asked)
            state.unnamed = state.found or leaves_unnamed(state.asked, asked_for)
            state.called = {label: noun for noun, label in stand_ins.labels.items()} if stand_ins else {}
            return state, SurfaceWriter(self.vocabulary, boxes, images[-1] if images else None)

        state, writer = begin(() if missing else tuple(self.vocabulary.tasks))
        lacking = unseen(state) if guide and not missing else ""
        due = deque[int]((self._nobody if missing == PERSON else self._denials) if missing else ())
        if lacking:
            told_of = f"{CANNOT_SEE} {lacking} in this picture."
        if back or told_of:
            due.extend(self._shown_again(back, tokens) if back else self.vocabulary.encode(grammar.escape(told_of)))
            due.append(self.vocabulary.end_id)
        generator = torch.Generator().manual_seed(options.seed)
        held, shown, first = "", False, decoder.logits.clone()
        while len(state.written) < options.max_new_tokens and not cancel.is_set():
            told_to = bool(due)
            token = due.popleft() if due else self._next(decoder.logits, state, options, generator)
            if guide and not told_to and (other := guide.instead(token, state, shown)):
                if other.anew:
                    guide.without_calls = other.without_calls
                    if other.without_calls:
                        first[state.written[0] if state.written else token] = -torch.inf
                    decoder.rewind(len(state.written), first.clone())
                    held, (state, writer) = "", begin(() if other.without_calls else tuple(self.vocabulary.tasks))
                due.extend(other.tokens)
                continue
            if token == self.vocabulary.end_id:
                break
            if token in self._missing:
                held = ("" if not shown else " ") + NO_TOOL.format(task=grammar.title_of(self._missing[token]))
                after = guide.go_on(self._missing[token]) if guide else NO_CALL
                if after == NO_CALL:
                    break
                yield held + " "
                held, shown = "", True
                due.append(self.vocabulary.tag_ids[grammar.open_tag(after)])
                continue
            state.add(token)
            if guide:
                guide.note(token)
            held += writer.write(token)
            if held and (plain or not self._waits(held, state, shown, guide)):
                if text := stand_ins.back(held) if stand_ins else held:
                    yield text
                held, shown = "", True
            decoder.step(token)
        text = held + writer.flush()
        if text := stand_ins.back(text) + stand_ins.rest() if stand_ins else text:
            yield text
        end = time.perf_counter()
        return {
            "look_s": looked - started,
            "prefill_s": prefilled - looked,
            "decode_s": end - prefilled,
            "tokens": float(len(state.written)),
            "prompt_tokens": float(len(tokens.ids)),
            **({"frozen": 1.0} if plain and not talks else decoder.gate_usage()),
        }

    def labels_of(self, artefacts: Mapping[str, Artefact]) -> dict[str, list[str]]:
        """What was seen in those that were looked at, by id."""
        seen = {key: self._seen.get(artefact) for key, artefact in artefacts.items()}
        return {key: [region.label for region in item.sight.regions] for key, item in seen.items() if item and item.sight}

    def guide(self, conversation: Conversation, kinds: frozenset[MediaKind], pointing: bool) -> Guide | None:
        """What holds the answer to the last message to plausible calls; None without a reader of intents, and for no words."""
        intent = self.intents.read(conversation) if self.intents else None
        return Guide(intent, self.vocabulary, kinds, pointing) if intent else None

    def _about(self, conversation: Conversation, intent: Intent | None) -> str:
        """The id of the picture, video or sound that is meant; empty where that is open."""
        if self._antecedents is None or intent is None:
            return ""
        return self._antecedents.about(conversation, intent, self.labels_of(conversation.artefacts()))

    def _set_apart(self, conversation: Conversation, intent: Intent | None, talks: bool) -> Conversation:
        """Small talk alone, and of plain chat beside pictures the words, unless it may be about what was seen in these."""
        if talks:
            return Conversation(conversation.messages[-1:])
        apart = set_apart(conversation, intent) if intent else None
        artefacts = conversation.artefacts()
        labels = {label for row in self.labels_of(artefacts).values() for label in row}
        labels |= {self.names.noun_of(one.phrase) for key in artefacts for one in shown_in(artefacts[key])} if self.names else set()
        shown = apart is not None and self._finder is not None and self._finder.is_concerned(words_of(conversation), labels)
        return conversation if apart is None or shown else apart

    def _shown_again(self, back: Return, tokens: Tokens) -> list[int]:
        """The answer that shows an earlier picture."""
        said = "Nothing was changed in" if back.phrase == UNCHANGED else "Here is"
        ids, place = self.vocabulary.tag_ids, self.vocabulary.point_base + list(tokens.proposals).index((back.key, 0))
        phrase, box = ((ids[grammar.open_tag(name)], ids[grammar.close_tag(name)]) for name in (grammar.PHRASE, grammar.BOX))
        spoken = [phrase[0], *self.vocabulary.encode(f" {back.phrase}"), phrase[1], box[0], place, box[1]]
        return [*self.vocabulary.encode(said), *spoken, *self.vocabulary.encode(".")]

    def _waits(self, held: str, state: DecodingState, shown: bool, guide: Guide | None) -> bool:
        """Whether the words so far may be no more than the promise of a call: then they wait until it is known which it is."""
        if shown or state.written[-1] >= self.vocabulary.vocab_size:
            return False
        if guide and promising(held):
            return True
        return len(state.written) < LONGEST_PROMISE and (bool(self._missing) or bool(guide and guide.wants_something_new()))

    def _next(self, logits: torch.Tensor, state: DecodingState, options: GenerationOptions, generator: torch.Generator) -> int:
        if options.constrained:
            for rule in self._filters:
                rule.apply(logits, state)
        return choose(logits, options.temperature, generator)

    def _admit(self, decoder: "Decoder", kinds: Collection[MediaKind], sure: bool) -> None:
        """An answer does not begin with "There is no picture" where there is one, nor with "I cannot make out any object" where one is
        ``sure``: then its second choice begins it."""
        first = decoder.logits
        taken = self._follow(decoder, self._denial)
        false = taken == len(self._denial) and any(int(decoder.logits.argmax()) in self._denied.get(kind, ()) for kind in kinds)
        if taken:
            decoder.rewind(taken, first)
        if false:
            first[self._there] = -torch.inf
        if sure and (taken := self._follow(decoder, self._blind)):
            decoder.rewind(taken, first)
            if taken == len(self._blind):
                first[self._blind[0]] = -torch.inf

    @staticmethod
    def _follow(decoder: "Decoder", tokens: Sequence[int]) -> int:
        """How many of these come of themselves; the decoder stands behind them."""
        taken = 0
        while taken < len(tokens) and int(decoder.logits.argmax()) == tokens[taken]:
            decoder.step(tokens[taken])
            taken += 1
        return taken

    def _nowhere(self, conversation: Conversation, regions: Mapping[str, Sequence[Region]]) -> str:
        """The kind of thing that is looked for in pictures, if the detector knows it and proposes it in none of them; else empty."""
        artefacts, prompts = conversation.artefacts(), made_from(conversation)
        if not regions or is_marked(conversation) or any(artefacts[key].kind != MediaKind.IMAGE for key in regions):
            return ""
        missing = absent(words_of(conversation), self.perception.labels, {region.label for row in regions.values() for region in row})
        return missing if all(missing not in prompts.get(key, "") for key in regions) else ""

    def wanted(self, conversation: Conversation) -> tuple[str, list[int]]:
        """(the tag of the plug-in that the last message asks for, or empty for none; the tokens of that message's words)."""
        if self._chooser is None:
            return "", []
        text = " ".join(part.text for part in conversation.messages[-1].parts if isinstance(part, TextPart))
        wish = grammar.escape(" ".join(text.split()), (*grammar.TAGS, *self.vocabulary.plugins))
        kinds = {artefact.kind for artefact in conversation.artefacts().values()}
        return self._chooser.choose(wish, kinds), self.vocabulary.encode(" " + wish)[:LONGEST_WISH]

    def _tokens(self, conversation: Conversation, seen: dict[str, Seen]) -> Tokens:
        """The prompt; when it is too long, the oldest words go first and pictures stay. UnifiedError when that is not enough."""
        counts = {key: len(item.projected.image) for key, item in seen.items()}
        boxes = {key: item.boxes for key, item in seen.items()}
        while True:
            pieces = render_conversation(conversation, tags=(*grammar.TAGS, *self.vocabulary.plugins))
            tokens = self.vocabulary.tokenize(pieces, counts, boxes)
            if len(tokens.ids) <= MOST_PROMPT_TOKENS:
                return tokens
            shorter = without_oldest(conversation)
            if shorter is None:
                raise UnifiedError(
                    f"The message has {len(tokens.ids):,} tokens with its pictures; the model reads at most {MOST_PROMPT_TOKENS:,}, "
                    "so please shorten it or start anew."
                )
            conversation = shorter


def _on(picture: EncodedPicture, device: torch.device) -> EncodedPicture:
    return EncodedPicture(**{name: tensor.to(device) for name, tensor in vars(picture).items()})
