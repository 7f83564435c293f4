"""Edits of drawn pictures: words -> edits, what counts as drawn, what stays, who is asked, and the committed editor itself."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output, Progress
from unified_demo.experts.drawn_editing import METHOD, is_drawn, looks_drawn, seen_size, with_what_stayed
from unified_demo.experts.drawn_edits import KINDS, drawn_edits, editor_prompt, find_drawn_edits
from unified_demo.experts.restyling import RestylingExpert, for_editor
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact

PHOTOS = Path(__file__).resolve().parents[1] / "assets"


@pytest.mark.parametrize(
    ("instruction", "names"),
    [
        ("Make it look like a FLAT drawing", "flat"),
        ("turn it into a colouring page!", "line"),
        ("give it a blue background", "blue background"),
        ("make the background blue", "blue background"),
        ("make it blue", "blue"),
        ("make it 3-D, at night", "3d, night"),
        ("I wish it were winter and everything pink", "winter, pink"),
        ("a bluebird", ""),
        ("make it darker", ""),
        ("", ""),
    ],
)
def test_words_name_edits(instruction: str, names: str) -> None:
    assert editor_prompt(find_drawn_edits(instruction)) == names


def test_each_edit_is_found_by_its_own_words_and_by_no_other() -> None:
    for edit in drawn_edits().values():
        assert edit.kind in KINDS
        for word in (edit.name, *edit.words):
            assert find_drawn_edits(f"please: {word}, thanks") == (edit,), word


def test_the_longer_word_chooses_between_editor_and_filters() -> None:
    assert for_editor("at night") and for_editor("make it flat")
    assert not for_editor("a watercolour of the night") and not for_editor("sepia")


def drawing() -> Image.Image:
    picture = Image.new("RGB", (256, 256), (245, 245, 246))
    ImageDraw.Draw(picture).ellipse((60, 60, 190, 190), fill=(200, 60, 50))
    return picture


def test_drawings_look_drawn_and_photos_do_not() -> None:
    assert looks_drawn(drawing()) and looks_drawn(drawing().resize((900, 700)))
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    assert not looks_drawn(Image.fromarray(noise)) and looks_drawn(Image.new("RGB", (3, 3)))
    for photo in sorted(PHOTOS.glob("*.jpg")):
        with Image.open(photo) as opened:
            assert not looks_drawn(opened), photo.name


def test_the_recipe_tells_what_was_drawn_here(tmp_path: Path) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    artefact = MediaStore(tmp_path).add_image(photo, "img-1")
    assert not is_drawn(artefact, photo)
    assert is_drawn(replace(artefact, recipe={"layout": []}), photo) and is_drawn(replace(artefact, recipe={"method": METHOD}), photo)


def test_the_network_sees_sides_that_it_can_halve() -> None:
    assert seen_size((256, 256), 256) == (256, 256) and seen_size((512, 512), 256) == (256, 256)
    assert seen_size((1000, 500), 256) == (256, 128) and seen_size((2000, 10), 256) == (256, 64)


def test_what_an_edit_leaves_alone_stays_bit_by_bit() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
    decoded = Image.new("RGB", (40, 40), (100, 100, 100))
    edited = decoded.copy()
    edited.paste((200, 30, 30), (0, 0, 20, 40))
    mixed = np.asarray(with_what_stayed(Image.fromarray(picture), decoded, edited))
    assert (mixed[:, 24:] == picture[:, 24:]).all() and (mixed[:, :16] == (200, 30, 30)).all()


# ---- who is asked ----


class Asked:
    """Keeps its requests."""

    def __init__(self) -> None:
        self.requests: list[ExpertRequest] = []

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        self.requests.append(request)
        yield Progress(1, 1)


class Grey:
    def paint(self, picture: Image.Image, style: int) -> Image.Image:
        return Image.new("RGB", picture.size)


@pytest.fixture
def drawn(tmp_path: Path) -> Artefact:
    return replace(MediaStore(tmp_path).add_image(drawing(), "img-1"), recipe={"layout": []})


@pytest.fixture
def photo(tmp_path: Path) -> Artefact:
    with Image.open(sorted(PHOTOS.glob("*.jpg"))[0]) as opened:
        return MediaStore(tmp_path).add_image(opened.convert("RGB").resize((64, 64)), "img-2")


@pytest.mark.parametrize(("prompt", "asked"), [("make it night", True), ("make it flat", True), ("an oil painting", False)])
def test_drawn_pictures_go_to_the_editor_for_what_it_knows(drawn: Artefact, prompt: str, asked: bool) -> None:
    editor = Asked()
    events = list(RestylingExpert(Grey(), drawn=editor).run(ExpertRequest(prompt, (drawn,))))  # type: ignore[arg-type]
    assert len(editor.requests) == asked and any(isinstance(event, Output) for event in events) != asked


def test_photographs_keep_their_filters(photo: Artefact) -> None:
    editor = Asked()
    expert = RestylingExpert(Grey(), drawn=editor)  # type: ignore[arg-type]
    assert [event.recipe["style"] for event in expert.run(ExpertRequest("make it night", (photo,))) if isinstance(event, Output)] == [
        "night"
    ]
    with pytest.raises(ExpertError, match="Drawn pictures alone can also become: 3-D, flat drawing, line art"):
        list(expert.run(ExpertRequest("make it flat", (photo,))))
    assert not editor.requests
