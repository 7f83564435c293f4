"""Decoding under the token grammar: which tokens may come next, one small rule per class.

With the rules on, every answer is well-formed whatever the network prefers. Pure logic on token ids; no network, no text.
The shape follows openai/whisper: ``LogitFilter.apply(logits, state)`` sets forbidden entries to -inf.
"""

import torch

from unified_demo import grammar
from unified_demo.model.decoding_rule import MOST_BOXES, TO_CLOSE, LogitFilter, closing, keep
from unified_demo.model.decoding_seen import (
    CaptionsAreSeen,
    ChangesEachOfThem,
    CountsAreSeen,
    NamesWhatIsAskedFor,
    PlacesAreMeasured,
    SaysWhatIsThere,
    SaysWhatWasFound,
)
from unified_demo.model.decoding_state import DecodingState
from unified_demo.model.outright import SaysWhatWasSaid
from unified_demo.model.plan_rules import Bounds, bounds_of, box_due, opposite_due
from unified_demo.model.tokens import Vocabulary

LONGEST_PHRASE = 24
REPEATED_RUN = 5


class OnlyKnownTags(LogitFilter):
    """Tags must nest: open what may be opened here, close only the innermost, end the turn only outside of all tags."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        ids = state.vocabulary.tag_ids
        allowed = self._allowed(state)
        for tag, token_id in ids.items():
            if tag not in allowed:
                logits[token_id] = -torch.inf
        if state.inside or state.boxes_due:
            logits[state.vocabulary.end_id] = -torch.inf

    def _allowed(self, state: DecodingState) -> set[str]:
        name = state.innermost
        if not name:
            allowed = {grammar.open_tag(tag) for tag in (grammar.PHRASE, *state.tasks)}
            return allowed | (
                {grammar.open_tag(grammar.BOX)} if state.boxes_due or (state.after_box and state.boxes < MOST_BOXES) else set()
            )
        if name in state.vocabulary.tasks:
            return self._allowed_in_call(state, name)
        return {grammar.close_tag(name)} if state.run else set()

    def _allowed_in_call(self, state: DecodingState, name: str) -> set[str]:
        spec = state.vocabulary.tasks[name]
        if spec.needs and not state.refs_done:
            return {grammar.open_tag(grammar.REF)}
        allowed = set()
        if spec.plans:
            return self._allowed_in_plan(state, name)
        if (state.run or state.boxes) and state.boxes < MOST_BOXES:
            allowed.add(grammar.open_tag(grammar.BOX))
        if state.boxes or (state.run and not spec.needs_box):
            allowed.add(grammar.close_tag(name))
        return allowed

    def _allowed_in_plan(self, state: DecodingState, name: str) -> set[str]:
        """``<p>phrase</p>`` with one box or more, any number of times, words between."""
        if state.boxes_due:
            return {grammar.open_tag(grammar.BOX)}
        allowed = {grammar.close_tag(name)} if state.boxes else set()
        if state.boxes < MOST_BOXES:
            allowed |= {grammar.open_tag(grammar.PHRASE)} | ({grammar.open_tag(grammar.BOX)} if state.after_box else set())
        return allowed


class WordsThatShow(LogitFilter):
    """No special tokens but the end of the turn; a phrase and a call's prompt begin with a token that has a letter or digit."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        tokens = vocabulary.tokenizer.convert_ids_to_tokens(list(range(vocabulary.vocab_size)))
        special = set(vocabulary.tokenizer.all_special_ids) - {vocabulary.end_id}
        self.special = torch.tensor(sorted(token for token in special if token < vocabulary.vocab_size), dtype=torch.long)
        shows = [any(letter.isascii() and letter.isalnum() for letter in text or "") for text in tokens]
        self.hidden = ~torch.tensor([shown and index not in special | {vocabulary.end_id} for index, shown in enumerate(shows)])

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        logits[self.special] = -torch.inf
        name = state.innermost
        in_prompt = name in state.vocabulary.tasks and (state.refs_done or not state.vocabulary.tasks[name].needs)
        if (name == grammar.PHRASE or in_prompt) and not state.run and not state.boxes:
            logits[: len(self.hidden)][self.hidden] = -torch.inf
            if name not in grammar.PLANNING_TAGS:
                logits[len(self.hidden) :] = -torch.inf


class PointingOnlyInBoxes(LogitFilter):
    """A proposal may be named only right after ``<box>``, each at most once per phrase."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        base = state.vocabulary.point_base
        if state.innermost != grammar.BOX or state.run or state.planning:
            logits[base:] = -torch.inf
            return
        for token_id in state.pointed:
            logits[token_id] = -torch.inf
        if state.in_call and state.picture:
            for index, (key, _) in enumerate(state.proposals):
                if key != state.picture:
                    logits[base + index] = -torch.inf


class BoxHoldsOneBox(LogitFilter):
    """Inside ``<box>``: one proposal, or four integers in order; then the close tag and nothing else. In a plan they are where it says."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        single = {text: vocabulary.encode(text) for text in [*"0123456789,[]"]}
        self.ids = {text: ids[0] for text, ids in single.items() if len(ids) == 1}
        self.texts = {token_id: text for text, token_id in self.ids.items()}

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        if state.innermost != grammar.BOX:
            return
        base, close = state.vocabulary.point_base, state.vocabulary.tag_ids[grammar.close_tag(grammar.BOX)]
        run = state.run
        if run and run[-1] >= base:
            keep(logits, [close])
            return
        written = "".join(self.texts.get(token_id, "") for token_id in run)
        if not written:
            free = len(state.pointed) < len(state.proposals) and not state.planning
            first_points = [base + index for index in range(len(state.proposals))] if free else []
            keep(logits, [*first_points, self.ids["["]])
        elif written.endswith("]"):
            keep(logits, [close])
        else:
            keep(logits, [self.ids[text] for text in next_in_box(written, bounds_of(state))])


def next_in_box(written: str, bounds: Bounds = ()) -> list[str]:
    """Characters that may follow ``written``, the beginning of ``[x0,y0,x1,y1]``, so that x0 < x1, y0 < y1 and ``bounds`` can be kept."""
    numbers = written[1:].split(",")
    current, place = numbers[-1], len(numbers) - 1
    least = int(numbers[place - 2]) + 1 if place >= 2 else 0
    most = grammar.GRID if place >= 2 else grammar.GRID - 1
    if bounds:
        least, most = max(least, bounds[place][0]), min(most, bounds[place][1])
    follow = [digit for digit in "0123456789" if _reachable(current + digit, least, most)]
    if current and least <= int(current) <= most:
        follow.append("]" if place == 3 else ",")
    return follow


def _reachable(digits: str, least: int, most: int) -> bool:
    """Can ``digits``, perhaps with more digits behind it, become a number within least..most of at most three digits?"""
    if len(digits) > 3 or (len(digits) > 1 and digits[0] == "0"):
        return False
    if digits == "0":
        return least == 0
    return any(int(digits) * 10**more <= most and int(digits) * 10**more + 10**more - 1 >= least for more in range(4 - len(digits)))


class PhraseNeedsBox(LogitFilter):
    """After ``</p>`` comes ``<box>``; a phrase or a call's prompt has words, and not too many."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        ids = state.vocabulary.tag_ids
        if state.boxes_due:
            keep(logits, [ids[grammar.open_tag(grammar.BOX)]])
            return
        name = state.innermost
        if name == grammar.PHRASE and len(state.run) >= LONGEST_PHRASE:
            keep(logits, [ids[grammar.close_tag(grammar.PHRASE)]])
        elif name in state.vocabulary.tasks:
            self._call(logits, state, name)

    def _call(self, logits: torch.Tensor, state: DecodingState, name: str) -> None:
        """One phrase with its boxes; a plan has several."""
        ids = state.vocabulary.tag_ids
        spec = state.vocabulary.tasks[name]
        if spec.needs and not state.refs_done:
            keep(logits, [ids[grammar.open_tag(grammar.REF)]])
        elif spec.plans:
            if state.boxes >= MOST_BOXES:
                keep(logits, [ids[grammar.close_tag(name)]])
            elif len(state.run) >= LONGEST_PHRASE:
                keep(logits, [ids[grammar.open_tag(grammar.PHRASE)]])
        elif state.boxes:
            keep(logits, [ids[grammar.open_tag(grammar.BOX)], ids[grammar.close_tag(name)]][0 if state.boxes < MOST_BOXES else 1 :])
        elif len(state.run) >= LONGEST_PHRASE:
            keep(logits, [ids[grammar.open_tag(grammar.BOX)] if spec.needs_box else ids[grammar.close_tag(name)]])


class RefNamesAnArtefact(LogitFilter):
    """Inside ``<ref>``: the id of an artefact of this conversation, letter by letter, then the close tag.

    It is of a kind that the task needs where there is one; the first call's is the picture that the answer pointed into, or one that
    the question names.
    """

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        if state.innermost != grammar.REF:
            return
        run = state.run
        fitting = [key for key in state.references if _of_kind(key, state, state.wanted or state.inside[0])] or list(state.references)
        if not state.calls and not state.wanted:
            if state.picture is not None and state.picture in state.references and state.pointed_any:
                fitting = [state.picture]
            else:
                fitting = [key for key in fitting if key in state.named] or fitting
        known = [state.references[key] for key in fitting]
        allowed = {ids[len(run)] for ids in known if ids[: len(run)] == run and len(ids) > len(run)}
        if run in known:
            allowed.add(state.vocabulary.tag_ids[grammar.close_tag(grammar.REF)])
        keep(logits, sorted(allowed))


def _of_kind(key: str, state: DecodingState, task: str) -> bool:
    """Whether an artefact is of a kind that the task needs."""
    return task in state.vocabulary.tasks and key.split("-")[0] in {kind.value for kind in state.vocabulary.tasks[task].needs}


class TasksNeedTheirMedia(LogitFilter):
    """No call of a task whose picture, video or sound is not in the conversation, or is of another kind than what the answer has just
    pointed into; no grounding without proposals but in a plan.
    """

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        ids = state.vocabulary.tag_ids
        for tag in state.tasks:
            needs = state.vocabulary.tasks[tag].needs
            elsewhere = state.pointed_any and not state.calls and state.picture is not None and not _of_kind(state.picture, state, tag)
            missing = any(not any(key.startswith(kind.value + "-") for key in state.references) for kind in needs)
            if missing or (needs and elsewhere):
                logits[ids[grammar.open_tag(tag)]] = -torch.inf
        if not state.references and not state.planning:
            logits[ids[grammar.open_tag(grammar.PHRASE)]] = -torch.inf


class PlansSayWhere(LogitFilter):
    """When a plan said a place before its first thing, the opposite place comes before the second."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        if (token := opposite_due(state)) is not None and not box_due(state):
            keep(logits, [token])


class PlansCount(LogitFilter):
    """ "Three cups" of a plan have three boxes, while there is room."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        due = box_due(state)
        if due is None or state.boxes >= MOST_BOXES or len(state.written) >= state.most - 2 * TO_CLOSE:
            return
        open_box = state.vocabulary.tag_ids[grammar.open_tag(grammar.BOX)]
        if due:
            keep(logits, [open_box])
        else:
            logits[open_box] = -torch.inf


class ClosesInTime(LogitFilter):
    """With TO_CLOSE tokens left nothing new is opened, and what is open is closed as soon as it may be. A very short room is no rule."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        if not closing(state):
            return
        ids, name = state.vocabulary.tag_ids, state.innermost
        if not name and not state.boxes_due:
            logits[list(ids.values())] = -torch.inf
            return
        for tag in (grammar.close_tag(name), grammar.open_tag(grammar.BOX)) if name else ():
            if torch.isfinite(logits[ids[tag]]):
                keep(logits, [ids[tag]])
                return


class NoEndlessRepetition(LogitFilter):
    """No run of REPEATED_RUN + 1 word tokens twice in one answer: small models like to loop."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        written = state.written
        if len(written) < 2 * REPEATED_RUN or state.inside:
            return
        tail = written[-REPEATED_RUN:]
        if any(token >= state.vocabulary.vocab_size for token in tail):
            return
        for start in range(len(written) - REPEATED_RUN):
            if written[start : start + REPEATED_RUN] == tail:
                logits[written[start + REPEATED_RUN]] = -torch.inf


class PluginsWhenWanted(LogitFilter):
    """A plug-in's call is the whole answer when it was chosen (``zero_shot.py``), and is never written otherwise.

    Nobody trained its tag, so its words are those of the wish; left to the network are what it refers to and where.
    """

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        ids = state.vocabulary.tag_ids
        for tag in state.vocabulary.plugins:
            logits[ids[grammar.open_tag(tag)]] = -torch.inf
        if state.wanted and (token := self._due(state)) is not None:
            logits.fill_(-torch.inf)
            logits[token] = 0.0

    def _due(self, state: DecodingState) -> int | None:
        """The only token that may come; None where the network chooses."""
        ids, task = state.vocabulary.tag_ids, state.vocabulary.tasks[state.wanted]
        if not state.inside:
            return state.vocabulary.end_id if state.written else ids[grammar.open_tag(task.tag)]
        if state.innermost != task.tag or state.boxes or (task.needs and not state.refs_done):
            return None
        if len(state.run) < len(state.wish):
            return state.wish[len(state.run)]
        return ids[grammar.open_tag(grammar.BOX) if task.needs_box else grammar.close_tag(task.tag)]


def default_filters(vocabulary: Vocabulary) -> list[LogitFilter]:
    """All rules of the representation, in the order they are applied."""
    return [
        OnlyKnownTags(),
        WordsThatShow(vocabulary),
        PointingOnlyInBoxes(),
        BoxHoldsOneBox(vocabulary),
        PhraseNeedsBox(),
        SaysWhatWasSaid(),
        ChangesEachOfThem(),
        PlansSayWhere(),
        PlansCount(),
        CountsAreSeen(),
        NamesWhatIsAskedFor(vocabulary),
        CaptionsAreSeen(vocabulary),
        SaysWhatWasFound(vocabulary),
        PlacesAreMeasured(vocabulary),
        RefNamesAnArtefact(),
        TasksNeedTheirMedia(),
        SaysWhatIsThere(vocabulary),
        ClosesInTime(),
        NoEndlessRepetition(),
        PluginsWhenWanted(),
    ]


def choose(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> int:
    """The best token at temperature 0, else a sample."""
    if temperature == 0:
        return int(logits.argmax())
    return int(torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator))
