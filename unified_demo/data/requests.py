"""``draw_request``: one request of a given task, in the words of the committed phrasings, with its answer.

Tasks are the ten tags of ``grammar.Task`` and "caption", "question", "ground", "chat" and "several" (two or three calls in one answer).
The work is done by the writers of ``understanding``, ``creations`` and ``changes``.
"""

import random
import tomllib
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any

from unified_demo.data.changes import Changer
from unified_demo.data.chinese import ChineseWriter, in_script
from unified_demo.data.context import Choice, Context
from unified_demo.data.creations import Creator
from unified_demo.data.exchanges import Exchange, Writer, carry_out, numbered
from unified_demo.data.several import SeveralWriter
from unified_demo.data.split import held_out_templates
from unified_demo.data.understanding import Answerer, Observer
from unified_demo.data.wishes import NONE, WishWriter
from unified_demo.data.wordings import FOLDER, words
from unified_demo.errors import UnifiedError
from unified_demo.grammar import MediaKind, Task
from unified_demo.messages import MediaPart, Part, TextPart
from unified_demo.promises import PROMISES_OF_SEVERAL

WRITERS: dict[str, tuple[type[Writer], str]] = {
    Task.IMAGE_SEGMENTATION.value: (Observer, "outline"),
    Task.VIDEO_SEGMENTATION.value: (Observer, "follow"),
    Task.IMAGE_GENERATION.value: (Creator, "picture"),
    Task.LAYOUT_GENERATION.value: (Creator, "layout"),
    Task.IMAGE_EDITING.value: (Changer, "picture"),
    Task.REASONING_EDITING.value: (Changer, "region_edit"),
    Task.VIDEO_GENERATION.value: (Creator, "film"),
    Task.IMAGE_TO_VIDEO.value: (Creator, "moving_picture"),
    Task.VIDEO_EDITING.value: (Changer, "film"),
    Task.AUDIO_GENERATION.value: (Creator, "sound"),
    "caption": (Observer, "describe"),
    "question": (Answerer, "question"),
    "ground": (Observer, "find"),
}
"""task -> the writer and its method"""
REQUESTS = (*WRITERS, "chat", "several")
"""Everything ``draw_request`` knows."""
CREATED = ("gen", "vgen", "agen", "layout")
CHANGED = ("seg", "edit", "redit", "ivgen")
WRITTEN = 0.6
"""Share of the training requests with several wishes that were written whole, where one fits what is attached."""
TRIES = 12
CHINESE = 0.2
"""Share of the training requests that are made in Chinese."""
TALK = 0.25
"""Share of the English training requests with something said before or behind them that does not matter."""
WHOLE = 0.5
"""Share of the training requests that are whole wishes, where a task has some."""
CHINESE_WHOLE = 0.3
"""Share of those that are in Chinese."""
JOINED = (
    "{a} and {b}", "{a}, and {b}", "{a}; {b}", "{a}. Also, {b}", "{a}, plus {b}", "{a} and also {b}", "{a}. Oh, and {b}", "{a}. And {b}",
    "two things: {a}, and {b}", "first {a}. Second, {b}", "{a}, and while you are at it, {b}", "{a}, as well as this: {b}", "1. {a} 2. {b}",
    "{a}. On top of that, {b}", "I need two things. {a}. {b}", "{a} & {b}",
    "{a}. Oh wait, {b} as well", "can you do two things for me? {a}. and then there's this: {b}",
    "{a}... and {b}, if you can manage both", "ok so {a} / also {b}", "Got a minute? {a}. And another thing: {b}",
    "no. 1: {a}, no. 2: {b}", "a) {a}; b) {b}", "{a} + {b}", "{a}. Same time, {b}",
    "I've got a double order today: {a}. The other one: {b}", "{a}! And {b}!", "- {a} - {b}", "TWO WISHES: {a}. AND: {b}",
    "{a}, besides that {b}", "For a start, {a}. Separately, {b}", "{a}. Nearly forgot, {b}", "so my list says: {a}, {b}",
    "{a} (and {b} too, pls)", "hi!! {a}. oh n {b} thx", "Task one: {a}. Task two: {b}", "{a}. What I'd also want: {b}",
    "both of these please. {a}. {b}", "{a}, and as a bonus, {b}", "{a}. My sister has a wish too: {b}",
    "wish number one, {a}, wish number two, {b}", "{a}. Furthermore {b}", "{a}. P.S. {b}", "{a}. Not only that: {b}",
    "As for me, {a}. As for my colleague, {b}", "{a}. That's one. The second: {b}", "pls {a} an also {b}",
    "{a}. Hmm, and let me have this too: {b}", "I can't decide so do both: {a}; {b}", "{a}, and, unrelated, {b}",
    "Two small favours for an old man. {a}. And {b}", "{a}. Don't stop there, {b}", "on the one hand {a}, on the other hand {b}",
    "{a}. Last but not least, {b}", "while I make coffee: {a}, and {b}", "{a}. And since you're so quick, {b}",
)  # fmt: skip
CHAINED = (
    "{a}, then {b}", "{a}. Then {b}", "first {a}, then {b}", "{a} and afterwards {b}", "{a}. When that is done, {b}", "{a}, after that {b}",
    "{a}, and once it is ready, {b}", "{a}. Next, {b}", "start with this: {a}. Then {b}",
    "{a}. Got it? Now {b}", "step 1: {a}. Step 2: {b}", "{a} >> {b}", "{a}. As soon as you have it, {b}", "{a}; with that done, {b}",
    "to begin with, {a}. Later on, {b}", "{a}. Then take what you got and {b}", "do it in this order: {a}, {b}", "{a}, only then {b}",
    "{a}. Now comes part two: {b}", "before anything else {a}. Then please {b}", "{a}. Finished? Good, {b}", "pls {a} an than {b}",
    "{a}. Building on that, {b}", "I want it in two steps. {a}. After it, {b}", "{a}. I know what I'll want next, so go straight on: {b}",
    "{a} --> then --> {b}", "{a}. The moment it's there, {b}", "{a}, followed by this: {b}", "initially {a}, subsequently {b}",
    "{a}. And don't leave it at that, go on and {b}", "{a}. AFTERWARDS {b}, OK?", "ok step by step. {a}. next one, {b}",
    "{a}. For the finish, {b}", "{a}. With what comes out of it, {b}",
)  # fmt: skip


def draw_request(rng: random.Random, task: str, context: Context) -> Exchange | None:
    """One request of the task about what the conversation holds; None when nothing there fits it.

    Without the picture, video or sound it needs, the answer says so. UnifiedError for an unknown task.
    """
    if task == "chat":
        return draw_chat(rng, context)
    if task not in REQUESTS:
        raise UnifiedError(f"There is no request for '{task}'; there are {', '.join(REQUESTS)}.")
    made = draw_several(rng, context) if task == "several" else _draw(rng, task, context)
    if made and context.part == "train" and not made.chinese and rng.random() < TALK:
        return replace(made, user=_talked(rng, made.user))
    return made


def _draw(rng: random.Random, task: str, context: Context) -> Exchange | None:
    if context.part == "train" and rng.random() < CHINESE and (made := ChineseWriter(rng, context).write(task)):
        return made
    if whole := _whole(rng, task, context):
        return whole
    if task in CREATED and rng.random() < 0.02:
        return Creator(rng, context).unsaid(task)
    return _write(rng, task, context)


def _talked(rng: random.Random, user: tuple[Part, ...]) -> tuple[Part, ...]:
    """The user's words with a sentence before or behind them."""
    talk = words()["talk"]
    if rng.random() < 0.6:
        return (TextPart(f"{rng.choice(talk['before'])} "), *user)
    last = user[-1]
    end = "" if isinstance(last, TextPart) and last.text[-1:] in ".?!" else "."
    return (*user, TextPart(f"{end} {rng.choice(talk['behind'])}"))


def _whole(rng: random.Random, task: str, context: Context, forced: Choice | None = None, language: str = "") -> Exchange | None:
    """Now and then, for training, a wish that fills no template; None otherwise."""
    language = language or ("chinese" if rng.random() < CHINESE_WHOLE else "english")
    return WishWriter(rng, context, forced=forced).wish(task, language) if context.part == "train" and rng.random() < WHOLE else None


def _write(rng: random.Random, task: str, context: Context, manner: str = "", forced: Choice | None = None) -> Exchange | None:
    writer, method = WRITERS[task]
    for _ in range(TRIES):
        made: Exchange | None = getattr(writer(rng, context, manner, forced), method)()
        if made:
            return made
    return None


# ---- plain chat ----


@cache
def chats() -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """(id, questions, answer) of the committed plain chat."""
    rows: list[dict[str, Any]] = tomllib.loads((FOLDER / "chat.toml").read_text(encoding="utf-8"))["chat"]
    return tuple((f"chat.{number}", tuple(row["ask"]), row["say"]) for number, row in enumerate(rows, 1))


@cache
def about_ourselves() -> tuple[tuple[str, str], ...]:
    """(question, answer) of every question about the assistant itself."""
    rows: list[dict[str, Any]] = tomllib.loads((FOLDER / "chat.toml").read_text(encoding="utf-8"))["chat"]
    return tuple((asked, row["say"]) for row in rows if row.get("ours") for asked in row["ask"])


def draw_chat(rng: random.Random, context: Context) -> Exchange:
    """A short general question with a short true answer; it concerns no artefact."""
    if whole := _whole(rng, NONE, context):
        return whole
    hidden = held_out_templates()
    fitting = [row for row in chats() if context.part == "all" or (row[0] in hidden) == (context.part == "held_out")]
    name, questions, answer = rng.choice(fitting)
    return Exchange("chat", (name,), (TextPart(rng.choice(questions)),), (TextPart(answer),))


# ---- several calls ----


def draw_several(rng: random.Random, context: Context) -> Exchange | None:
    """Several calls in one answer: several wishes at once, or a second step on the result of the first."""
    if context.part == "train" and rng.random() < WRITTEN:
        language = "chinese" if rng.random() < CHINESE_WHOLE else "english"
        if written := SeveralWriter(rng, context).bundle(language):
            return written
    pictures = bool(context.of_kind(MediaKind.IMAGE))
    if pictures and rng.random() < 0.4:
        return _chained(rng, context, rng.choice(("edit", "redit")))
    if rng.random() < 0.25:
        return _chained(rng, context, "gen")
    first, second = rng.sample(CREATED + CHANGED if pictures else CREATED, 2)
    if (first in ("edit", "redit") and second in CHANGED) or (first == "ivgen" and second == "ivgen"):
        first, second = second, first
    if first in ("edit", "redit") and second in CHANGED:
        return None
    if context.part == "train" and rng.random() < CHINESE:
        writer = ChineseWriter(rng, context)
        return _joined(rng, [writer.write(task) for task in (first, second)], in_script("joined", writer.traditional))
    about = Choice(context.seen[context.focus[MediaKind.IMAGE]]) if pictures else None
    manner = rng.choice(("direct", "direct", ""))
    over = [about if task in CHANGED else None for task in (first, second)]
    both = [
        _whole(rng, task, context, forced, "english") or _write(rng, task, context, manner, forced)
        for task, forced in zip((first, second), over, strict=True)
    ]
    return _joined(rng, both, JOINED)


def _chained(rng: random.Random, context: Context, task: str) -> Exchange | None:
    """The second step works on what the first one gives: "make it winter, then animate the result"."""
    about = Choice(context.seen[context.focus[MediaKind.IMAGE]]) if task != "gen" else None
    first = _write(rng, task, context, "direct", about)
    if not first or first.manner != "call":
        return None
    later = copy(context)
    later.seen, later.focus = dict(context.seen), dict(context.focus)
    made = [part for part in carry_out(later, first) if isinstance(part, MediaPart)]
    result = Choice(later.seen[made[-1].artefact.id], rng.choice(["the result", "the new picture", "that one"]))
    second = _write(rng, rng.choice(("edit", "ivgen")), later, "direct", result)
    return _joined(rng, [first, second], CHAINED)


def _joined(rng: random.Random, both: list[Exchange | None], frames: tuple[str, ...]) -> Exchange | None:
    first, second = both
    if not first or not second or first.manner != "call" or second.manner != "call":
        return None
    texts = ["".join(part.text for part in one.user if isinstance(part, TextPart)).rstrip(".。！？") for one in (first, second)]
    asked = rng.choice(frames).format(a=texts[0], b=texts[1][:1].lower() + texts[1][1:])
    calls = numbered([*first.calls(), *second.calls()])
    return Exchange(
        "several",
        (*first.templates, *second.templates),
        (TextPart(asked),),
        (TextPart(PROMISES_OF_SEVERAL[2]), *calls),
        "call",
        (*first.outcomes, *second.outcomes),
        second.about or first.about,
    )
