"""The benchmark ``references``: does a call of a later turn refer to the artefact that is meant, an upload or an earlier output?

Dialogues of seven turns are drawn in held-out templates; each turn whose right answer refers to something is asked with the right
history before it. Pictures are scenes without pixels. The baseline calls the right task on the latest artefact of its kind.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from unified_demo.config import GenerationOptions
from unified_demo.data.compact import compact_scene
from unified_demo.data.knowledge import knowledge
from unified_demo.data.multitask import Dialogue, write_dialogue
from unified_demo.data.scenes import Scene, draw_scene
from unified_demo.evaluation.benchmark import ALL, Context, Result, Row, grouped, stratified
from unified_demo.evaluation.routers import raw_answer
from unified_demo.evaluation.routing_metrics import parse_answer
from unified_demo.grammar import TASKS, Task
from unified_demo.messages import Conversation, TaskCall

MEASURES = {
    "references": "the calls of the answer refer to exactly what is meant",
    "task": "the answer calls the right tasks",
    "both": "right tasks with the right references",
}
TURNS = 7
DIALOGUES = 60
SEED = 20261120
MOST_TOKENS = 128


@dataclass(frozen=True)
class Question:
    """One turn: the history up to the user's request, the calls that should come, and how hard it is to know what is meant."""

    dialogue: int
    turn: int
    history: Conversation
    calls: tuple[TaskCall, ...]
    scenes: Mapping[str, Scene]
    choices: int
    latest: bool

    @property
    def refs(self) -> frozenset[str]:
        return frozenset(ref for call in self.calls for ref in call.refs)


@dataclass(frozen=True)
class Answered:
    question: Question
    raw: str
    refs_right: bool
    tasks_right: bool


class References:
    name = "references"
    title = "References to earlier artefacts over several turns"
    systems = ("model", "latest")

    def run(self, context: Context) -> Result:
        """``limit`` counts questions. Raises ModelLoadError without weights."""
        names = context.chosen(self.systems)
        asked = [question for number in range(DIALOGUES) for question in questions(number, draw_dialogue(number))]
        chosen = stratified(asked, lambda question: (question.turn, question.latest), context.limit)
        rows: list[Row] = []
        samples: list[dict] = []
        for name in names:
            answers = [latest_answer(item) if name == "latest" else self._ask(item, context) for item in chosen]
            judged = [judge(item, raw) for item, raw in zip(chosen, answers, strict=True)]
            rows += summarise(name, judged)
            samples += [_sample(name, item) for item in judged]
        return Result(tuple(rows), MEASURES, tuple(samples))

    def _ask(self, question: Question, context: Context) -> str:
        return raw_answer(context.subjects.symbolic(), question.history, GenerationOptions(max_new_tokens=MOST_TOKENS), question.scenes)


def draw_dialogue(number: int, turns: int = TURNS) -> Dialogue:
    """The dialogue with this number, always the same."""
    rng = random.Random(f"{SEED}/{number}")
    labels = tuple(knowledge())
    return write_dialogue(rng, lambda chance: draw_scene(chance, labels, []), labels, turns, "held_out", compact_scene)


def questions(number: int, dialogue: Dialogue) -> Iterator[Question]:
    """Turns whose calls refer only to what is there before the answer."""
    scenes = {name: seen.scene for name, seen in dialogue.seen.items() if seen.scene}
    for turn, exchange in enumerate(dialogue.exchanges):
        history = Conversation(dialogue.conversation.messages[: 2 * turn + 1])
        known = history.artefacts()
        calls = tuple(exchange.calls())
        refs = [ref for call in calls for ref in call.refs]
        if not refs or not set(refs) <= set(known):
            continue
        same = [key for key, artefact in known.items() if artefact.kind == known[refs[0]].kind]
        yield Question(number, turn + 1, history, calls, scenes, len(same), set(refs) == {same[-1]})


def latest_answer(question: Question) -> str:
    """The right tasks, each on the latest artefact of the kind it needs; no words."""
    known = list(question.history.artefacts())
    raw = ""
    for call in question.calls:
        kinds = TASKS[Task(call.task)].needs
        refs = [next((key for key in reversed(known) if key.startswith(f"{kind.value}-")), "") for kind in kinds]
        inner = "".join(f"<ref>{ref}</ref>" for ref in refs if ref)
        raw += f"<{call.task}>{inner}it<box>[0,0,999,999]</box></{call.task}>"
    return raw


def judge(question: Question, raw: str) -> Answered:
    got = parse_answer(raw).calls
    tasks = sorted(call.task for call in got) == sorted(call.task for call in question.calls)
    return Answered(question, raw, frozenset(ref for call in got for ref in call.refs) == question.refs, tasks)


def summarise(system: str, answered: Sequence[Answered]) -> list[Row]:
    """All; those with a choice between artefacts of the kind; those not about the latest one; by turn."""
    by_group = {ALL: list(answered)} | grouped(answered, _groups)
    return [Row(system, group, len(items), _figures(items)) for group, items in sorted(by_group.items()) if items]


def _groups(item: Answered) -> Iterator[str]:
    question = item.question
    if question.choices > 1:
        yield "choice"
        yield "choice: the latest" if question.latest else "choice: an earlier one"
    yield f"turn {question.turn}"


def _figures(items: Sequence[Answered]) -> dict[str, float | None]:
    return {
        "references": sum(item.refs_right for item in items) / len(items),
        "task": sum(item.tasks_right for item in items) / len(items),
        "both": sum(item.refs_right and item.tasks_right for item in items) / len(items),
    }


def _sample(system: str, item: Answered) -> dict:
    question = item.question
    text = "".join(getattr(part, "text", "") for part in question.history.messages[-1].parts)
    return {
        "system": system,
        "dialogue": question.dialogue,
        "turn": question.turn,
        "text": text,
        "expected": [[call.task, *call.refs] for call in question.calls],
        "raw": item.raw,
        "references": item.refs_right,
        "task": item.tasks_right,
    }
