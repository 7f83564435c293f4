"""The tiny UnifiedMLLM as a network: frozen language model + its tuning + projectors + added tags + region reader.

Takes embeddings of words, tags, picture features and region proposals in one sequence; predicts words, tags, or "proposal i".
A proposal is a temporary word: its input embedding comes from the region projector, its output score from the region reader, which
also tells at the start of an answer what it believes is asked for. It does not read files, detect, tokenise or decode.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from unified_demo import conversation, grammar
from unified_demo.model.intents import lower_states
from unified_demo.model.lora_moe import FFN_PROJECTIONS, LoraMoeConfig, LoraMoeLinear
from unified_demo.model.passes import injecting, injection
from unified_demo.model.pointing import FACTS_WIDTH, answer_places, facts, latest_question, phrase_places
from unified_demo.model.projector import ImageProjector, RegionProjector
from unified_demo.model.reader import EMBEDDING_SCALE, Reading, RegionReader
from unified_demo.model.tokens import IMAGE_SLOT, Tokens, Vocabulary
from unified_demo.model.tuning import TunedLayer, Tuning, add_tuning, gated, is_added

OPEN_BOX = grammar.added_tokens().index(grammar.open_tag(grammar.BOX))
BELIEF_FIGURES = 3
"""What a belief has besides the label: nothing fits, the best proposal's share, something is marked."""
POINT_BIAS = 20.0
"""Pointing starts likelier than any word; logits of words reach about 20."""
SHIFT_SCALE = 50.0
"""Hidden states inside SmolLM2 have a norm of 100 to 500; the learnt shift of a tag is in units of this."""
AT_ONCE, REMEMBERED = 64, 8
"""Questions that are read at once, and that are remembered."""
BELIEVED, LIKELY, UNLIKELY = 0.5, 0.15, 1e-4
"""The question itself says where to point when something probably fits (BELIEVED) and one proposal stands out (LIKELY); what it does not
mean keeps a little (UNLIKELY), for the phrase of the answer says it too."""

TAG_NAMES = {name: name for name in ("box", "time", "layout", "edit")}
TAG_NAMES |= {"p": "phrase", "ref": "reference", "seg": "segment", "vseg": "segment video", "gen": "generate", "redit": "edit region"}
TAG_NAMES |= {"vgen": "generate video", "ivgen": "animate", "vedit": "edit video", "agen": "generate sound"}
"""The words that a trained tag begins at; a plug-in's are its title."""


@dataclass(frozen=True)
class EncodedPicture:
    """What the network needs of one picture: ``image`` (17, 384) or (0, 384); ``names`` (k, hidden) embeddings of
    every word of every label; the rest as RegionProjector takes it."""

    image: torch.Tensor
    labels: torch.Tensor
    names: torch.Tensor
    place: torch.Tensor
    colours: torch.Tensor
    features: torch.Tensor
    known: torch.Tensor
    neighbours: torch.Tensor


@dataclass(frozen=True)
class Proposals:
    """All proposals of a conversation: ``labels`` (n, hidden) mean word embeddings, ``facts`` (n, FACTS_WIDTH); ``likelier`` (n,): nats
    added to the scores of what the latest question asks for."""

    labels: torch.Tensor
    facts: torch.Tensor
    likelier: torch.Tensor


@dataclass(frozen=True)
class ProjectedPicture:
    """``image`` (17 or 0, hidden) and ``regions`` (n, hidden) to add; ``labels`` (n, hidden) to read in; ``facts`` (n, FACTS_WIDTH);
    ``names`` (k, hidden) words of the labels; ``likelier`` (n,), see ``Proposals``."""

    image: torch.Tensor
    regions: torch.Tensor
    labels: torch.Tensor
    facts: torch.Tensor
    names: torch.Tensor
    likelier: torch.Tensor


class MultimodalNetwork(nn.Module):
    """``language_model`` is a frozen ``LlamaForCausalLM``; everything else is trained.

    The layers below ``first_layer`` read words only (a proposal as its label, a tag as its name); what pictures add enters there.
    The tuning sits from there on, so the backward pass stops there too. ``tuning`` None leaves the language model as it is.
    """

    tag_words: torch.Tensor

    def __init__(self, language_model: nn.Module, tuning: Tuning | None, first_layer: int = 0) -> None:
        super().__init__()
        hidden = language_model.config.hidden_size
        self.first_layer = first_layer
        self.language_model = language_model.requires_grad_(False)
        self.tuned_layers: Sequence[TunedLayer] = add_tuning(language_model, language_model.model, tuning) if tuning else []
        self.image_projector = ImageProjector(hidden)
        self.region_projector = RegionProjector(hidden)
        self.tag_embeddings = nn.Parameter(torch.zeros(len(grammar.added_tokens()), hidden))
        self.tag_shifts = nn.Parameter(torch.zeros(len(grammar.added_tokens()), hidden))
        self.register_buffer("tag_words", torch.zeros(len(grammar.added_tokens()), hidden), persistent=False)
        self.mark = nn.Parameter(torch.randn(hidden) * 0.02)
        self.mark_slope = nn.Parameter(torch.tensor(12.0))
        self.mark_from = nn.Parameter(torch.tensor(0.6))
        self.reader = RegionReader(hidden)
        self.point_word = nn.Linear(hidden, 1)
        nn.init.zeros_(self.point_word.weight)
        nn.init.constant_(self.point_word.bias, POINT_BIAS)
        self.belief = nn.Linear(hidden + BELIEF_FIGURES, hidden)
        nn.init.zeros_(self.belief.weight)
        nn.init.zeros_(self.belief.bias)
        self._meanings: dict[tuple[int, ...], torch.Tensor] = {}
        self.turn_marks: tuple[int, ...] = (-1, -1)
        self.answer_marks: tuple[int, ...] = (-1,)
        self.register_buffer("word_mean", language_model.get_input_embeddings().weight.detach().float().mean(0), persistent=False)
        language_model.model.layers[first_layer].register_forward_pre_hook(self._inject, with_kwargs=True)

    @property
    def vocab_size(self) -> int:
        return self.language_model.config.vocab_size

    @property
    def lora_layers(self) -> list[LoraMoeLinear]:
        """The layers of LoRAMoE; none where the language model is tuned otherwise."""
        return gated(self.tuned_layers)

    @property
    def open_box(self) -> int:
        """The id of ``<box>``."""
        return self.vocab_size + OPEN_BOX

    def init_tags(self, vocabulary: Vocabulary) -> None:
        """Start each tag at the mean word embedding of its name, so that ``<seg>`` begins near the word; note how turns begin."""
        with torch.no_grad():
            self.tag_words.copy_(self._name_words(vocabulary, vocabulary.tags))
            self.tag_embeddings.copy_(self.tag_words)
        self.turn_marks = tuple(vocabulary.encode(conversation.TURN_START + "user", trusted=True)[:2])
        self.answer_marks = tuple(vocabulary.encode(conversation.ANSWER_START, trusted=True))

    def add_tags(self, vocabulary: Vocabulary) -> None:
        """Rows for the tags of plug-ins, which nobody trained: the words of each name, moved as training moved the ten tasks' tags
        in the mean, open and close tags apart."""
        trained, first = len(self.tag_words), 2 * len(grammar.GROUNDING_TAGS)
        with torch.no_grad():
            words = self._name_words(vocabulary, vocabulary.tags[trained:])
            moved, shifts = (self.tag_embeddings - self.tag_words)[first:], self.tag_shifts[first:]
            times = len(words) // 2
            moved, shifts = [rows.unflatten(0, (-1, 2)).mean(0).repeat(times, 1) for rows in (moved, shifts)]
            self.tag_embeddings = nn.Parameter(torch.cat([self.tag_embeddings, words + moved]))
            self.tag_shifts = nn.Parameter(torch.cat([self.tag_shifts, shifts]))
            self.tag_words = torch.cat([self.tag_words, words])

    def _name_words(self, vocabulary: Vocabulary, tags: Sequence[str]) -> torch.Tensor:
        """(tags, hidden): the mean word embedding of each tag's name, after "end" for a close tag."""
        words = self.language_model.get_input_embeddings().weight
        spelt = [tag.strip("</>") for tag in tags]
        ends = [" end " if tag.startswith("</") else " " for tag in tags]
        ids = [vocabulary.encode(end + TAG_NAMES.get(name, grammar.title_of(name))) for end, name in zip(ends, spelt, strict=True)]
        return torch.stack([words[row].detach().float().mean(0) for row in ids])

    def project(self, picture: EncodedPicture) -> ProjectedPicture:
        """What the picture and its proposals add at ``first_layer``."""
        regions = self.region_projector(picture.labels, picture.place, picture.colours, picture.features, picture.known, picture.neighbours)
        image = self.image_projector(picture.image) if len(picture.image) else regions.new_zeros(0, regions.shape[-1])
        return ProjectedPicture(
            image, regions, picture.labels, facts(picture.place, picture.colours), picture.names, none_likelier(picture.labels)
        )

    def embed(self, tokens: Tokens, projected: dict[str, ProjectedPicture]) -> tuple[torch.Tensor, torch.Tensor]:
        """(input embeddings, what is added at ``first_layer``), each (length, hidden) float32, for one tokenised conversation."""
        words = self.language_model.get_input_embeddings().weight
        ids = torch.tensor(tokens.ids, device=words.device)
        inputs = words[ids.clamp(0, self.vocab_size - 1)].float()
        tags = [place for place, token in enumerate(tokens.ids) if self.vocab_size <= token < self.vocab_size + len(self.tag_words)]
        slots = [(place, token, *slot) for place, (token, slot) in enumerate(zip(tokens.ids, tokens.slots, strict=True)) if slot]
        numbers = ids[tags] - self.vocab_size
        inputs[tags] = self.tag_words[numbers]
        places, added = [*tags], [*(self.tag_shifts[numbers] * SHIFT_SCALE)]
        for place, token, key, index in slots:
            picture = projected[key]
            inputs[place] = picture.labels[0 if token == IMAGE_SLOT else index]
            places.append(place)
            added.append(picture.image[index] if token == IMAGE_SLOT else picture.regions[index])
        injection = self._marks(tokens, inputs, projected)
        answers = answer_places(tokens.ids, self.answer_marks)
        if answers and tokens.proposals:
            places += answers
            added += [*(self.beliefs(tokens.ids, answers, self.proposals(tokens, projected)) * SHIFT_SCALE)]
        if places:
            injection = injection.index_copy(0, torch.tensor(places, device=words.device), torch.stack(added).float())
        return inputs, injection

    def _marks(self, tokens: Tokens, inputs: torch.Tensor, projected: dict[str, ProjectedPicture]) -> torch.Tensor:
        """(length, hidden): a learnt mark on each word that is, or is close to, a word of some proposal's label."""
        names = [picture.names for picture in projected.values()]
        if not names:
            return torch.zeros_like(inputs)
        unit = nn.functional.normalize
        close = (unit(inputs - self.word_mean, dim=-1) @ unit(torch.cat(names) - self.word_mean, dim=-1).T).amax(-1)
        words = torch.tensor([0 <= token < self.vocab_size for token in tokens.ids], device=inputs.device)
        strength = torch.sigmoid(self.mark_slope * (close - self.mark_from)) * words
        return strength[:, None] * self.mark * SHIFT_SCALE

    def run(self, inputs: torch.Tensor, injection: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """(batch, length, hidden) embeddings and injection -> last hidden states; ``kwargs`` go to the backbone (cache)."""
        backbone = self.language_model.model
        with injecting(injection.to(backbone.dtype)):
            return backbone(inputs_embeds=inputs.to(backbone.dtype), **kwargs).last_hidden_state

    def _inject(self, _module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        added = injection()
        return (args if added is None else (args[0] + added, *args[1:])), kwargs

    def beliefs(self, ids: Sequence[int], places: Sequence[int], proposals: Proposals) -> torch.Tensor:
        """(len(places), hidden): what the region reader believes each answer that starts at ``places`` is asked for.

        The label in the mean over its scores, and figures: nothing fits, how sure it is, something is marked.
        """
        readings = [self.question(ids[: place + 1], proposals) for place in places]
        with torch.no_grad():
            scores = self.reader(self.understood(readings), self.language_model.get_input_embeddings().weight).float()
            if places and places[-1] == len(ids) - 1:
                scores[-1, 1:] += proposals.likelier
            shares = scores.softmax(-1)
        label = shares[:, 1:] @ proposals.labels.float() * EMBEDDING_SCALE
        marked = torch.stack([reading.marked.any() for reading in readings]).float()
        return self.belief(torch.cat([label, shares[:, :1], shares[:, 1:].amax(-1, keepdim=True), marked[:, None]], -1))

    def reading(self, ids: Sequence[int], proposals: Proposals) -> Reading | None:
        """What the region reader needs to say which proposal comes next; None where ``ids`` do not end in ``<box>``."""
        if not ids or ids[-1] != self.open_box or not len(proposals.labels):
            return None
        return self._reading(ids, phrase_places(ids, self.open_box, self.vocab_size), proposals)

    def asked(self, ids: Sequence[int], proposals: Proposals) -> torch.Tensor | None:
        """(n,) log-probabilities of the proposals as what the latest question asks for; None where that is open (BELIEVED, LIKELY)."""
        shares = self._wanted(ids, proposals)
        if shares[0] > 1 - BELIEVED or shares[1:].max() < LIKELY:
            return None
        return (shares[1:] / shares[1:].sum() + UNLIKELY).log()

    def understood(self, readings: Sequence[Reading]) -> list[Reading]:
        """The same with what the frozen lower layers make of the questions' words; of the last few questions it is remembered."""
        asked = {tuple(reading.question) for reading in readings if len(reading.question) and reading.meaning is None}
        known = {question: states for question, states in tuple(self._meanings.items()) if question in asked}
        if new := sorted(asked - set(known), key=len):
            known |= {
                row: states for start in range(0, len(new), AT_ONCE) for row, states in self._meanings_of(new[start : start + AT_ONCE])
            }
            self._meanings = dict(list(known.items())[-REMEMBERED:])
        return [replace(reading, meaning=known.get(tuple(reading.question), reading.meaning)) for reading in readings]

    def _meanings_of(self, questions: Sequence[tuple[int, ...]]) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
        """Each question with the (length, hidden) states of its words."""
        backbone = self.language_model.model
        rows = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in questions], batch_first=True)
        with torch.no_grad():
            states = lower_states(backbone, rows.to(backbone.embed_tokens.weight.device), self.first_layer)
        yield from ((row, one[: len(row)]) for row, one in zip(questions, states, strict=True))

    def wanted(self, tokens: Tokens, projected: dict[str, ProjectedPicture]) -> torch.Tensor:
        """(1 + n,): how probable the reader finds it that the latest question asks for nothing that is there, and for each proposal."""
        return self._wanted(tokens.ids, self.proposals(tokens, projected))

    def _wanted(self, ids: Sequence[int], proposals: Proposals) -> torch.Tensor:
        with torch.no_grad():
            words = self.language_model.get_input_embeddings().weight
            scores = self.reader(self.understood([self.question(ids, proposals)]), words)[0].float()
        return torch.cat([scores[:1], scores[1:] + proposals.likelier]).softmax(-1)

    def question(self, ids: Sequence[int], proposals: Proposals) -> Reading:
        """What the region reader needs to say what the user's latest turn asks for."""
        return self._reading(ids, (), proposals)

    def _reading(self, ids: Sequence[int], phrase: Sequence[int], proposals: Proposals) -> Reading:
        base = self.vocab_size + len(self.tag_words)
        question = latest_question(ids, self.turn_marks)
        pointed, marked = torch.zeros(2, len(proposals.labels), dtype=torch.bool, device=proposals.labels.device)
        pointed[[token - base for token in ids[phrase[-1] :] if token >= base] if phrase else []] = True
        marked[[token - base for token in question if token >= base]] = True
        words = [token for token in question if 0 <= token < self.vocab_size]
        return Reading(words, [ids[place] for place in phrase], proposals.labels, proposals.facts, pointed, marked)

    def proposals(self, tokens: Tokens, projected: dict[str, ProjectedPicture]) -> Proposals:
        """The proposals of all pictures of a tokenised conversation, in the order of their pointing tokens."""
        rows = [tuple(getattr(projected[key], name)[index] for name in ("labels", "facts", "likelier")) for key, index in tokens.proposals]
        if not rows:
            empty = self.word_mean.new_zeros(0, len(self.word_mean))
            return Proposals(empty, empty.new_zeros(0, FACTS_WIDTH), none_likelier(empty))
        return Proposals(*(torch.stack(column) for column in zip(*rows, strict=True)))

    def logits(self, hidden: torch.Tensor, readings: Sequence[Reading | None], proposals: int) -> torch.Tensor:
        """(n, hidden) and what the region reader needs at each place -> (n, vocab + tags + proposals) float32.

        Pointing is one more word, whose probability the region reader shares out; proposals have -inf where there is no reading.
        """
        word_logits = self.language_model.lm_head(hidden.to(self.language_model.model.dtype)).float()
        tag_logits = nn.functional.linear(hidden.float(), self.tag_embeddings.float())
        points = tag_logits.new_full((len(readings), proposals), -torch.inf)
        places = [place for place, reading in enumerate(readings) if reading]
        if places:
            words = self.language_model.get_input_embeddings().weight
            read = self.reader(self.understood([reading for reading in readings if reading]), words)
            read = read[:, 1:].float().log_softmax(-1) + self.point_word(hidden[places].float())
            points = points.index_copy(0, torch.tensor(places, device=points.device), read)
        return torch.cat([word_logits, tag_logits, points], -1)

    def trained_state(self) -> dict[str, torch.Tensor]:
        """Everything that training changes, by name."""
        return {name: tensor for name, tensor in self.state_dict().items() if not _is_frozen(name)}

    def load_trained(self, state: dict[str, torch.Tensor]) -> None:
        """Inverse of ``trained_state``; KeyError names what is missing or unknown."""
        expected = set(self.trained_state())
        if expected != set(state):
            raise KeyError(f"missing: {sorted(expected - set(state))[:3]}, unknown: {sorted(set(state) - expected)[:3]}")
        self.load_state_dict(state, strict=False)


def none_likelier(labels: torch.Tensor) -> torch.Tensor:
    """(n,) zeros for (n, hidden) labels."""
    return labels.new_zeros(len(labels), dtype=torch.float32)


def _is_frozen(name: str) -> bool:
    return name.startswith("language_model.") and not is_added(name)


def default_lora(layers: range, adapters: int = 4, rank: int = 8, targets: tuple[str, ...] = FFN_PROJECTIONS) -> LoraMoeConfig:
    """LoRAMoE on ``targets`` of the decoder layers ``layers``; alpha is twice the rank."""
    return LoraMoeConfig(
        adapters=adapters,
        r=rank,
        lora_alpha=2 * rank,
        target_modules=list(targets),
        layers_to_transform=list(layers),
        layers_pattern="layers",
    )
