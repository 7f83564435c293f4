"""Marking regions in pictures, reusing artefacts and looking at them closely, with mouse, touch and keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from page_site import BOX, PHOTO, SLACK_PX, Site, Visitor, chips, drag, edges, places, regions, serve
from PIL import Image

from unified_demo.fakes import fake_spec
from unified_demo.grammar import GRID
from unified_demo.media import RECIPE_KEY
from unified_demo.messages import MediaPart, TextPart

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    experts = [fake_spec(task=task) for task in ("gen", "vgen", "agen")]
    with serve(tmp_path_factory.mktemp("media"), experts) as made:
        yield made


def test_a_dragged_box_arrives_within_two_pixels(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    stage = visitor.finished().locator(".um-stage")
    wanted = (0.6, 0.1, 0.85, 0.4)
    drag(visitor, stage, wanted)
    assert "img-1" in chips(visitor, 1).inner_text()
    frame, drawn = places(stage, stage.locator(".um-pending"))
    pixels = [
        frame["x"] + wanted[0] * frame["width"], frame["y"] + wanted[1] * frame["height"],
        frame["x"] + wanted[2] * frame["width"], frame["y"] + wanted[3] * frame["height"],
    ]  # fmt: skip
    assert edges(drawn) == pytest.approx(pixels, abs=SLACK_PX)
    visitor.send("what is this?")
    visitor.finished(2)
    chips(visitor, 0)
    (region,) = regions(site.model.turns[-1])
    assert (region.phrase, region.artefact_id) == ("this", "img-1")
    slack = SLACK_PX / min(frame["width"], frame["height"])
    assert region.boxes[0].as_tuple() == pytest.approx(wanted, abs=slack)
    assert visitor.page.locator(".um-said .um-marked").inner_text().startswith("this")


def test_a_click_means_the_thing_that_is_there(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    stage = visitor.finished().locator(".um-stage")
    stage.scroll_into_view_if_needed()
    frame = stage.bounding_box()
    visitor.page.mouse.click(frame["x"] + 0.3 * frame["width"], frame["y"] + 0.5 * frame["height"])
    chips(visitor, 1)
    visitor.send("segment that")
    visitor.finished(2)
    (region,) = regions(site.model.turns[-1])
    assert region.boxes[0].as_tuple() == pytest.approx([value / GRID for value in BOX], abs=1e-3)


def test_marks_in_the_question_s_own_picture_and_their_removal(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.send("hello")
    visitor.finished()
    stage = visitor.page.locator(".um-attachment .um-stage")
    drag(visitor, stage, (0.1, 0.1, 0.5, 0.5))
    drag(visitor, stage, (0.5, 0.5, 0.9, 0.9))
    chips(visitor, 2).first.locator("button").click()
    chips(visitor, 1)
    visitor.send("put it here")
    visitor.finished(2)
    assert [round(region.boxes[0].x0, 1) for region in regions(site.model.turns[-1])] == [0.5]


def test_a_stroke_of_the_brush_means_what_it_covers(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    visitor.finished().locator(".um-tools button").first.focus()
    visitor.page.get_by_role("button", name="Inspect img-1").last.click()
    visitor.page.get_by_label("Brush").check()
    stage = visitor.page.locator("#um-viewer .um-stage")
    frame = stage.bounding_box()
    x, y, side = frame["x"], frame["y"], min(frame["width"], frame["height"])
    mouse = visitor.page.mouse
    mouse.move(x + 0.3 * frame["width"], y + 0.3 * frame["height"])
    mouse.down()
    mouse.move(x + 0.6 * frame["width"], y + 0.4 * frame["height"], steps=5)
    stage.locator(".um-stroke polyline").wait_for(state="attached")
    mouse.move(x + 0.5 * frame["width"], y + 0.7 * frame["height"], steps=5)
    mouse.up()
    stage.locator(".um-pending").wait_for()
    visitor.page.keyboard.press("Escape")
    visitor.send("what is this?")
    visitor.finished(2)
    (region,) = regions(site.model.turns[-1])
    reach = 0.035 * side
    across, down = reach / frame["width"], reach / frame["height"]
    slack = SLACK_PX / side
    assert region.boxes[0].as_tuple() == pytest.approx((0.3 - across, 0.3 - down, 0.6 + across, 0.7 + down), abs=slack)


def test_a_region_is_marked_before_the_picture_is_sent(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.page.get_by_role("button", name="img-1").click()
    drag(visitor, visitor.page.locator("#um-viewer .um-stage"), (0.2, 0.2, 0.6, 0.7))
    chips(visitor, 1)
    visitor.page.keyboard.press("Escape")
    visitor.send("what is this?")
    visitor.finished()
    message = site.model.turns[-1].messages[-1]
    assert [part.artefact.id for part in message.parts if isinstance(part, MediaPart)] == ["img-1"]
    (region,) = regions(site.model.turns[-1])
    assert region.artefact_id == "img-1"
    assert region.boxes[0].as_tuple() == pytest.approx((0.2, 0.2, 0.6, 0.7), abs=0.01)
    chips(visitor, 0)
    visitor.page.locator(".um-draft").wait_for(state="detached")


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_a_finger_marks_in_the_viewer(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    visitor.finished().locator(".um-stage").tap()
    large = visitor.page.locator("#um-viewer .um-stage")
    large.wait_for()
    assert large.bounding_box()["width"] > 320
    large.tap(position={"x": 100, "y": 120})
    visitor.page.locator("#um-viewer .um-pending").wait_for()
    visitor.page.locator("#um-viewer .um-close").tap()
    chips(visitor, 1)
    visitor.send("what is this?")
    visitor.finished(2)
    assert len(regions(site.model.turns[-1])) == 1


def test_the_keyboard_marks_in_the_viewer(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.send("hello")
    visitor.finished()
    visitor.page.get_by_role("button", name="Inspect img-1").focus()
    keyboard = visitor.page.keyboard
    keyboard.press("Enter")
    visitor.page.locator("#um-viewer .um-stage:focus").wait_for()
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowRight", "Enter"):
        keyboard.press(key)
    visitor.page.locator("#um-viewer .um-pending").wait_for()
    keyboard.press("Escape")
    visitor.page.locator("#um-viewer").wait_for(state="detached")
    visitor.send("what is this?")
    visitor.finished(2)
    (region,) = regions(site.model.turns[-1])
    assert region.boxes[0].as_tuple() == pytest.approx((0.37, 0.37, 0.69, 0.67), abs=1e-3)


def test_outputs_have_ids_players_and_can_be_used_again(visitor: Visitor, site: Site) -> None:
    visitor.send("draw a fox")
    answer = visitor.finished()
    assert [figure.get_attribute("data-artefact") for figure in answer.locator(".um-output").all()] == ["img-1", "vid-1", "aud-1"]
    assert answer.locator("video").evaluate("video => video.duration") == pytest.approx(1.0, abs=0.1)
    visitor.page.wait_for_function("document.querySelector('.um-sound canvas').dataset.drawn === 'yes'")
    answer.locator(".um-output").first.hover()
    answer.get_by_role("button", name="Use img-1 as input").click()
    chips(visitor, 1)
    visitor.send("make it blue")
    visitor.finished(2)
    assert site.model.turns[-1].messages[-1].parts == (TextPart("make it blue (I mean img-1)"),)


def test_a_downloaded_output_carries_its_recipe(visitor: Visitor, tmp_path: Path) -> None:
    visitor.send("draw a fox")
    answer = visitor.finished()
    answer.locator(".um-output").first.hover()
    with visitor.page.expect_download() as waiting:
        answer.get_by_role("link", name="Download img-1").click()
    assert waiting.value.suggested_filename == "img-1.png"
    waiting.value.save_as(tmp_path / "img-1.png")
    told = Image.open(tmp_path / "img-1.png").text[RECIPE_KEY]
    assert '"prompt": "a fox"' in told and '"seed": 0' in told


def test_the_viewer_shows_recipe_and_layers(visitor: Visitor) -> None:
    visitor.send("draw a fox")
    answer = visitor.finished()
    answer.locator(".um-output").first.hover()
    answer.get_by_role("button", name="Inspect img-1").click()
    viewer = visitor.page.locator("#um-viewer")
    assert "a fox" in viewer.locator(".um-recipe").inner_text()
    viewer.get_by_label("Masks and boxes").uncheck()
    viewer.locator("svg").first.wait_for(state="hidden")
    viewer.get_by_label("Opacity").fill("80")
    assert visitor.page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--um-fill')") == "80"


def test_editing_a_question_keeps_its_picture_and_marks(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.send("hello")
    visitor.finished()
    drag(visitor, visitor.page.locator(".um-attachment .um-stage"), (0.1, 0.1, 0.5, 0.5))
    visitor.send("what is this?")
    visitor.finished(2)
    first = site.model.turns[-1].messages[0]
    visitor.page.locator(".um-question").first.hover()
    visitor.page.get_by_role("button", name="Edit").first.click()
    visitor.page.locator(".um-editing").wait_for()
    visitor.page.wait_for_function("document.querySelector('#um-composer textarea').value === 'hello'")
    visitor.send("segment the dog")
    assert visitor.finished(1).locator(".um-mask").count() == 1
    (message,) = site.model.turns[-1].messages
    assert message.parts == (first.parts[0], TextPart("segment the dog"))
    assert isinstance(first.parts[0], MediaPart)
    assert visitor.page.locator(".um-editing").count() == 0


def test_labels_never_cover_each_other(visitor: Visitor) -> None:
    visitor.attach(PHOTO)
    visitor.send("crowd")
    stage = visitor.finished().locator(".um-stage")
    visitor.page.wait_for_timeout(300)
    frame, *labels = map(edges, places(stage, *stage.locator(".um-label:not(.is-crowded)").all()))
    assert len(labels) >= 4
    for index, one in enumerate(labels):
        assert one[0] >= frame[0] - 1 and one[1] >= frame[1] - 1 and one[2] <= frame[2] + 1 and one[3] <= frame[3] + 1
        for other in labels[:index]:
            assert one[2] <= other[0] + 1 or other[2] <= one[0] + 1 or one[3] <= other[1] + 1 or other[3] <= one[1] + 1


def test_shortcuts(visitor: Visitor, site: Site) -> None:
    keyboard = visitor.page.keyboard
    keyboard.press("Control+k")
    visitor.page.locator("#um-search :is(input, textarea):focus").wait_for()
    keyboard.press("Control+k")
    visitor.page.locator("#um-search").wait_for(state="hidden")
    visitor.page.locator("body").evaluate("() => document.activeElement.blur()")
    keyboard.press("/")
    visitor.page.locator("#um-composer textarea:focus").wait_for()
    visitor.send("endless")
    visitor.page.wait_for_function("(document.querySelector('.um-text')?.innerText ?? '').includes('word')")
    keyboard.press("Escape")
    assert visitor.finished().get_attribute("data-state") == "stopped"
    assert site.script.closed.wait(60)
