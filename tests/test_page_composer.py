"""Pictures that come into the composer through the clipboard or by drag and drop; and what stands there of a file that is no picture."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_site import PHOTO, Site, Visitor, serve

from unified_demo.messages import MediaPart

pytestmark = pytest.mark.browser

PUT = """([events, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "dog.jpg", { type: "image/jpeg" }));
  const field = document.querySelector("#um-composer textarea");
  for (const name of events) {
    const manner = { bubbles: true, cancelable: true };
    field.dispatchEvent(name === "paste" ? new ClipboardEvent(name, { ...manner, clipboardData: transfer })
                                         : new DragEvent(name, { ...manner, dataTransfer: transfer }));
  }
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("media")) as made:
        yield made


@pytest.mark.parametrize("events", [["paste"], ["dragenter", "dragover", "drop"]], ids=["paste", "drop"])
def test_a_picture_is_pasted_or_dropped_and_asked_about(visitor: Visitor, site: Site, events: list[str]) -> None:
    visitor.page.evaluate(PUT, [events, base64.b64encode(PHOTO.read_bytes()).decode("ascii")])
    visitor.page.get_by_role("button", name="img-1 Mark a region").wait_for()
    visitor.send("segment the dog")
    assert visitor.finished().locator(".um-mask").count() == 1
    (media,) = (part.artefact for part in site.model.turns[-1].messages[-1].parts if isinstance(part, MediaPart))
    assert (media.id, media.width, media.height) == ("img-1", 1024, 768)
    assert visitor.page.locator(".um-attachment img").count() == 1


def test_a_damaged_picture_stands_there_by_its_ending(visitor: Visitor, site: Site, tmp_path: Path) -> None:
    """Not as the browser's broken picture; a good one that takes its place is shown."""
    damaged = tmp_path / "broken.jpg"
    damaged.write_bytes(b"\xff\xd8\xff\xe0 no more")
    visitor.attach(damaged)
    thumbnail = visitor.page.locator("#um-composer .thumbnail-item")
    visitor.page.locator("#um-composer [data-unseen=JPG]").wait_for()
    assert thumbnail.get_attribute("title") == "broken.jpg"
    assert not thumbnail.locator("img").is_visible()
    visitor.page.locator(".um-notice").get_by_text("broken.jpg").wait_for()
    visitor.attach(PHOTO)
    visitor.page.get_by_role("button", name="img-1 Mark a region").wait_for()
    assert thumbnail.nth(1).locator("img").is_visible()
    assert visitor.page.locator("#um-composer [data-unseen]").count() == 1
    thumbnail.first.locator(".delete-button").dispatch_event("click")
    visitor.page.wait_for_function("() => document.querySelectorAll('#um-composer .thumbnail-item').length === 1")
    visitor.page.locator("#um-composer [data-unseen]").wait_for(state="detached")
    assert thumbnail.locator("img").is_visible()
