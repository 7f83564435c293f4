"""Text from outside stays text wherever the page shows it: drawer, facts of data, chips, drafts, timeline, inspector, header."""

from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from test_ui_render import BOX, EVIL, EVIL_PICTURE, attributes_are_intact

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.engine import Engine
from unified_demo.fakes import ScriptedModel, fake_spec
from unified_demo.grammar import DATA_KINDS, MediaKind, TimeSpan
from unified_demo.history import Entry
from unified_demo.messages import Artefact, RegionPart
from unified_demo.ui.drawer import entries_html
from unified_demo.ui.facts import facts_html
from unified_demo.ui.frames import frame_html
from unified_demo.ui.marks import marks_html
from unified_demo.ui.panel import header_html, inspector_html, welcome_html
from unified_demo.ui.view import SceneObject
from unified_demo.ui.warmup import Warmup

EVIL_FACTS = {
    "points": EVIL, "samples": EVIL, "shape": [EVIL, EVIL], "extent": [EVIL] * 3, "low": EVIL, "high": EVIL, "holes": 0.5,
    "left_out": EVIL, "acceleration": [EVIL, EVIL], "rotation": (EVIL, EVIL),
}  # fmt: skip
"""An export that somebody made by hand may say this of its arrays."""


def expect_text(html: str, times: int = 1) -> None:
    """What is hostile arrived, at least so many ``times``, and as nothing but text."""
    assert attributes_are_intact(html), html
    assert unescape(html).count(EVIL) >= times, html


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """With an expert, as a plug-in may bring it, whose author is no friend."""
    hostile = replace(fake_spec(), name=EVIL, licence=EVIL, description=EVIL)
    return load_engine(Settings(media_dir=tmp_path), ScriptedModel([]), (hostile,))


def test_the_drawer() -> None:
    expect_text(str(entries_html([Entry(EVIL, EVIL, 0.0)], EVIL, EVIL, Path(EVIL))), 2)
    expect_text(str(entries_html([Entry("key", EVIL, 0.0)], "key")))
    assert attributes_are_intact(str(entries_html([], EVIL, EVIL)))


@pytest.mark.parametrize("kind", DATA_KINDS, ids=str)
def test_facts_of_data(kind: MediaKind) -> None:
    artefact = Artefact(EVIL, kind, Path(EVIL), 10, 10, label=EVIL, recipe={EVIL: EVIL}, facts=EVIL_FACTS)
    expect_text(str(facts_html(artefact)), 5)
    expect_text(str(frame_html(artefact, "attachment")), 10)


def test_chips_and_drafts() -> None:
    marks = [RegionPart(EVIL, (BOX,), artefact_id=EVIL), RegionPart(EVIL, artefact_id=EVIL)]
    expect_text(str(marks_html(marks, {EVIL: EVIL_PICTURE}, editing=True)), 4)
    scan = Artefact(EVIL, MediaKind.FMRI, Path(EVIL), 10, 10, label=EVIL, facts=EVIL_FACTS)
    expect_text(str(marks_html([], {}, drafts=[EVIL_PICTURE, scan])), 4)


@pytest.mark.parametrize("kind", [MediaKind.VIDEO, MediaKind.AUDIO], ids=str)
def test_the_timeline(kind: MediaKind) -> None:
    recording = Artefact("rec-1", kind, Path("film"), duration_s=4.0)
    thing = SceneObject(1, "rec-1", EVIL, spans=[TimeSpan(0.25, 0.5)])
    html = str(frame_html(recording, "picture", [thing]))
    expect_text(html, 2)
    assert 'class="um-span"' in html


def test_inspector_header_and_welcome(engine: Engine) -> None:
    warmup = Warmup(engine)
    warmup.state, warmup.error, warmup.note = "failed", EVIL, EVIL
    expect_text(str(inspector_html(engine, warmup, {"total_s": 1.0, EVIL: 1.0})), 3)
    assert attributes_are_intact(str(welcome_html(engine)))


def test_the_note_of_what_is_loading(engine: Engine) -> None:
    """The header says the last line of the log."""
    engine.model = object()  # a scripted model has its own words there
    warmup = Warmup(engine)
    warmup.state, warmup.note = "loading", EVIL
    expect_text(str(header_html(engine, warmup)), 2)
