"""``python -m unified_demo.data statistics``: one page with plots of what shards hold.

Tasks, turns, lengths, tokens per box, how far back turns refer, duplicates exact and near, how often each phrasing was used, and
some dialogues to read. It counts and draws; it judges nothing and changes nothing.
"""

import argparse
import logging
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from unified_demo.data import charts
from unified_demo.data.context import Seen
from unified_demo.data.likeness import Likeness
from unified_demo.data.published.reading import Complaints
from unified_demo.data.records import Turn, conversation_of, seen_of, turns_of
from unified_demo.data.requests import REQUESTS, chats
from unified_demo.data.shards import Stored, read_shards
from unified_demo.data.split import held_out_templates
from unified_demo.data.verify import RecordError, surface_text
from unified_demo.data.wordings import phrasings, tasks
from unified_demo.grammar import TASKS, Box, Task, spell_box
from unified_demo.messages import Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart

logger = logging.getLogger(__name__)

POINTED_IOU = 0.7
"""As in the model: a proposal that overlaps a box so much is pointed at with one token, instead of a token per character."""
TAGS_OF_A_BOX = 2
SAMPLES = 8


@dataclass
class Figures:
    """Everything that is counted over a stream of records."""

    records: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    manners: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    asked_words: Counter[int] = field(default_factory=Counter)
    answer_words: Counter[int] = field(default_factory=Counter)
    artefacts: Counter[str] = field(default_factory=Counter)
    reach: Counter[int] = field(default_factory=Counter)
    follows: Counter[tuple[str, str]] = field(default_factory=Counter)
    templates: Counter[str] = field(default_factory=Counter)
    box_tokens: Counter[str] = field(default_factory=Counter)
    boxes: Counter[str] = field(default_factory=Counter)
    requests: set[int] = field(default_factory=set)
    asked: int = 0
    likeness: Likeness = field(default_factory=Likeness)
    samples: list[Conversation] = field(default_factory=list)

    def add(self, record: Mapping[str, Any], rng: random.Random) -> None:
        """Count one record. RecordError when it is broken; nothing is counted then."""
        conversation, turns, seen = conversation_of(record), turns_of(record), seen_of(record)
        self.records += 1
        self.turns[len(turns)] += 1
        if len(self.samples) < SAMPLES:
            self.samples.append(conversation)
        elif (place := rng.randrange(self.records)) < SAMPLES:
            self.samples[place] = conversation
        self.likeness.add(" ".join(_words(message) for message in conversation.messages))
        self._add_turns(turns)
        self._add_messages(conversation, seen)

    def _add_turns(self, turns: Iterable[Turn]) -> None:
        before = ""
        for turn in turns:
            self.tasks[turn.task] += 1
            self.manners[turn.manner] += 1
            self.templates.update(turn.templates)
            if before:
                self.follows[before, turn.task] += 1
            before = turn.task

    def _add_messages(self, conversation: Conversation, seen: Mapping[str, Seen]) -> None:
        born: dict[str, int] = {}
        for number, message in enumerate(conversation.messages):
            words = _words(message)
            if message.role == "user":
                self.asked += 1
                self.requests.add(hash(words))
            (self.asked_words if message.role == "user" else self.answer_words)[len(words.split())] += 1
            for part in message.parts:
                if isinstance(part, MediaPart):
                    born[part.artefact.id] = number // 2
                    self.artefacts["made " * (message.role == "assistant") + part.artefact.kind.name.lower()] += 1
                elif isinstance(part, TaskCall):
                    self.reach.update(number // 2 - born[ref] for ref in part.refs if ref in born)
                for box, place, task in _boxes(part):
                    self._add_box(box, seen.get(place or ""), task)

    def _add_box(self, box: Box, seen: Seen | None, task: str) -> None:
        scene = seen.scene if seen else None
        pointed = bool(scene) and any(region.box.iou(box) >= POINTED_IOU for region in scene.regions)  # type: ignore[union-attr]
        self.boxes[task] += 1
        self.boxes["pointed at" if pointed else "spelt"] += 1
        self.box_tokens[task] += TAGS_OF_A_BOX + (1 if pointed else len(spell_box(box)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder of shards")
    parser.add_argument("--out", type=Path, required=True, help="the page to write")


def main(arguments: argparse.Namespace) -> None:
    complaints = Complaints()
    figures = count(read_shards(arguments.folder, complaints), complaints)
    arguments.out.write_text(page(figures, complaints, arguments.folder.name), encoding="utf-8")
    logger.info("%d dialogues, %d left out; see %s", figures.records, len(complaints.found), arguments.out)


def count(stored: Iterable[Stored], complaints: Complaints) -> Figures:
    """Count all records; a broken one is named, left out and counted among the complaints."""
    figures, rng = Figures(), random.Random(0)
    for item in stored:
        try:
            figures.add(item.record, rng)
        except RecordError as exc:
            complaints.add(item.path, item.line, "broken record", f"cannot be used: {str(exc).removesuffix('.')}")
    return figures


def _words(message: Message) -> str:
    pieces = []
    for part in message.parts:
        if isinstance(part, TextPart):
            pieces.append(part.text)
        elif isinstance(part, RegionPart):
            pieces.append(part.phrase)
        elif isinstance(part, TaskCall):
            pieces += [region.phrase for region in part.regions] or [part.prompt]
    return " ".join(pieces)


def _boxes(part: object) -> Iterable[tuple[Box, str | None, str]]:
    if isinstance(part, RegionPart):
        yield from ((box, part.artefact_id, "phrase") for box in part.boxes)
    elif isinstance(part, TaskCall):
        yield from ((box, region.artefact_id, part.task) for region in part.regions for box in region.boxes)


# ---- the page ----

STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --soft: #667085; --card: #fff; --page: #f4f5f8; --bar: #3b6fd4; --line: #d5d9e2; }
@media (prefers-color-scheme: dark) {
 :root { --ink: #e7eaf0; --soft: #98a1b3; --card: #1b1f29; --page: #12151c; --bar: #6f9bf0; --line: #333a48; } }
body { margin: 0; padding: 32px; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1360px; margin: auto; } h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 0 0 10px; }
.soft, p { color: var(--soft); } .tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 12px 18px; } .tile b { display: block; font-size: 22px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 560px), 1fr)); gap: 16px; align-items: start; }
section { padding: 18px 20px; overflow: hidden; } section p { margin: 0 0 10px; font-size: 13px; } .wide { grid-column: 1 / -1; }
svg { width: 100%; height: auto; font-size: 13px; fill: var(--ink); } svg .soft { fill: var(--soft); font-size: 12px; }
.bar { fill: var(--bar); } .axis { stroke: var(--line); }
.held { fill: none; stroke: var(--soft); stroke-dasharray: 2 2; } .held.used { fill: #d5483b; }
.talks { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 520px), 1fr)); gap: 24px; }
.talk div { padding: 6px 12px; margin: 6px 0; border-radius: 10px; overflow-wrap: anywhere; font-size: 13px; }
.user { background: var(--page); margin-left: 48px !important; }
.assistant { border: 1px solid var(--line); margin-right: 48px !important; }
code { color: var(--soft); font-size: 12px; }
"""


def page(figures: Figures, complaints: Complaints, name: str) -> str:
    """One HTML page that needs nothing else."""
    tiles = {
        "dialogues": f"{figures.records:,}",
        "turns": f"{figures.asked:,}",
        "turns per dialogue": f"{figures.asked / max(1, figures.records):.1f}",
        "different requests": f"{len(figures.requests) / max(1, figures.asked):.1%}",
        "dialogues repeated": f"{figures.likeness.exact():,}",
        "nearly repeated": f"{figures.likeness.near():,}",
        "phrasings used": f"{len(figures.templates):,}",
        "left out": f"{len(complaints.found):,}",
    }
    cards = "".join(
        f'<section class="{style}"><h2>{title}</h2><p>{note}</p>{plot}</section>' for title, note, plot, style in _cards(figures)
    )
    body = f"<h1>Dialogues in {escape(name)}</h1><div class=soft>Built by unified_demo.data; every record parsed back.</div>"
    body += '<div class="tiles">' + "".join(f'<div class="tile"><b>{value}</b>{label}</div>' for label, value in tiles.items()) + "</div>"
    body += f'<div class="grid">{cards}{_complaints(complaints)}{_talks(figures.samples)}</div>'
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(name)}</title><style>{STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body><main>{body}</main></body></html>\n"


def _cards(figures: Figures) -> list[tuple[str, str, str, str]]:
    box_tasks = [task for task in figures.boxes if task in figures.box_tokens]
    per_box = {TASKS[Task(task)].title if task in TASKS else task: figures.box_tokens[task] / figures.boxes[task] for task in box_tasks}
    spelt = figures.boxes["spelt"] / max(1, figures.boxes["spelt"] + figures.boxes["pointed at"])
    return [
        ("Turns by task", "What the user asked for.", charts.bars(dict(figures.tasks.most_common())), ""),
        ("Answers", "A call, words only, a refusal, a question back.", charts.bars(dict(figures.manners.most_common())), ""),
        ("Artefacts", "Uploads, and what experts made.", charts.bars(dict(figures.artefacts.most_common())), ""),
        ("Turns per dialogue", "", charts.columns({str(key): value for key, value in sorted(figures.turns.items())}, "turns"), ""),
        ("Length of requests", "", charts.columns(_binned(figures.asked_words, 2), "words"), ""),
        ("Length of answers", "Words and prompts, without tags and boxes.", charts.columns(_binned(figures.answer_words, 3), "words"), ""),
        (
            "How far back a call refers",
            "Turns since the artefact came or was made.",
            charts.columns({str(key): value for key, value in sorted(figures.reach.items())}, "turns back"),
            "",
        ),
        (
            "Tokens per box",
            f"With its two tags; {spelt:.0%} of the boxes are spelt (a token per character), the others pointed at with one token.",
            charts.bars(dict(sorted(per_box.items(), key=lambda item: -item[1]))),
            "",
        ),
        (
            "What follows what",
            "From the row's task to the column's; the stronger the colour, the more often.",
            charts.heat([task for task in REQUESTS if figures.tasks[task]], figures.follows),
            "",
        ),
        (
            "Phrasings",
            "How often each phrasing was used, in the order of its file; dashed: held out of training, red when used.",
            charts.strips(_shares(figures.templates)),
            "",
        ),
    ]


def _binned(counts: Counter[int], width: int) -> dict[str, float]:
    """Columns of ``width`` words each; the last one holds everything longer than 98 % of all."""
    total, running, last = sum(counts.values()), 0, 0
    for value in sorted(counts):
        running += counts[value]
        last = value
        if running >= 0.98 * total:
            break
    binned: Counter[int] = Counter()
    for value, number in counts.items():
        binned[min(value, last) // width] += number
    return {str(place * width): float(binned[place]) for place in range(last // width + 1)}


def _shares(used: Counter[str]) -> dict[str, list[tuple[str, int, bool]]]:
    hidden = held_out_templates()
    groups = {task: [one.id for one in phrasings(task)] for task in tasks()} | {"chat": [name for name, _, _ in chats()]}
    return {task: [(name, used[name], name in hidden) for name in names] for task, names in groups.items()}


def _complaints(complaints: Complaints) -> str:
    if not complaints.found:
        return ""
    rows = "".join(f"<li>{escape(str(complaint))}</li>" for complaint in complaints.found[:20])
    return f'<section class="wide"><h2>Left out</h2><p>The first 20 of {len(complaints.found)}.</p><ul>{rows}</ul></section>'


def _talks(samples: Iterable[Conversation]) -> str:
    talks = "".join(f'<div class="talk">{_talk(conversation)}</div>' for conversation in samples)
    return f'<section class="wide"><h2>Some dialogues</h2><p>Drawn by chance.</p><div class="talks">{talks}</div></section>'


def _talk(conversation: Conversation) -> str:
    rows = []
    for message in conversation.messages:
        media = " ".join(f"<code>[{part.artefact.id}]</code>" for part in message.parts if isinstance(part, MediaPart))
        text = escape(surface_text(message) if message.role == "assistant" else _words(message))
        order = f"{text} {media}" if message.role == "assistant" else f"{media} {text}"
        rows.append(f'<div class="{message.role}">{order}</div>')
    return "".join(rows)
