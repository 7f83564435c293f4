"""The benchmark ``plugins``: tasks that nobody trained on, known by their descriptions alone. Are they called, and only when meant?

``plugins.toml`` has them in two splits: "tuning" was looked at while ``model/zero_shot.py`` was built (system TUNED), "test" was not. All
of a split are installed at once; wishes for the ten tasks and for plain answers must not call them. The experts themselves are not run.
"""

import logging
import re
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from unified_demo.errors import GrammarError, MediaError, UnifiedError
from unified_demo.evaluation.benchmark import ALL, Context, Result, Row, grouped, mean, stratified
from unified_demo.evaluation.instructions import ASSETS, Instruction, read_instructions
from unified_demo.evaluation.routers import ModelRouter, spell_call
from unified_demo.grammar import TASKS, MediaKind, TaskSpec, title_of
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact, Conversation, GrammarWarning, MediaPart, Message, TaskCall, TextPart
from unified_demo.parser import StreamParser

log = logging.getLogger(__name__)

DECLARED = Path(__file__).with_name("plugins.toml")
SPLITS = ("test", "tuning")
TUNED = "model, tuning wishes"
NEAR, KNOWN = "near", "built-in"
MOST_TOKENS = 64
"""Enough for the longest call of a plug-in; what an answer says behind that is not judged here."""
PHOTO = ASSETS / "astronaut.jpg"
MEASURES = {
    "called": "of the wishes for a plug-in: it is called, and no other plug-in",
    "any": "of the wishes for a plug-in: some plug-in is called",
    "complete": "of the calls of plug-ins: closed, and with the media that are needed",
    "false calls": "of all other wishes: a plug-in is called",
}


@dataclass(frozen=True)
class Split:
    """``plugins`` as installed together; ``wishes``: for them (kind = tag), close to them (NEAR), for what was there before (KNOWN)."""

    name: str
    plugins: tuple[TaskSpec, ...]
    wishes: tuple[Instruction, ...]


@dataclass(frozen=True)
class Asked:
    """``got``: the tag of the plug-in that is called, empty for none."""

    wish: Instruction
    raw: str
    got: str
    complete: bool
    seconds: float

    @property
    def wanted(self) -> bool:
        return self.wish.kind not in (NEAR, KNOWN)


class Chooser(Protocol):
    """``answer``: the raw answer to a wish."""

    def answer(self, instruction: Instruction) -> str: ...


class PluginBenchmark:
    name = "plugins"
    title = "Tasks of plug-ins, known by description alone"
    systems = ("model", TUNED, "model unconstrained", "overlap", "embeddings")

    def run(self, context: Context) -> Result:
        """Raises ModelLoadError without weights (for the systems that need them), MediaError without the committed wishes."""
        rows: list[Row] = []
        samples: list[dict] = []
        test, tuning = read_splits(MediaStore(context.out / "media"))
        for name in context.chosen(self.systems):
            split = tuning if name == TUNED else test
            system = self._build(name, context, split.plugins)
            asked = [ask(system, wish, split.plugins) for wish in stratified(split.wishes, lambda wish: wish.kind, context.limit)]
            rows += summarise(name, asked)
            samples += [_sample(name, item) for item in asked]
        return Result(tuple(rows), MEASURES, tuple(samples))

    def _build(self, name: str, context: Context, plugins: tuple[TaskSpec, ...]) -> Chooser:
        subjects = context.subjects
        builders: dict[str, Callable[[], Chooser]] = {
            "model": lambda: WantedOnly(name, subjects.with_plugins(plugins), most_tokens=MOST_TOKENS),
            TUNED: lambda: WantedOnly(name, subjects.with_plugins(plugins), most_tokens=MOST_TOKENS),
            "model unconstrained": lambda: ModelRouter(name, subjects.with_plugins(plugins), False, MOST_TOKENS),
            "overlap": lambda: NearestDescription(plugins, overlap),
            "embeddings": lambda: NearestDescription(plugins, subjects.frozen().likeness),
        }
        return builders[name]()


class WantedOnly(ModelRouter):
    """The model under the rules. Where no plug-in is wanted none can be called, so that answer is not written to its end."""

    def answer(self, instruction: Instruction) -> str:
        return super().answer(instruction) if self.model.wanted(instruction.conversation)[0] else ""  # type: ignore[attr-defined]


class NearestDescription:
    """Calls the plug-in whose description is more like the wish than every other one and those of the ten tasks; no model decides."""

    def __init__(self, plugins: Sequence[TaskSpec], likeness: Callable[[str, str], float]) -> None:
        self._plugins, self._likeness = plugins, likeness

    def answer(self, instruction: Instruction) -> str:
        scores = {task: self._likeness(instruction.text, f"{task.title}: {task.description}") for task in (*TASKS.values(), *self._plugins)}
        best = max(scores, key=lambda task: scores[task])
        called = best in self._plugins and scores[best] > 0
        return spell_call(best, instruction.text, list(instruction.conversation.artefacts())) if called else ""


_STOP = frozenset("a an the of in on at it its is are be for to and or so that this with as by i my me we you your do can please".split())  # noqa: SIM905


def overlap(wish: str, description: str) -> float:
    """How many words they share, small words left out, endings cut."""
    return float(len(_stems(wish) & _stems(description)))


def _stems(text: str) -> set[str]:
    return {re.sub(r"(ing|ed|es|s)$", "", word) for word in re.findall(r"[a-z]+", text.lower()) if word not in _STOP}


# ---- wishes ----


def read_splits(store: MediaStore, path: Path = DECLARED) -> Iterator[Split]:
    """Both splits, each with its half of the committed instructions. MediaError when the file is broken."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        known = read_instructions(store)[0]
        photo = store.add_upload(PHOTO, "img-1")
        for number, name in enumerate(SPLITS):
            rows = {tag: row for tag, row in table.items() if row["split"] == name}
            plugins = tuple(_task(tag, row) for tag, row in rows.items())
            said = [
                Instruction(f"{tag}-{kind}-{place}", kind, name, "en", text, _conversation(text, task.needs, photo), ())
                for (tag, row), task in zip(rows.items(), plugins, strict=True)
                for kind, texts in ((tag, row["wishes"]), (NEAR, row["near"]))
                for place, text in enumerate(texts, 1)
            ]
            others = [
                Instruction(item.id, KNOWN, name, item.language, item.text, item.conversation, item.calls)
                for place, item in enumerate(known)
                if place % 2 != number
            ]
            yield Split(name, plugins, (*said, *others))
    except (OSError, KeyError, ValueError, GrammarError) as exc:
        raise MediaError(f"{path} is broken ({type(exc).__name__}: {exc}); restore it, for example with 'git checkout'.") from exc


def _task(tag: str, row: dict) -> TaskSpec:
    return TaskSpec(tag, title_of(tag), row["description"], tuple(map(MediaKind, row["needs"])), MediaKind(row["gives"]))


def _conversation(text: str, needs: Iterable[MediaKind], photo: Artefact) -> Conversation:
    """What is needed is attached: the photo, or a sound that nobody hears."""
    sound = Artefact("aud-1", MediaKind.AUDIO, Path("aud-1"), duration_s=4.0)
    media = [MediaPart(photo if kind == MediaKind.IMAGE else sound) for kind in needs]
    return Conversation((Message("user", (*media, TextPart(text))),))


# ---- answers ----


def ask(system: Chooser, wish: Instruction, plugins: Sequence[TaskSpec]) -> Asked:
    """One answer; an error that is meant for people is an answer without a call."""
    started = time.perf_counter()
    try:
        raw = system.answer(wish)
    except UnifiedError as exc:
        raw = str(exc)
    seconds = time.perf_counter() - started
    tasks = {task.tag: task for task in plugins}
    parser = StreamParser((*map(str, TASKS), *tasks))
    events = [*parser.feed(raw), *parser.close()]
    call = next((event for event in events if isinstance(event, TaskCall) and event.task in tasks), None)
    broken = any(isinstance(event, GrammarWarning) for event in events)
    log.info("%s: %s -> %s", wish.id, wish.text, raw)
    complete = call is not None and not broken and all(f"{kind.value}-1" in call.refs for kind in tasks[call.task].needs)
    return Asked(wish, raw, call.task if call else "", complete, seconds)


def summarise(system: str, asked: Sequence[Asked]) -> list[Row]:
    """Rows for all wishes, for those of each plug-in, for near and for known ones."""
    groups = {ALL: list(asked)} | grouped(asked, lambda item: (item.wish.kind,))
    return [Row(system, group, len(items), figures(items)) for group, items in groups.items()]


def figures(asked: Sequence[Asked]) -> dict[str, float | None]:
    wanted = [item for item in asked if item.wanted]
    return {
        "called": mean(float(item.got == item.wish.kind) for item in wanted),
        "any": mean(float(bool(item.got)) for item in wanted),
        "complete": mean(float(item.complete) for item in asked if item.got),
        "false calls": mean(float(bool(item.got)) for item in asked if not item.wanted),
    }


def _sample(system: str, item: Asked) -> dict:
    wish = item.wish
    return {
        "system": system, "id": wish.id, "split": wish.part, "kind": wish.kind, "text": wish.text, "got": item.got,
        "raw": item.raw, "complete": item.complete, "seconds": round(item.seconds, 3),
    }  # fmt: skip
