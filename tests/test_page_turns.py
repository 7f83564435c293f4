"""Edit, retry and undo of any question: its pictures, its video and its marks come back and reach the model as before."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from page_site import PHOTO, Site, Visitor, chips, drag, regions, serve, wait_for_turns
from PIL import Image

from unified_demo.messages import Conversation, MediaPart, Message
from unified_demo.recordings import video_bytes

pytestmark = pytest.mark.browser

MARK = (0.2, 0.2, 0.6, 0.7)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("media")) as made:
        yield made


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(video_bytes([np.full((48, 64, 3), shade, np.uint8) for shade in (40, 200)], 2.0))
    return path


def choose(visitor: Visitor, *files: Path) -> None:
    """Put files into the composer; they have been read when the pictures among them have their buttons."""
    there = visitor.page.locator("#um-composer .thumbnail-item").count()
    field = visitor.page.locator("#um-composer input[type=file]").first
    field.evaluate("field => { field.value = ''; }")
    field.set_input_files([str(file) for file in files])
    visitor.page.locator("#um-composer .thumbnail-item").nth(there + len(files) - 1).wait_for()
    visitor.page.locator(".um-draft").first.wait_for()


def mark(visitor: Visitor, picture: str) -> None:
    """Mark MARK in a picture that waits in the composer."""
    visitor.page.get_by_role("button", name=picture).click()
    drag(visitor, visitor.page.locator("#um-viewer .um-stage"), MARK)
    chips(visitor, 1)
    visitor.page.keyboard.press("Escape")
    visitor.page.locator("#um-viewer").wait_for(state="detached")


def ask_three_times(visitor: Visitor, site: Site, film: Path) -> Message:
    """Three questions; the one in the middle has a picture, a video and a mark, and is returned as the model saw it."""
    visitor.send("hello")
    visitor.finished()
    choose(visitor, PHOTO, film)
    mark(visitor, "img-1")
    visitor.send("what is this?")
    visitor.finished(2)
    visitor.send("and then?")
    visitor.finished(3)
    asked = site.model.turns[-1].messages[2]
    assert [part.artefact.id for part in asked.parts if isinstance(part, MediaPart)] == ["img-1", "vid-1"]
    (region,) = regions(Conversation((asked,)))
    assert (region.artefact_id, region.phrase) == ("img-1", "this")
    return asked


def everything_is_back(visitor: Visitor) -> None:
    """In the composer: the words, both files and the mark."""
    visitor.page.wait_for_function("document.querySelector('#um-composer textarea').value === 'what is this?'")
    visitor.page.locator("#um-composer .thumbnail-item").nth(1).wait_for()
    visitor.page.locator(".um-draft").wait_for()
    assert "img-1" in chips(visitor, 1).inner_text()


def test_a_question_that_is_edited_comes_back_whole(visitor: Visitor, site: Site, film: Path) -> None:
    asked = ask_three_times(visitor, site, film)
    visitor.page.locator(".um-question").nth(1).hover()
    visitor.page.get_by_role("button", name="Edit").nth(1).click()
    visitor.page.locator(".um-editing").wait_for()
    everything_is_back(visitor)
    assert visitor.page.locator(".um-answer").count() == 3, "nothing goes before it is sent"
    visitor.send("what is this thing?")
    visitor.finished(2)
    _, _, sent = site.model.turns[-1].messages
    assert [part for part in sent.parts if isinstance(part, MediaPart)] == [part for part in asked.parts if isinstance(part, MediaPart)]
    (before,), (after,) = regions(Conversation((asked,))), regions(site.model.turns[-1])
    assert (after.boxes, after.artefact_id, after.phrase) == (before.boxes, "img-1", "this thing")
    chips(visitor, 0)


def test_what_is_edited_and_not_changed_is_the_same_message(visitor: Visitor, site: Site, film: Path) -> None:
    asked = ask_three_times(visitor, site, film)
    visitor.page.locator(".um-question").nth(1).hover()
    visitor.page.get_by_role("button", name="Edit").nth(1).click()
    everything_is_back(visitor)
    visitor.page.locator("#um-composer .submit-button").click()
    visitor.finished(2)
    assert site.model.turns[-1].messages[-1] == asked


def test_a_question_in_the_middle_is_asked_again(visitor: Visitor, site: Site, film: Path) -> None:
    """What follows goes with it, so the button asks once more; that of the last question does not."""
    asked = ask_three_times(visitor, site, film)
    turns = len(site.model.turns)
    visitor.page.locator(".um-question").nth(1).hover()
    retry = visitor.page.locator(".um-question [data-um=retry]")
    retry.nth(1).click()
    visitor.page.get_by_role("button", name="Retry: what followed it goes; sure?").click()
    visitor.finished(2)
    assert len(site.model.turns) == turns + 1
    assert site.model.turns[-1] == site.model.turns[turns - 2] and site.model.turns[-1].messages[-1] == asked
    assert visitor.page.locator(".um-attachment :is(img, video)").count() == 2
    retry.last.click()
    wait_for_turns(visitor, site, turns + 2)
    visitor.finished(2)
    assert site.model.turns[-1] == site.model.turns[-2]


def test_an_armed_retry_does_nothing_yet(visitor: Visitor, site: Site) -> None:
    for number in (1, 2):
        visitor.send("hello")
        visitor.finished(number)
    turns = len(site.model.turns)
    visitor.page.locator(".um-question").first.hover()
    visitor.page.locator(".um-question [data-um=retry]").first.click()
    visitor.page.locator(".um-question [data-sure]").wait_for()
    visitor.send("go on")
    visitor.finished(3)
    assert len(site.model.turns) == turns + 1 and len(site.model.turns[-1].messages) == 5


def test_undo_takes_back_any_number_of_questions(visitor: Visitor, site: Site, film: Path) -> None:
    asked = ask_three_times(visitor, site, film)
    visitor.press("Undo")
    visitor.page.wait_for_function("document.querySelector('#um-composer textarea').value === 'and then?'")
    visitor.press("Undo")
    everything_is_back(visitor)
    assert visitor.page.locator(".um-question").count() == 1
    visitor.page.locator("#um-composer .submit-button").click()
    visitor.finished(2)
    assert site.model.turns[-1].messages[-1] == asked
    visitor.press("Undo")
    visitor.page.locator(".um-attachment").first.wait_for(state="detached")
    everything_is_back(visitor)


def test_the_last_question_is_asked_again_with_its_marks(visitor: Visitor, site: Site) -> None:
    choose(visitor, PHOTO)
    mark(visitor, "img-1")
    visitor.send("segment this")
    visitor.finished()
    turns = len(site.model.turns)
    visitor.press("Retry")
    wait_for_turns(visitor, site, turns + 1)
    visitor.page.locator(".um-answer .um-mask").wait_for()
    assert site.model.turns[-1] == site.model.turns[-2]
    assert len(regions(site.model.turns[-1])) == 1
    assert visitor.page.locator(".um-said .um-marked").inner_text().startswith("this")


def test_files_change_while_a_question_is_edited(visitor: Visitor, site: Site, tmp_path: Path) -> None:
    """One goes, one comes: the mark stays with its picture, which has another id now."""
    files = []
    for colour in ("teal", "maroon", "gold"):
        files.append(tmp_path / f"{colour}.png")
        Image.new("RGB", (200, 160), colour).save(files[-1])
    choose(visitor, *files[:2])
    mark(visitor, "img-2")
    visitor.send("what is this?")
    visitor.finished()
    before = site.model.turns[-1].messages[0]
    visitor.page.locator(".um-question").hover()
    visitor.page.get_by_role("button", name="Edit").click()
    visitor.page.locator(".um-draft").nth(1).wait_for()
    visitor.page.locator("#um-composer .thumbnail-item").first.hover()
    visitor.page.locator("#um-composer .thumbnail-item .delete-button").first.click()
    visitor.page.locator("#um-chips .um-marked").get_by_text("img-1").wait_for()
    choose(visitor, files[2])
    visitor.page.locator(".um-draft").nth(1).wait_for()
    visitor.page.locator("#um-composer .submit-button").click()
    visitor.page.wait_for_function("() => !document.querySelector('.um-editing')")
    visitor.finished()
    (after,) = site.model.turns[-1].messages
    (_, kept), (stays, new) = ([part.artefact for part in one.parts if isinstance(part, MediaPart)] for one in (before, after))
    assert stays.path == kept.path and (stays.id, new.id) == ("img-1", "img-2")
    with Image.open(new.path) as picture:
        assert picture.convert("RGB").getpixel((100, 80)) == (255, 215, 0)
    (was,), (now,) = regions(Conversation((before,))), regions(Conversation((after,)))
    assert (was.artefact_id, now.artefact_id) == ("img-2", "img-1") and now.boxes == was.boxes
