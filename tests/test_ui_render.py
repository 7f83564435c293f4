"""HTML of answers: escaped, complete, and drawn where the regions are."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_demo.grammar import Box, MediaKind
from unified_demo.media import MediaStore
from unified_demo.messages import (
    Artefact,
    CallDone,
    CallFailed,
    CallProgress,
    CallStarted,
    GrammarWarning,
    MediaPart,
    Message,
    RegionFound,
    RegionPart,
    TaskCall,
    TextDelta,
    TextPart,
    TurnDone,
)
from unified_demo.ui import frames
from unified_demo.ui.frames import LABEL_CHARACTERS, label_html, media_url
from unified_demo.ui.panel import notice_html
from unified_demo.ui.render import answer_html, question_html, raw_html
from unified_demo.ui.theme import REGION_COLOURS, region_colour
from unified_demo.ui.view import AnswerView, SceneObject

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&"
PICTURE = Artefact("img-1", MediaKind.IMAGE, Path("one.jpg"), 200, 100)
BOX = Box(0.25, 0.5, 0.75, 1.0)
EVIL_PICTURE = Artefact(EVIL, MediaKind.IMAGE, Path(EVIL), 10, 10, label=EVIL, recipe={"prompt": EVIL, EVIL: EVIL})
EVIL_QUESTION = Message("user", (TextPart(EVIL), MediaPart(EVIL_PICTURE), RegionPart(EVIL, (BOX,), artefact_id=EVIL)))


def view(*events: object) -> AnswerView:
    made = AnswerView({"img-1": PICTURE})
    for event in events:
        made.apply(event)
    return made


def attributes_are_intact(html: str) -> bool:
    """Every tag is one of ours, with quoted attributes only."""
    tags = re.findall(r"<[^>]*>", html)
    return (
        all(re.fullmatch(r"</?[a-z0-9]+( [a-zA-Z-]+(=\"[^\"<>]*\")?)*/?>", tag) for tag in tags)
        and "<script" not in html
        and "<img src=x" not in html
    )


def test_everything_from_outside_is_escaped() -> None:
    made = view(
        TextDelta(EVIL),
        TextDelta(EVIL, 0),
        RegionFound(0, EVIL, BOX, artefact_id="img-1"),
        CallStarted(0, EVIL),
        TaskCall(0, EVIL, EVIL, (EVIL,), (RegionPart(EVIL, (BOX,)),)),
        CallProgress(0, 1, 2, EVIL),
        CallDone(
            0, 1.0, (Artefact("img-2", MediaKind.IMAGE, Path(EVIL), 1, 1, label=EVIL),), {"licence": EVIL, "weights": [EVIL], "seed": EVIL}
        ),
        CallStarted(1, "seg"),
        CallFailed(1, 1.0, EVIL),
        GrammarWarning(EVIL, EVIL),
        TurnDone(Message("assistant", ()), EVIL, {}),
    )
    html = str(answer_html(made, raw=True))
    assert attributes_are_intact(html)
    assert attributes_are_intact(str(question_html(EVIL_QUESTION, 0, {EVIL: EVIL_PICTURE})))
    assert attributes_are_intact(str(notice_html([EVIL])))


@given(st.text(max_size=60))
def test_any_text_survives_as_text(text: str) -> None:
    from html import unescape

    html = str(answer_html(view(TextDelta(text))))
    shown = unescape(re.sub(r"<[^>]*>", "", html.split('<div class="um-pictures">')[0]))
    assert shown == text
    assert unescape(re.sub(r"</?[bi][^>]*>", "", str(raw_html(text)).split("<pre>")[1].split("</pre>")[0])) == text


def test_boxes_are_drawn_in_pixels_of_the_picture() -> None:
    html = str(answer_html(view(TextDelta("it", 0), RegionFound(0, "it", BOX, artefact_id="img-1"))))
    assert 'viewBox="0 0 200 100"' in html
    assert '<rect class="um-box" x="50.00" y="50.00" width="100.00" height="50.00"/>' in html
    assert html.count(f"--hue:{REGION_COLOURS[0]}") == 3


def test_a_mask_is_an_outline_and_offers_its_file(tmp_path: Path) -> None:
    pixels = np.zeros((100, 200), bool)
    pixels[50:, 50:150] = True
    mask = MediaStore(tmp_path).add_mask(pixels, "mask-1", of="img-1", label="it", box=BOX)
    html = str(answer_html(view(CallStarted(0, "seg"), CallDone(0, 0.5, (mask,), {"licence": "MIT", "weights": ["sam"]}))))
    assert re.search(r'<path class="um-mask" fill-rule="evenodd" d="M[^"]{10,}z"/>', html)
    assert "25% of the picture" in html
    assert media_url(mask.path) in html
    assert "Segmentation" in html and "MIT" in html and "sam" in html and "0.50 s" in html


def test_the_mask_of_a_lost_file_leaves_the_answer_standing(tmp_path: Path) -> None:
    gone = Artefact("mask-1", MediaKind.MASK, tmp_path / "gone.png", of="img-1", label="it", box=BOX)
    assert "mask-1" in str(answer_html(view(CallDone(0, 0.5, (gone,), {}))))


@pytest.mark.parametrize("box", [Box(0, 0, 0.1, 0.1), Box(0.9, 0, 1, 0.1), Box(0, 0.9, 0.1, 1), Box(0.9, 0.9, 1, 1), Box(0, 0, 1, 1)])
def test_a_label_always_has_half_of_the_picture_to_grow_into(box: Box) -> None:
    html = str(label_html(SceneObject(1, "img-1", "a very long name"), box))
    room = float(re.search(r"max-width:([\d.]+)%", html)[1])
    assert room >= 50


def test_of_many_boxes_of_one_thing_the_largest_has_the_name() -> None:
    small, large = Box(0.1, 0.1, 0.2, 0.2), Box(0.4, 0.4, 0.9, 0.9)
    thing = SceneObject(3, "img-1", "two dogs", boxes=[small, large])
    assert "<b>3</b>two dogs</span>" in str(label_html(thing, large))
    assert "<b>3</b></span>" in str(label_html(thing, small)) and "um-again" in str(label_html(thing, small))


def test_long_names_are_short_in_the_picture_only() -> None:
    name = "the very small dog behind the second tree on the left"
    html = str(answer_html(view(TextDelta(name, 0), RegionFound(0, name, BOX, artefact_id="img-1"))))
    assert f">{name}</mark>" in html
    assert f"{name[: LABEL_CHARACTERS - 1].rstrip()}…</span>" in html


def test_raw_representation_is_shown_only_when_asked_for() -> None:
    made = view(TextDelta("it"), TurnDone(Message("assistant", (TextPart("it"),)), "<p>it</p>", {}))
    assert "&lt;p&gt;" not in str(answer_html(made))
    assert '<b data-kind="grounding">&lt;p&gt;</b><i data-kind="p">it</i><b data-kind="grounding">&lt;/p&gt;</b>' in str(
        answer_html(made, raw=True)
    )


def test_states_are_said_in_words() -> None:
    waiting = view()
    assert "thinking" in str(answer_html(waiting))
    waiting.note = "loading weights"
    assert "loading weights" in str(answer_html(waiting))
    waiting.stop()
    assert "Stopped before the first word" in str(answer_html(waiting))
    failed = view()
    failed.fail("The weights are missing.")
    assert 'role="alert">The weights are missing.' in str(answer_html(failed))
    assert "nothing to say" in str(answer_html(view(TurnDone(Message("assistant", ()), "", {}))))


def test_text_on_a_region_colour_can_be_read() -> None:
    def luminance(colour: str) -> float:
        values = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for number in range(1, 2 * len(REGION_COLOURS)):
        low, high = sorted(map(luminance, region_colour(number)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, number


def test_endless_animations_go_in_steps() -> None:
    """Smooth ones had Chromium draw 90 frames a second by the processor: at two busy cores its page heard neither words nor a click."""
    style = (Path(frames.__file__).parent / "static" / "style.css").read_text(encoding="utf-8")
    endless = re.findall(r"animation: ([^;]*infinite)", style)
    assert len(endless) >= 4
    assert all("steps(" in one for one in endless), endless
