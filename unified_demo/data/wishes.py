"""Whole wishes: messages written one by one, each with what the tool shall be told, or with an answer in words alone.

Phrasings are frames with slots; people also ask in ways that no frame has ("my feet hurt just looking at this trail, can it be winter
there?"). The wishes are in ``wishes/*.toml``, a table per task and "none" for what needs no tool. All of them are for training.
"""

import tomllib
from functools import cache
from pathlib import Path

from unified_demo.data.changes import changed
from unified_demo.data.context import Event
from unified_demo.data.creations import USUAL_SECONDS, sound_prompt
from unified_demo.data.exchanges import Exchange, Outcome, Writer, call
from unified_demo.grammar import TASKS, Task, TimeSpan
from unified_demo.messages import TextPart
from unified_demo.promises import PROMISES

FOLDER = Path(__file__).with_name("wishes")
NONE, LAYOUT = "none", Task.LAYOUT_GENERATION.value
CREATED = (Task.IMAGE_GENERATION.value, Task.VIDEO_GENERATION.value, Task.AUDIO_GENERATION.value)
"""Tasks whose wishes need nothing in the conversation."""


@cache
def wishes() -> dict[str, tuple[tuple[str, str, str], ...]]:
    """task or "none" -> (message, what the tool is told or what is answered, language)."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        for task, rows in tomllib.loads(path.read_text(encoding="utf-8")).items():
            found.setdefault(task, []).extend((asked, told, path.stem) for asked, told in rows.items())
    return {task: tuple(rows) for task, rows in found.items()}


class WishWriter(Writer):
    """Writes one whole wish of a task, with its answer."""

    def wish(self, task: str, language: str) -> Exchange | None:
        """In one ``language`` ("english", "chinese").

        None for a task without wishes, for layouts (their boxes are not known), and where there is not one picture or video that it
        can mean.
        """
        fitting = [row for row in wishes().get(task, ()) if row[2] == language]
        if not fitting or task == LAYOUT:
            return None
        asked, told, _ = self.rng.choice(fitting)
        name = f"{task}.{'chinese' if language == 'chinese' else 'wish'}"
        if task == NONE:
            return Exchange("chat", (name,), (TextPart(asked),), (TextPart(told),))
        tag = Task(task)
        kind = next(iter(TASKS[tag].needs), None)
        if kind and len(self.context.of_kind(kind)) != 1:
            return None
        choice = self.pick(kind) if kind else None
        if choice and choice.seen.made and "my" in asked.lower().split():
            return None
        prompt = sound_prompt(told, USUAL_SECONDS) if tag == Task.AUDIO_GENERATION else told
        answer = (self.say(*PROMISES[tag]), call(tag, prompt, (choice.seen.id,) if choice else ()))
        if tag == Task.AUDIO_GENERATION:
            outcome = Outcome(label=told, events=(Event(told, TimeSpan(0.0, 1.0)),))
        elif choice and tag != Task.IMAGE_TO_VIDEO:
            outcome = changed(choice.seen, told)
        else:
            outcome = Outcome(choice.seen.scene if choice else None, label=told)
        return Exchange(task, (name,), (TextPart(asked),), answer, "call", ((outcome,),), choice.seen.id if choice else "")
