"""The benchmark ``routing``: which tasks an answer calls, with which arguments, and whether it is well-formed.

Two parts: hand-written instructions in words that templates never use, and requests in templates that were held out. Systems that
cannot plan a region get the whole picture. Experts are not run: the decision is measured, not the pictures.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from unified_demo.errors import UnifiedError
from unified_demo.evaluation.benchmark import ALL, Context, Result, Row, grouped, mean, stratified
from unified_demo.evaluation.held_out import held_out_instructions
from unified_demo.evaluation.instructions import ExpectedCall, Instruction, read_instructions
from unified_demo.evaluation.keyword_router import KeywordRouter
from unified_demo.evaluation.routers import FewShotRouter, ModelRouter, RoutingSystem
from unified_demo.evaluation.routing_metrics import (
    CallVerdict,
    RoutingVerdict,
    call_complaint,
    is_well_formed,
    judge,
    judge_by,
    parse_answer,
    routing_scores,
)
from unified_demo.grammar import BOX, TASKS, Task, open_tag
from unified_demo.media import MediaStore
from unified_demo.messages import TaskCall

log = logging.getLogger(__name__)

MEASURES = {
    "task": "the first call is of the right task, or there is rightly none",
    "all calls": "the same tasks are called, each as often",
    "in order": "the same tasks in the same order",
    "arguments": "share of expected calls with references, region and words all right",
    "references": "share of expected calls that refer to the media they need",
    "words": "share of expected calls whose words name what was asked for",
    "well-formed": "share of answers that the parser takes without a warning, every call complete",
    "region": "share of requests to point at something that are answered with a box and no call",
}
UNTRAINED_TOKENS = 48


@dataclass(frozen=True)
class Answered:
    """One answer of one system and what was found of it."""

    instruction: Instruction
    raw: str
    verdict: RoutingVerdict
    well_formed: bool
    seconds: float
    error: str = ""


class Routing:
    name = "routing"
    title = "Routing: which expert, with what"
    systems = ("model", "model unconstrained", "keywords", "few-shot", "untrained")

    def run(self, context: Context) -> Result:
        """Raises ModelLoadError without weights (for the systems that need them)."""
        store = MediaStore(context.out / "media")
        written, complaints = read_instructions(store)
        instructions = stratified([*written, *held_out_instructions()], lambda item: (item.part, item.kind, item.language), context.limit)
        rows: list[Row] = []
        samples: list[dict] = []
        for name in context.chosen(self.systems):
            system = self._build(name, context)
            answered = [ask(system, item) for item in instructions]
            rows += summarise(name, answered)
            samples += [_sample(name, item) for item in answered]
        return Result(tuple(rows), MEASURES, tuple(samples), tuple(complaints))

    def _build(self, name: str, context: Context) -> RoutingSystem:
        subjects = context.subjects
        builders: dict[str, Callable[[], RoutingSystem]] = {
            "model": lambda: ModelRouter(name, subjects.symbolic()),
            "model unconstrained": lambda: ModelRouter(name, subjects.symbolic(), constrained=False),
            "keywords": KeywordRouter,
            "few-shot": lambda: FewShotRouter(subjects.frozen()),
            "untrained": lambda: ModelRouter(name, subjects.untrained(), most_tokens=UNTRAINED_TOKENS),
        }
        return builders[name]()


def ask(system: RoutingSystem, instruction: Instruction) -> Answered:
    """One answer, judged; an error that is meant for people is a wrong answer."""
    started, error = time.perf_counter(), ""
    try:
        raw = system.answer(instruction)
    except UnifiedError as exc:
        raw, error = "", str(exc)
    seconds = time.perf_counter() - started
    known = tuple(instruction.conversation.artefacts())
    got = parse_answer(raw).calls
    whole = [call for call in instruction.calls if isinstance(call, TaskCall)]
    worded = [call for call in instruction.calls if isinstance(call, ExpectedCall)]
    verdict = judge(whole, got) if whole else judge_words(worded, got, known)
    log.info("%s %s: %s -> %s", system.name, instruction.id, instruction.text, raw)
    return Answered(instruction, raw, verdict, bool(raw) and is_well_formed(raw, known), seconds, error)


def judge_words(expected: Sequence[ExpectedCall], got: Sequence[TaskCall], known: Sequence[str]) -> RoutingVerdict:
    """As ``routing_metrics.judge``, where only words are expected: right when each is said, in the prompt or in a region's phrase;
    references are right when the media that the task needs are named, the region when there is one if the task needs one."""
    return judge_by(lambda call, other: _judge_call(call, other, known), expected, got)


def _judge_call(expected: ExpectedCall, got: TaskCall, known: Sequence[str]) -> CallVerdict:
    said = " ".join((got.prompt, *(region.phrase for region in got.regions))).lower()
    spec = TASKS[Task(got.task)]
    boxed = not spec.needs_box or any(region.boxes for region in got.regions)
    complaint = call_complaint(got, known)
    refs = complaint is None or (not boxed and complaint.endswith("has no box"))
    return CallVerdict(True, refs, boxed, all(any(word in said for word in words) for words in expected.content))


def groups_of(item: Answered) -> Iterator[str]:
    """Its part; its part and language; its part and kind."""
    instruction = item.instruction
    yield instruction.part
    if instruction.part == "ood":
        yield f"{instruction.part}/{instruction.language}"
    yield f"{instruction.part}: {instruction.kind}"


def summarise(system: str, answered: Sequence[Answered]) -> list[Row]:
    """Rows for every answer, and for each part, language and kind."""
    by_group = {ALL: list(answered)} | grouped(answered, groups_of)
    return [Row(system, group, len(items), figures(items)) for group, items in sorted(by_group.items()) if items]


def figures(answered: Sequence[Answered]) -> dict[str, float | None]:
    scores = routing_scores([item.verdict for item in answered])
    pointed = [_points(item) for item in answered if item.instruction.kind == "grounding"]
    calls = scores.arguments.total
    return {
        "task": scores.task.value,
        "all calls": scores.all_calls.value,
        "in order": scores.in_order.value,
        "arguments": scores.arguments.value if calls else None,
        "references": scores.refs.value if calls else None,
        "words": scores.words.value if calls else None,
        "well-formed": mean([float(item.well_formed) for item in answered]),
        "region": mean([float(value) for value in pointed]),
    }


def _points(item: Answered) -> bool:
    return open_tag(BOX) in item.raw and item.verdict.all_calls


def _sample(system: str, item: Answered) -> dict:
    instruction = item.instruction
    return {
        "system": system,
        "id": instruction.id,
        "kind": instruction.kind,
        "part": instruction.part,
        "language": instruction.language,
        "text": instruction.text,
        "expected": [call.task for call in instruction.calls],
        "raw": item.raw,
        "right": item.verdict.all_calls,
        "calls": [asdict(call) for call in item.verdict.calls],
        "well_formed": item.well_formed,
        "seconds": round(item.seconds, 3),
        "error": item.error,
    }
