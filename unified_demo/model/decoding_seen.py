"""Rules of decoding that hold an answer to what was seen in the picture: captions, places, and what is there at all."""

import re
from collections.abc import Sequence

import torch

from unified_demo import grammar
from unified_demo.grammar import Box, Task
from unified_demo.model.caption_rules import BEGINNINGS, owed, phrases, shirts, sure_things, turn, verbs
from unified_demo.model.count_rules import counted, forms, phrase_closed
from unified_demo.model.decoding_rule import MOST_BOXES, LogitFilter, closing, keep
from unified_demo.model.decoding_state import DecodingState
from unified_demo.model.tokens import Vocabulary
from unified_demo.nouns import article, plural
from unified_demo.promises import CANNOT_SEE
from unified_demo.regions import COLOURS, PLACES, WHOLE_PICTURE, place_of

_ONE_OF_THEM = re.compile(
    r"\b(?:one|left|right|first|second|third|last|middle|cent(?:er|re)|other|another|front|back|behind|top|bottom|upper|lower|near\w*|next"
    r"|far\w*|(?:bigg|larg|small|tall|short)est|bigger|larger|smaller|taller|but|except|only|on|in|under|above|below|between"
    rf"|(?:{'|'.join(COLOURS)})(?= [a-z]+s\b)) |\b(?:two|three|four|five)\b|^(?!.*\b(?:replace|swap|exchange)\b).*\bwith ",
    re.IGNORECASE,
)
"""A message that may mean some of a kind."""
BEFORE_ITS_NOUN = 3
"""Tokens that may stand before the noun of a phrase, its article not counted: "small", "red"."""


class CaptionsAreSeen(LogitFilter):
    """A caption names the sure kinds of things, four at most and none twice, in their number, and points at each; a shirt has the colour
    that was measured.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.stop, self.comma, self.last, self.wears = (vocabulary.encode(word)[0] for word in (".", ",", " and", " in"))
        self.articles = {word: vocabulary.encode(f" {word}")[0] for word in ("a", "an")}
        self.beginnings = {vocabulary.encode(f" {word.capitalize()}")[0] for word in BEGINNINGS}
        self.colours = {colour: vocabulary.encode(f" {colour}")[0] for colour in COLOURS}

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        if closing(state):
            return
        if now := turn(state):
            for token, may in ((self.stop, now.end), (state.vocabulary.end_id, now.end), (self.comma, now.comma), (self.last, now.last)):
                if not may:
                    logits[token] = -torch.inf
        self._measured(logits, state)
        self._in_number(logits, state)
        self._each(logits, state)
        colours = shirts(state)
        said = state.vocabulary.tokenizer.decode(state.run).split()[2:]
        if colours == ():
            logits[self.wears] = -torch.inf
        elif colours and said:
            keep(logits, [self.articles[article(colours[0]).split()[0]] if said == ["in"] else self.colours[colours[0]]])

    def _measured(self, logits: torch.Tensor, state: DecodingState) -> None:
        """What is measured to be done is said, and then with what; nothing else is."""
        done = verbs(state)
        if done is None:
            return
        known = [state.vocabulary.encode(f" {word}") for word in done]
        follow = {ids[len(state.run)] for ids in known if ids[: len(state.run)] == state.run and len(ids) > len(state.run)}
        tags = [state.vocabulary.tag_ids[grammar.open_tag(name)] for name in (grammar.BOX, grammar.PHRASE)]
        if not state.run:
            keep(logits, [tags[0], *(follow or (self.stop, self.comma, self.last, state.vocabulary.end_id))])
        elif follow:
            keep(logits, sorted(follow))
        elif state.run in known:
            keep(logits, tags[1:])

    def _in_number(self, logits: torch.Tensor, state: DecodingState) -> None:
        """The phrase is one of those that are true, whose beginning was written; the first one also if it is to be no caption."""
        if state.innermost != grammar.PHRASE or not (state.run or state.pointed_any or int(logits.argmax()) in self.beginnings):
            return
        known = [state.vocabulary.encode(f" {phrase}") for phrase in phrases(state)]
        follow = {ids[len(state.run)] for ids in known if ids[: len(state.run)] == state.run and len(ids) > len(state.run)}
        if follow and state.run not in known:
            keep(logits, sorted(follow))

    def _each(self, logits: torch.Tensor, state: DecodingState) -> None:
        """As many boxes as the phrase says, each of such a thing."""
        if due := owed(state):
            hold_to_boxes(logits, state, *due)


def hold_to_boxes(logits: torch.Tensor, state: DecodingState, count: int, places: Sequence[int]) -> None:
    """The phrase or call that was written has ``count`` boxes, MOST_BOXES at most, on proposals among ``places``, none twice."""
    if state.innermost == grammar.BOX:
        free = [token for place in places if (token := state.vocabulary.point_base + place) not in state.pointed]
        if not state.run and free:
            keep(logits, free)
    elif state.boxes_due or state.after_box:
        open_box = state.vocabulary.tag_ids[grammar.open_tag(grammar.BOX)]
        if state.boxes < min(count, MOST_BOXES):
            keep(logits, [open_box])
        else:
            logits[open_box] = -torch.inf


class CountsAreSeen(LogitFilter):
    """The answer to "how many dogs are there?" is "There are <p>two dogs</p>" with a box on each, where so many are sure."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        found = counted(state)
        if not found or closing(state):
            return
        said, places = found
        vocabulary = state.vocabulary
        if phrase_closed(state):
            hold_to_boxes(logits, state, len(places), places)
            return
        if state.innermost == grammar.PHRASE:
            due, written, then = vocabulary.encode(f" {said}"), state.run, grammar.close_tag(grammar.PHRASE)
        else:
            beginning = "There is" if len(places) == 1 else "There are"
            due, written, then = vocabulary.encode(beginning), state.written, grammar.open_tag(grammar.PHRASE)
        if list(written) == due[: len(written)]:
            keep(logits, [due[len(written)] if len(written) < len(due) else vocabulary.tag_ids[then]])


class ChangesEachOfThem(LogitFilter):
    """ "Make the apples green" changes every apple that is sure, not one of them."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        if state.inside[:1] != [Task.REASONING_EDITING.value] or not state.pointed or closing(state) or _ONE_OF_THEM.search(state.asked):
            return
        key, index = state.proposals[state.pointed[0] - state.vocabulary.point_base]
        label = state.seen[key][index].label if key in state.seen else WHOLE_PICTURE
        several = {*forms(label), *forms(state.called.get(label, label))} - {label, state.called.get(label, label)}
        said = f" {' '.join(re.findall('[a-z]+', state.asked.lower()))} "
        if label == WHOLE_PICTURE or not any(f" {word} " in said for word in several):
            return
        known = {id(region) for region in sure_things(state) if region.label == label}
        places = [place for place, (of, number) in enumerate(state.proposals) if of == key and id(state.seen[of][number]) in known]
        if len(places) > 1:
            hold_to_boxes(logits, state, len(places), places)


class NamesWhatIsAskedFor(LogitFilter):
    """The first phrase of an answer, "the dog", is not of another kind than what the question is believed to ask for. That the words are
    to be other ones ("the puppy") is the network's, but where the question names nothing ("what barks?") it has no other words: then the
    answer is no caption either, nor does it deny what the question names besides. Captions ("a dog") are not meant, "It is a dog" is.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.articles = [vocabulary.encode(word) for word in ("the", " the", "The", " The")]
        self.counting = {word: [vocabulary.encode(word), vocabulary.encode(f" {word}")] for word in ("a", "an")}
        self.denial = vocabulary.encode(CANNOT_SEE)[0]
        self.beginnings = sorted(
            {vocabulary.encode(form)[0] for word in BEGINNINGS for form in (word.capitalize(), f" {word.capitalize()}")}
        )

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        if state.believed and state.unnamed and not state.written:
            logits[self.denial] = -torch.inf
        run = state.run
        if not state.believed or state.innermost != grammar.PHRASE or phrase_closed(state) or state.in_call or closing(state):
            return
        if not run and state.unnamed and len(state.written) == 1:
            logits[self.beginnings] = -torch.inf
        meant = [form for label in state.believed for form in _forms(state, label)]
        if state.found:
            meant = [_forms(state, label)[_count(state, label) > 1] for label in state.believed]
        said = next((run[len(ids) :] for ids in self.articles if run[: len(ids)] == ids), None)
        if said is None and state.unnamed and len(state.written) > len(run) + 1:
            said, meant = self._counted(logits, state)
        if said is None or len(said) >= BEFORE_ITS_NOUN:
            return
        if state.unnamed:
            follow = {form[len(said)] for form in meant if form[: len(said)] == said and len(form) > len(said)}
            if follow and said not in meant:
                keep(logits, sorted(follow))
            return
        kinds = {region.label for regions in state.seen.values() for region in regions if region.label not in COLOURS}
        begin = {form[0] for form in meant}
        if not begin & set(said):
            others = {form[0] for label in kinds - set(state.believed) for form in _forms(state, label)}
            logits[sorted(others - begin)] = -torch.inf

    def _counted(self, logits: torch.Tensor, state: DecodingState) -> tuple[list[int] | None, list[list[int]]]:
        """Of "It is a dog": what stands behind the article, None before it; and the labels that it fits. A wrong article is forbidden."""
        for word, begin in self.counting.items():
            fitting = [label for label in state.believed if article(label).split()[0] == word]
            if not state.run and not fitting:
                logits[[ids[0] for ids in begin]] = -torch.inf
            for ids in begin:
                if fitting and state.run[: len(ids)] == ids:
                    return state.run[len(ids) :], [state.vocabulary.encode(f" {label}") for label in fitting]
        return None, []


def _forms(state: DecodingState, label: str) -> list[list[int]]:
    """A label and its plural, as tokens."""
    return [state.vocabulary.encode(f" {word}") for word in (label, plural(label)) if word]


def _count(state: DecodingState, label: str) -> int:
    return sum(region.label == label for regions in state.seen.values() for region in regions)


class SaysWhatWasFound(LogitFilter):
    """Where what answers a question was found by its looks, or was drawn here, "<p>The camel</p><box>...</box>" or "Here is ..." with it is
    all that is known of it: then the sentence ends, and nothing but calls may follow.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.first = [vocabulary.tag_ids[grammar.open_tag(grammar.PHRASE)], vocabulary.encode("Here")[0]]
        self.stop = vocabulary.encode(".")[0]
        self.tags = [vocabulary.tag_ids[grammar.open_tag(name)] for name in vocabulary.tasks]
        self.box, self.boxed = (vocabulary.tag_ids[tag] for tag in (grammar.open_tag(grammar.BOX), grammar.close_tag(grammar.BOX)))

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        if not state.found or state.inside or closing(state):
            return
        if not state.written:
            keep(logits, self.first)
        elif self.boxed not in state.written:
            return
        elif state.written[-1] == self.boxed:
            keep(logits, [self.stop, self.box])
        else:
            keep(logits, [state.vocabulary.end_id, *self.tags])


class PlacesAreMeasured(LogitFilter):
    """Behind "<p>The dog</p><box>...</box> is" stands the place where that box is, when a place is to stand there."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.places = {place: vocabulary.encode(f" {place}") for place in PLACES}
        self.verbs = [vocabulary.encode(f" {word}") for word in ("is", "are")]

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        close = state.vocabulary.tag_ids[grammar.close_tag(grammar.BOX)]
        if state.inside or state.run_start == 0 or state.written[state.run_start - 1] != close or state.run[:1] not in self.verbs:
            return
        box, said = _first_box(state), state.run[1:]
        if box is None or (said and all(ids[: len(said)] != said for ids in self.places.values())):
            return
        right = self.places[place_of(box)]
        others = {ids[len(said)] for ids in self.places.values() if ids[: len(said)] == said and len(ids) > len(said)}
        follows = right[len(said)] if right[: len(said)] == said and len(right) > len(said) else None
        best = int(logits.argmax())
        if follows is not None and best in others | {follows}:
            keep(logits, [follows])
        elif said:
            logits[list(others)] = -torch.inf


def _first_box(state: DecodingState) -> Box | None:
    """The first one pointed at for the latest phrase."""
    close, base = state.vocabulary.tag_ids[grammar.close_tag(grammar.PHRASE)], state.vocabulary.point_base
    start = len(state.written) - state.written[::-1].index(close) if close in state.written else len(state.written)
    place = next((token - base for token in state.written[start:] if token >= base), None)
    key, index = state.proposals[place] if place is not None else ("", 0)
    return state.seen[key][index].box if key in state.seen else None


class SaysWhatIsThere(LogitFilter):
    """An answer does not begin with "I cannot see" where nothing was looked at: no picture, and no video in whose first frame something
    was found (proposal 0 is the whole frame). The expert that follows a thing looks at every frame itself; a small model that is
    unsure of a wish likes to deny.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.begun, self.cannot = vocabulary.encode("I"), vocabulary.encode(" cannot")[0]

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        found = any(index for _, index in state.proposals) or any(key.startswith("img-") for key in state.references)
        if state.written == self.begun and not found:
            logits[self.cannot] = -torch.inf
