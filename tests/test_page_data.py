"""Point clouds, depth, normals, motion and brain activity in a real browser, and what the microphone records: sent, shown, kept."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from page_site import PHOTO, Site, Visitor, serve
from PIL import Image

from unified_demo.conversation import VISIBLE

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file for each kind, by the id it gets."""
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    vectors = random.standard_normal((30, 40, 3))
    names = {
        "pts-1": "cloud.ply",
        "depth-1": "room_depth.png",
        "norm-1": "normals.npz",
        "imu-1": "walk.csv",
        "fmri-1": "bold.npy",
    }
    found = {key: folder / name for key, name in names.items()}
    head = "ply\nformat ascii 1.0\nelement vertex 200\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    found["pts-1"].write_text(head + "\n".join(" ".join(f"{value:.4f}" for value in row) for row in random.random((200, 3))))
    Image.fromarray((1000 + 10 * np.arange(1200, dtype=np.uint16)).reshape(30, 40)).save(found["depth-1"])
    np.savez(found["norm-1"], normals=vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
    table = np.c_[np.arange(100) / 50, random.standard_normal((100, 6))]
    np.savetxt(found["imu-1"], table, delimiter=",", header="time_s,ax,ay,az,gx,gy,gz", comments="")
    np.save(found["fmri-1"], random.standard_normal((12, 14, 10)))
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("page")
    with serve(folder / "media", kept=folder / "kept.sqlite", reads=VISIBLE) as made:
        yield made


FACTS = {
    "pts-1": "point cloud200 points",
    "depth-1": "depth map30 × 40",
    "norm-1": "surface normals30 × 40",
    "imu-1": "motion (IMU)100 samples2.0 s",
    "fmri-1": "brain activity (fMRI)12 × 14 × 10",
}
DRAWN = "image => image.complete && image.naturalWidth >= 200"


def shown(visitor: Visitor) -> dict[str, str]:
    """Captions of the data in the conversation, each of whose previews has been drawn."""
    frames = visitor.page.locator("#um-conversation .um-data")
    for frame in frames.all():
        frame.scroll_into_view_if_needed()
        visitor.page.wait_for_function(
            f"({DRAWN})(document.querySelector('[data-artefact=\"{frame.get_attribute('data-artefact')}\"] img'))"
        )
    return {frame.get_attribute("data-artefact"): frame.locator("figcaption").text_content() for frame in frames.all()}


@pytest.mark.parametrize("visitor", [{}, PHONE], indirect=True, ids=["light", "dark phone"])
def test_data_is_previewed_kept_and_honestly_not_read(visitor: Visitor, site: Site, files: dict[str, Path]) -> None:
    page = visitor.page
    asked = len(site.model.turns)
    visitor.attach_all(list(files.values()))
    assert page.locator(".um-draft").all_inner_texts()[1].split() == ["depth-1", "depth", "map"]
    page.locator(".um-draft > button").nth(1).click()
    assert page.locator("#um-viewer .um-stage img").evaluate(DRAWN)
    assert page.locator("#um-viewer header p").inner_text().startswith("depth map · 30 × 40")
    assert not page.locator("#um-viewer footer").is_visible(), "there is nothing to mark or to switch in data"
    page.keyboard.press("Escape")
    visitor.send("what is all this?")
    answer = visitor.finished()
    said = answer.locator(".um-text").inner_text()
    assert said.startswith("I cannot read point clouds (pts-1), depth maps (depth-1), ") and "brain activity (fMRI) (fmri-1) yet" in said
    assert len(site.model.turns) == asked, "nobody guessed"
    captions = shown(visitor)
    assert list(captions) == list(files) and all(FACTS[key] in caption for key, caption in captions.items())
    page.reload()
    visitor.finished()
    assert shown(visitor) == captions
    width = page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], "nothing sticks out"


def test_data_is_downloaded_as_numbers(visitor: Visitor, files: dict[str, Path], tmp_path: Path) -> None:
    visitor.attach_all([files["fmri-1"]])
    visitor.send("keep this")
    visitor.finished()
    visitor.page.locator('#um-conversation [data-artefact="fmri-1"]').hover()
    with visitor.page.expect_download() as waiting:
        visitor.page.get_by_role("link", name="Download fmri-1").click()
    assert waiting.value.suggested_filename == "fmri-1.npy"
    waiting.value.save_as(tmp_path / "back.npy")
    assert np.allclose(np.load(tmp_path / "back.npy"), np.load(files["fmri-1"]))


def test_data_beside_a_picture_leaves_the_picture_to_the_model(visitor: Visitor, site: Site, files: dict[str, Path]) -> None:
    visitor.attach_all([PHOTO, files["pts-1"]])
    visitor.send("segment the dog")
    answer = visitor.finished()
    assert answer.locator(".um-mask").count() == 1 and len(shown(visitor)) == 1
    visitor.page.locator('#um-conversation [data-artefact="pts-1"]').hover()
    visitor.page.get_by_role("button", name="Use pts-1 as input").click()
    visitor.page.locator('#um-chips .um-marked[data-artefact="pts-1"] image').wait_for()
    asked = len(site.model.turns)
    visitor.send("turn it")
    assert visitor.finished(2).locator(".um-text").inner_text().startswith("I cannot read point clouds (pts-1) yet")
    assert len(site.model.turns) == asked


def test_what_cannot_be_used_is_said_at_once(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("a,b,c,d,e,f\n1,2,3,4,5,walking\n")
    visitor.attach(tmp_path / "notes.csv")
    visitor.page.locator(".um-notice").get_by_text("Line 2 of the table has 'walking'").wait_for()
    assert visitor.page.locator(".um-draft").count() == 0


@pytest.mark.parametrize("visitor", [{"permissions": ["microphone"]}], indirect=True)
def test_what_the_microphone_records_arrives_as_a_sound(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    microphone = page.get_by_role("button", name="Record audio")
    microphone.click()
    page.get_by_role("button", name="Start recording").wait_for()
    microphone.click()
    page.get_by_role("button", name="Start recording").wait_for(state="detached")
    microphone.click()
    page.get_by_role("button", name="Start recording").click()
    page.locator(".timestamp").get_by_text("0:01").wait_for()
    page.get_by_role("button", name="Stop recording").click()
    page.get_by_role("button", name="Attach audio").click()
    page.locator("#um-composer .thumbnail-item").wait_for()
    visitor.send("what do you hear?")
    answer = visitor.finished()
    assert answer.locator(".um-text").inner_text().startswith("I cannot hear sounds (aud-1) yet")
    player = page.locator('#um-conversation [data-artefact="aud-1"] audio')
    page.wait_for_function("document.querySelector('[data-artefact=\"aud-1\"] audio').duration >= 1")
    assert player.count() == 1


@pytest.mark.parametrize("visitor", [{"permissions": ["camera"]}], indirect=True)
def test_the_camera_gives_a_picture_that_can_be_marked(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    page.evaluate("""() => {
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wish) => {
            window.lent = await ask(wish);
            window.seen = lent.getTracks()[0].getSettings();
            return lent;
        };
    }""")
    ended = "lent.getTracks().every(track => track.readyState === 'ended')"
    page.get_by_role("button", name="Picture from the camera").click()
    page.wait_for_function("window.lent")
    page.keyboard.press("Escape")
    page.wait_for_function(ended)
    page.get_by_role("button", name="Picture from the camera").click()
    page.get_by_role("button", name="Take the picture").click()
    page.locator(".um-draft").get_by_text("Mark a region").wait_for()
    assert page.locator("#um-camera").count() == 0 and page.evaluate(ended)
    visitor.send("segment the dog")
    assert visitor.finished().locator(".um-mask").count() == 1
    picture = page.locator('#um-conversation .um-question [data-artefact="img-1"] img')
    sides = picture.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])")
    assert sides == page.evaluate("[seen.width, seen.height]") and min(sides) >= 240


def test_a_page_without_a_camera_says_so(visitor: Visitor) -> None:
    page = visitor.page
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); }; }")
    page.get_by_role("button", name="Picture from the camera").click()
    page.get_by_text("There is no camera, or this page may not use it").wait_for()
    assert page.get_by_role("button", name="Take the picture").is_disabled()
    page.get_by_role("button", name="Close").click()
    page.locator("#um-camera").wait_for(state="detached")
