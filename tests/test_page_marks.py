"""Marks end where the hand put them: drag, click and brush, mouse and finger, in what was sent and in what an expert made."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from page_site import PHOTO, SLACK_PX, Site, Visitor, edges, places, serve

from unified_demo.fakes import FakeExpert, fake_spec
from unified_demo.grammar import GRID, MediaKind
from unified_demo.messages import RegionPart
from unified_demo.ui.marks import AROUND_CLICK

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
BRUSH = 0.035
"""Radius of the brush as a share of the picture's shorter side, as in viewer.js."""
EDITOR = FakeExpert(MediaKind.IMAGE)
CORNERS = {
    "drag": ((0.25, 0.2), (0.5, 0.4), (0.75, 0.7)),
    "click": ((0.4, 0.6),),
    "brush": ((0.3, 0.3), (0.6, 0.4), (0.5, 0.7)),
}
"""Where the hand goes, in shares of the picture."""

Point = tuple[float, float]
Marked = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    experts = [fake_spec(task=task) for task in ("gen", "vgen", "agen")] + [fake_spec(EDITOR, "edit")]
    with serve(tmp_path_factory.mktemp("media"), experts) as made:
        yield made


def figure(visitor: Visitor, source: str) -> Any:
    """A picture of the conversation, img-1 in either case: one that was sent, or one that an expert drew."""
    if source == "attachment":
        visitor.attach(PHOTO)
    visitor.send("draw a fox" if source == "output" else "hello")
    visitor.finished()
    shown = visitor.page.locator(f'.um-{source}[data-artefact="img-1"]')
    shown.locator("img").evaluate("image => image.decode()")
    return shown


def look(visitor: Visitor, shown: Any) -> Any:
    """The picture in the viewer."""
    shown.get_by_role("button", name="Inspect img-1").dispatch_event("click")
    large = visitor.page.locator("#um-viewer .um-stage")
    large.locator("img").evaluate("image => image.decode()")
    return large


def hold(stage: Any) -> None:
    """Bring the picture to the middle of the window; the chat may still follow its last words, until it does no more."""
    stage.evaluate(
        "async (stage) => { const top = () => stage.getBoundingClientRect().top; for (let before = NaN; before !== top();) {"
        " stage.scrollIntoView({ block: 'center', behavior: 'instant' }); before = top();"
        " await new Promise((go) => setTimeout(go, 400)); } }"
    )


def on_screen(stage: Any, points: Sequence[Point]) -> list[Point]:
    (frame,) = places(stage)
    return [(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in points]


def move_mouse(visitor: Visitor, points: Sequence[Point]) -> None:
    mouse = visitor.page.mouse
    mouse.move(*points[0])
    mouse.down()
    for point in points[1:]:
        mouse.move(*point, steps=4)
    mouse.up()


class Fingers:
    """Fingers on the screen of ``visitor``, as the browser's own protocol sends them."""

    def __init__(self, visitor: Visitor) -> None:
        self._wire = visitor.context.new_cdp_session(visitor.page)

    def touch(self, kind: str, *points: Point) -> None:
        """``kind``: touchStart, touchMove or touchEnd; ``points`` are those of all fingers that are down then."""
        told = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self._wire.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": told})

    def move(self, points: Sequence[Point]) -> None:
        self.touch("touchStart", points[0])
        for (x0, y0), (x1, y1) in pairwise(points):
            for step in range(1, 5):
                self.touch("touchMove", (x0 + (x1 - x0) * step / 4, y0 + (y1 - y0) * step / 4))
        self.touch("touchEnd")


def meant(gesture: str, stage: Any) -> Marked:
    """The box that the gesture means, in shares of the picture."""
    (frame,) = places(stage)
    xs, ys = [x for x, _ in CORNERS[gesture]], [y for _, y in CORNERS[gesture]]
    reach = {"drag": 0.0, "click": AROUND_CLICK, "brush": BRUSH}[gesture] * min(frame["width"], frame["height"])
    across, down = reach / frame["width"], reach / frame["height"]
    return (min(xs) - across, min(ys) - down, max(xs) + across, max(ys) + down)


def expect_outline(visitor: Visitor, stage: Any, wanted: Marked) -> float:
    """One chip of img-1, and its outline within two pixels of ``wanted``; returns two pixels as a share of the picture."""
    chip = visitor.page.locator("#um-chips .um-marked")
    stage.locator(".um-pending").wait_for()
    assert chip.count() == 1 and chip.get_attribute("data-artefact") == "img-1"
    frame, drawn = places(stage, stage.locator(".um-pending"))
    corners = [frame["x"] + wanted[0] * frame["width"], frame["y"] + wanted[1] * frame["height"]]
    corners += [frame["x"] + wanted[2] * frame["width"], frame["y"] + wanted[3] * frame["height"]]
    assert edges(drawn) == pytest.approx(corners, abs=SLACK_PX)
    slack = SLACK_PX / min(frame["width"], frame["height"])
    told = [float(share) for share in chip.get_attribute("data-box").split(",")]
    assert told == pytest.approx(wanted, abs=slack)
    return slack


def expect_region(visitor: Visitor, site: Site, wanted: Marked, slack: float) -> None:
    """The model is asked about ``wanted`` in img-1."""
    turns = len(site.model.turns)
    answers = visitor.page.locator(".um-answer").count()
    visitor.send("what is this?")
    visitor.finished(answers + 1)
    assert len(site.model.turns) == turns + 1
    (region,) = [part for part in site.model.turns[-1].messages[-1].parts if isinstance(part, RegionPart)]
    assert region.artefact_id == "img-1"
    assert region.boxes[0].as_tuple() == pytest.approx(wanted, abs=slack)


@pytest.mark.parametrize("source", ["attachment", "output"])
@pytest.mark.parametrize("gesture", list(CORNERS))
def test_the_mouse_marks_in_the_conversation(visitor: Visitor, site: Site, gesture: str, source: str) -> None:
    shown = figure(visitor, source)
    if gesture == "brush":
        look(visitor, shown)
        visitor.page.get_by_label("Brush").check()
        visitor.page.keyboard.press("Escape")
        visitor.page.locator("#um-viewer").wait_for(state="detached")
    stage = shown.locator(".um-stage")
    hold(stage)
    wanted = meant(gesture, stage)
    move_mouse(visitor, on_screen(stage, CORNERS[gesture]))
    expect_region(visitor, site, wanted, expect_outline(visitor, stage, wanted))


@pytest.mark.parametrize("visitor", [PHONE], indirect=True, ids=["phone"])
@pytest.mark.parametrize("source", ["attachment", "output"])
@pytest.mark.parametrize("gesture", list(CORNERS))
def test_a_finger_marks_in_the_viewer(visitor: Visitor, site: Site, gesture: str, source: str) -> None:
    stage = look(visitor, figure(visitor, source))
    if gesture == "brush":
        visitor.page.get_by_label("Brush").check()
    wanted = meant(gesture, stage)
    Fingers(visitor).move(on_screen(stage, CORNERS[gesture]))
    slack = expect_outline(visitor, stage, wanted)
    visitor.page.keyboard.press("Escape")
    visitor.page.locator("#um-viewer").wait_for(state="detached")
    expect_region(visitor, site, wanted, slack)


@pytest.mark.parametrize("visitor", [PHONE], indirect=True, ids=["phone"])
def test_a_second_finger_moves_no_corner(visitor: Visitor) -> None:
    stage = look(visitor, figure(visitor, "attachment"))
    first, between, last = on_screen(stage, CORNERS["drag"])
    (other,) = on_screen(stage, [(0.9, 0.9)])
    fingers = Fingers(visitor)
    fingers.touch("touchStart", first)
    fingers.touch("touchMove", between)
    fingers.touch("touchStart", between, other)
    fingers.touch("touchMove", last, (other[0] - 20, other[1] - 20))
    fingers.touch("touchEnd")
    expect_outline(visitor, stage, meant("drag", stage))


def test_the_call_of_an_expert_takes_the_marked_picture_and_not_the_latest(visitor: Visitor) -> None:
    """From the chip through the answer's <ref> and <box> to the artefact and the region that the expert is asked about."""
    drawn = figure(visitor, "output")
    visitor.attach(PHOTO)
    visitor.send("hello")
    visitor.finished(2)
    stage = look(visitor, drawn)
    wanted = meant("drag", stage)
    move_mouse(visitor, on_screen(stage, CORNERS["drag"]))
    slack = expect_outline(visitor, stage, wanted)
    visitor.page.keyboard.press("Escape")
    visitor.send("repaint this")
    answer = visitor.finished(3)
    request = EDITOR.requests[-1]
    assert [artefact.id for artefact in request.inputs] == ["img-1"]
    assert request.inputs[0].path.name in visitor.page.locator('.um-output[data-artefact="img-1"] img').first.get_attribute("src")
    (region,) = request.regions
    assert (region.artefact_id, request.prompt) == ("img-1", "make it blue")
    assert region.boxes[0].as_tuple() == pytest.approx(wanted, abs=slack + 0.5 / GRID)
    step = answer.locator(".um-step")
    step.locator("summary").click()
    assert "in\nimg-1" in step.locator("dl").inner_text()
    assert answer.locator('.um-output[data-artefact="img-3"]').count() == 1
