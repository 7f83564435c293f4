"""Requests in templates, words and contents that training never used, drawn anew from the committed phrasings and the split.

For the routing benchmark. Pictures are scenes without pixels, as in training; the same seed gives the same requests.
"""

import random

from unified_demo.data.compact import compact_scene
from unified_demo.data.context import Context
from unified_demo.data.exchanges import Exchange
from unified_demo.data.knowledge import knowledge
from unified_demo.data.requests import REQUESTS, draw_request
from unified_demo.data.scenes import draw_scene
from unified_demo.evaluation.instructions import Instruction
from unified_demo.grammar import TASK_TAGS, TASKS, MediaKind, Task
from unified_demo.messages import Conversation, MediaPart, Message, TextPart

PER_TASK = 20
SEED = 20261120
WITHOUT_MEDIA = 0.08
"""Share of requests that come without the media they need; the right answer then calls nothing."""
TRIES = 40


def held_out_instructions(per_task: int = PER_TASK, seed: int = SEED) -> list[Instruction]:
    """``per_task`` requests of each of the ten tasks, captioning, questions, grounding, chat and several calls at once."""
    drawn = [_draw(task, number, random.Random(f"{seed}/{task}/{number}")) for task in REQUESTS for number in range(per_task)]
    return [instruction for instruction in drawn if instruction is not None]


def _draw(task: str, number: int, rng: random.Random) -> Instruction | None:
    labels = tuple(knowledge())
    for _ in range(TRIES):
        context = Context(labels, "held_out", settle=compact_scene)
        for kind in _media(task, rng):
            context.attach(kind, draw_scene(rng, labels, []) if kind != MediaKind.AUDIO else None, rng)
        exchange = draw_request(rng, task, context)
        if exchange:
            return _instruction(task, number, context, exchange)
    return None


def _media(task: str, rng: random.Random) -> tuple[MediaKind, ...]:
    if rng.random() < WITHOUT_MEDIA:
        return ()
    if task in TASK_TAGS:
        return TASKS[Task(task)].needs
    return (MediaKind.IMAGE,) if task in ("caption", "question", "ground", "several") else ()


def _instruction(task: str, number: int, context: Context, exchange: Exchange) -> Instruction:
    media = tuple(MediaPart(seen.artefact) for seen in context.seen.values() if not seen.made)
    text = "".join(part.text for part in exchange.user if isinstance(part, TextPart))
    return Instruction(
        id=f"held_out-{task}-{number:02d}",
        kind=task,
        part="held_out",
        language="en",
        text=text,
        conversation=Conversation((Message("user", (*media, *exchange.user)),)),
        calls=tuple(exchange.calls()),
        scenes={name: seen.scene for name, seen in context.seen.items() if seen.scene},
    )
