"""Measures of routing: did the answer call the right tasks, all of them, with the right arguments, in well-formed notation?

Compares expected with parsed calls (``messages.TaskCall``) and runs the one parser over raw answers. The definitions are ours:
UnifiedMLLM (arXiv 2408.02503) publishes none. Pure functions; nothing is executed.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from unified_demo.evaluation.classification_metrics import Proportion, proportion
from unified_demo.grammar import TASKS, Box, Task, next_id
from unified_demo.messages import GrammarWarning, TaskCall
from unified_demo.parser import StreamParser

MIN_IOU = 0.5
MIN_WORDS = 0.5
"""F1 of content words that a prompt must reach."""
STOP_WORDS = frozenset({
    "a", "an", "the", "this", "that", "these", "those", "it", "its", "them", "they", "he", "she", "i", "me", "my", "we", "us", "our",
    "you", "your", "of", "in", "on", "at", "to", "for", "from", "with", "and", "or", "so", "is", "are", "be", "was", "were", "do",
    "does", "did", "please", "can", "could", "would", "will", "just", "some", "any", "make", "turn", "into", "let", "as", "by",
    "image", "picture", "photo", "video", "clip", "sound",
})  # fmt: skip


@dataclass(frozen=True)
class ParsedAnswer:
    """What the parser took from one raw answer; ``warnings`` are the sentences of its GrammarWarnings."""

    calls: tuple[TaskCall, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class CallVerdict:
    """One expected call against the parsed call it was paired with. ``found`` False: there is none, all else is False."""

    found: bool
    refs: bool = False
    boxes: bool = False
    words: bool = False

    @property
    def right(self) -> bool:
        return self.found and self.refs and self.boxes and self.words


@dataclass(frozen=True)
class RoutingVerdict:
    """One answer. ``task``: the first call is of the right task (or rightly none); ``all_calls``: the same tasks, each as often;
    ``in_order``: the same tasks in the same order; ``calls``: a verdict for each expected call."""

    task: bool
    all_calls: bool
    in_order: bool
    calls: tuple[CallVerdict, ...]


@dataclass(frozen=True)
class RoutingScores:
    """Over answers; ``arguments``, ``refs``, ``boxes`` and ``words`` are shares of expected calls, missing ones count as wrong."""

    task: Proportion
    all_calls: Proportion
    in_order: Proportion
    arguments: Proportion
    refs: Proportion
    boxes: Proportion
    words: Proportion


def parse_answer(raw: str) -> ParsedAnswer:
    """The calls of a raw answer and what the parser complained of; never raises on any text."""
    parser = StreamParser()
    events = parser.feed(raw) + parser.close()
    calls = tuple(event for event in events if isinstance(event, TaskCall))
    return ParsedAnswer(calls, tuple(event.message for event in events if isinstance(event, GrammarWarning)))


def call_complaint(call: TaskCall, known: Collection[str] | None = None) -> str | None:
    """What a call lacks of what ``grammar.TASKS`` says its task needs, in words; None when nothing.

    An id begins with its kind (``img-1``). ``known``: ids of the conversation; a reference to another one is a complaint.
    """
    if call.task not in {task.value for task in Task}:
        return f"{call.task} is no task"
    spec = TASKS[Task(call.task)]
    kinds = {ref.split("-", 1)[0] for ref in call.refs}
    for kind in spec.needs:
        if kind.value not in kinds:
            return f"{spec.title} refers to no {kind.name.lower()}"
    if spec.needs_box and not any(region.boxes for region in call.regions):
        return f"{spec.title} has no box"
    strangers = [ref for ref in call.refs if known is not None and ref not in known]
    return f"{strangers[0]} is not in the conversation" if strangers else None


def is_well_formed(raw: str, known: Collection[str] | None = None) -> bool:
    """The parser takes the answer without a warning and every call carries what its task needs.

    A call may name what an earlier one of the answer will give.
    """
    answer = parse_answer(raw)
    there = None if known is None else list(known)
    for call in answer.calls:
        if call_complaint(call, there):
            return False
        if there is not None:
            there.append(next_id(TASKS[Task(call.task)].gives, there))
    return not answer.warnings


def well_formedness(raws: Sequence[str], known: Sequence[Collection[str] | None] | None = None) -> Proportion:
    """Share of raw answers that are well-formed; ``known`` in the same order as the answers, or None."""
    ids = known if known is not None else [None] * len(raws)
    return proportion(sum(is_well_formed(raw, there) for raw, there in zip(raws, ids, strict=True)), len(raws))


def content_words(text: str) -> Counter[str]:
    """Lower-case words that are no stop words, a plural s removed; Chinese characters count one by one."""
    words = re.findall(r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+", text.lower())
    return Counter(word.removesuffix("s") if len(word) > 3 else word for word in words if word not in STOP_WORDS)


def word_overlap(expected: str, got: str) -> float:
    """F1 of content words, 0..1; 1 when both have none."""
    wanted, found = content_words(expected), content_words(got)
    if not wanted and not found:
        return 1.0
    return 2 * (wanted & found).total() / (wanted.total() + found.total())


def boxes_match(expected: TaskCall, got: TaskCall, min_iou: float = MIN_IOU) -> bool:
    """As many boxes, and a pairing (greedy, best first) in which each pair has at least this IoU and lies in the same artefact."""
    wanted, found = _placed_boxes(expected), _placed_boxes(got)
    if len(wanted) != len(found):
        return False
    pairs = sorted(
        ((box.iou(other), i, j) for i, (place, box) in enumerate(wanted) for j, (there, other) in enumerate(found) if place == there),
        reverse=True,
    )
    left, right = set(range(len(wanted))), set(range(len(found)))
    for iou, i, j in pairs:
        if iou >= min_iou and i in left and j in right:
            left.discard(i)
            right.discard(j)
    return not left


def _placed_boxes(call: TaskCall) -> list[tuple[str | None, Box]]:
    """Boxes with the artefact they lie in; a region that names none lies in the call's first reference."""
    first = call.refs[0] if call.refs else None
    return [(region.artefact_id or first, box) for region in call.regions for box in region.boxes]


def judge_call(expected: TaskCall, got: TaskCall | None) -> CallVerdict:
    """References equal as sets (their order matters to no task), boxes as ``boxes_match``, prompt words F1 >= MIN_WORDS."""
    if got is None:
        return CallVerdict(False)
    return CallVerdict(
        found=True,
        refs=set(expected.refs) == set(got.refs),
        boxes=boxes_match(expected, got),
        words=word_overlap(expected.prompt, got.prompt) >= MIN_WORDS,
    )


class Wanted(Protocol):
    """An expected call, whatever else is known of it."""

    @property
    def task(self) -> str: ...


Call = TypeVar("Call", bound=Wanted)


def judge(expected: Sequence[TaskCall], got: Sequence[TaskCall]) -> RoutingVerdict:
    """One answer; each expected call is paired with the parsed call of its task that fits best and is still free."""
    return judge_by(judge_call, expected, got)


def judge_by(verdict_of: Callable[[Call, TaskCall], CallVerdict], expected: Sequence[Call], got: Sequence[TaskCall]) -> RoutingVerdict:
    """``judge`` with another way of judging a single call."""
    wanted, found = [call.task for call in expected], [call.task for call in got]
    free, verdicts = list(got), []
    for call in expected:
        candidates = [(other, verdict_of(call, other)) for other in free if other.task == call.task]
        if not candidates:
            verdicts.append(CallVerdict(False))
            continue
        best, verdict = max(candidates, key=lambda pair: pair[1].refs + pair[1].boxes + pair[1].words)
        free.remove(best)
        verdicts.append(verdict)
    return RoutingVerdict(wanted[:1] == found[:1], Counter(wanted) == Counter(found), wanted == found, tuple(verdicts))


def routing_scores(verdicts: Sequence[RoutingVerdict]) -> RoutingScores:
    """Shares with their intervals over all answers (and over all expected calls)."""
    calls = [call for verdict in verdicts for call in verdict.calls]
    answers, expected = len(verdicts), len(calls)
    return RoutingScores(
        task=proportion(sum(verdict.task for verdict in verdicts), answers),
        all_calls=proportion(sum(verdict.all_calls for verdict in verdicts), answers),
        in_order=proportion(sum(verdict.in_order for verdict in verdicts), answers),
        arguments=proportion(sum(call.right for call in calls), expected),
        refs=proportion(sum(call.refs for call in calls), expected),
        boxes=proportion(sum(call.boxes for call in calls), expected),
        words=proportion(sum(call.words for call in calls), expected),
    )
