"""Region editing: what a call asks for, holes and seams, the expert with stand-ins, and MI-GAN with its real weights."""

import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unified_demo.config import Settings
from unified_demo.data.changes import OPERATIONS
from unified_demo.data.wordings import entries
from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertRequest, Output, Progress
from unified_demo.experts.patches import Mask, Pixels, grow, paste_inside
from unified_demo.experts.recolouring import COLOURS, recolour
from unified_demo.experts.region_editing import LEAST_GROWTH, METHODS, RegionEditingExpert, around, build_specs
from unified_demo.experts.region_wishes import Wish, read_wish, thing_of_wish
from unified_demo.experts.resizing import resized
from unified_demo.experts.segmentation import SegmentationExpert, load_mobile_sam
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact, RegionPart, Stroke
from unified_demo.strokes import painted_mask
from unified_demo.zoo import Zoo


class BoxOutliner:
    """Outlines the box itself, or nothing."""

    def __init__(self, empty: bool = False) -> None:
        self.looks, self.empty = 0, empty

    def embed(self, image: Image.Image) -> Image.Image:
        self.looks += 1
        return image

    def mask(self, image: Image.Image, corners: tuple[float, float, float, float]) -> Mask:
        mask = np.zeros((image.height, image.width), bool)
        x0, y0, x1, y1 = map(round, corners)
        mask[y0:y1, x0:x1] = not self.empty
        return mask


class Painter:
    """Fills everything, the hole and the rest, with one grey; keeps the holes."""

    def __init__(self) -> None:
        self.holes: list[Mask] = []

    def fill(self, picture: Pixels, hole: Mask) -> Pixels:
        self.holes.append(hole)
        return np.full_like(picture, 100)


@pytest.fixture
def picture(tmp_path: Path) -> Artefact:
    noise = np.random.default_rng(0).integers(120, 256, (60, 100, 3), dtype=np.uint8)
    return MediaStore(tmp_path).add_image(Image.fromarray(noise), "img-1")


def expert(painter: Painter | None = None, empty: bool = False) -> RegionEditingExpert:
    outliner = SegmentationExpert(BoxOutliner(empty))  # type: ignore[arg-type]
    return RegionEditingExpert(outliner, painter or Painter())  # type: ignore[arg-type]


def asked(picture: Artefact, prompt: str, *boxes: Box, cancel: threading.Event | None = None) -> ExpertRequest:
    return ExpertRequest(prompt, (picture,), (RegionPart(prompt, boxes, artefact_id=picture.id),), cancel=cancel or threading.Event())


def pixels(picture: Artefact) -> Pixels:
    return np.asarray(Image.open(picture.path))


# ---- what is asked for ----


@pytest.mark.parametrize(
    ("prompt", "wish"),
    [
        ("remove the dog on the left", Wish("remove")),
        ("Please erase the red car.", Wish("remove")),
        ("take the cup out of the picture", Wish("remove")),
        ("", Wish("remove")),
        ("replace the dog with a red balloon", Wish("replace", "a red balloon")),
        ("turn the dog into a wolf", Wish("replace", "a wolf")),
        ("make the dog a wolf", Wish("replace", "a wolf")),
        ("make the second cup from the left dark green", Wish("recolour", "dark green")),
        ("paint the wall red", Wish("recolour", "red")),
        ("change the colour of the car to blue", Wish("recolour", "blue")),
        ("make the dog bigger", Wish("resize", "bigger")),
        ("make the red dog on the left a bit larger", Wish("resize", "bigger")),
        ("shrink the dog", Wish("resize", "smaller")),
        ("make the dog bigger than the cat", Wish("resize", "bigger")),
        ("turn the smaller dog into a wolf", Wish("replace", "a wolf")),
        ("make the larger cup a vase", Wish("replace", "a vase")),
        ("make the small dog blue", Wish("recolour", "blue")),
        ("add a bowl of apples to the right of the dog", Wish("add", "a bowl of apples")),
        ("add a present with a ribbon at the top", Wish("add", "a present with a ribbon")),
        ("blur the background", Wish("backdrop", "blurred")),
        ("make the background out of focus", Wish("backdrop", "blurred")),
        ("darken everything but the dog", Wish("backdrop", "darker")),
        ("make the background black and white", Wish("backdrop", "black and white")),
        ("make the background white", Wish("recolour", "white")),
        ("crop to the dog", Wish("crop")),
    ],
)
def test_wish_is_read_from_the_words(prompt: str, wish: Wish) -> None:
    assert read_wish(prompt) == wish


def test_what_the_model_is_taught_to_write_is_understood() -> None:
    written = {
        "remove": "remove the cup",
        "replace": "replace the cup with a goldfish bowl",
        "recolour": "make the cup golden",
        "add": "add a cactus left of the cup",
        "resize": "make the cup smaller",
    }
    assert set(written) >= set(OPERATIONS)
    assert all(read_wish(words).operation == operation for operation, words in written.items())
    assert set(entries("content", "colours")) <= set(COLOURS)
    assert all(read_wish(f"add a {noun} on the left") == Wish("add", f"a {noun}") for noun in entries("content", "nouns"))


def test_a_wish_that_is_not_understood_is_not_guessed(picture: Artefact) -> None:
    with pytest.raises(ExpertError, match="'remove …'"):
        list(expert().run(asked(picture, "give him a friend", Box(0, 0, 1, 1))))


# ---- sizes ----


def box_mask(rows: slice, columns: slice) -> Mask:
    mask = np.zeros((60, 100), bool)
    mask[rows, columns] = True
    return mask


@pytest.mark.parametrize(("factor", "rows", "columns"), [(1.5, slice(20, 50), slice(25, 55)), (0.5, slice(40, 50), slice(35, 45))])
def test_a_thing_is_scaled_where_it_stands_and_nothing_else_changes(factor: float, rows: slice, columns: slice) -> None:
    red, grey = np.full((60, 100, 3), (200, 30, 20), np.uint8), np.full((60, 100, 3), 100, np.uint8)
    made = resized(red, grey, box_mask(slice(30, 50), slice(30, 50)), factor)
    assert ((made == red).all(2) == box_mask(rows, columns)).all()
    assert (made[~box_mask(rows, columns)] == 100).all()


def test_what_grows_over_the_edge_is_cut_off() -> None:
    red, grey = np.full((60, 100, 3), (200, 30, 20), np.uint8), np.full((60, 100, 3), 100, np.uint8)
    made = resized(red, grey, box_mask(slice(5, 60), slice(0, 30)), 1.4)
    assert ((made == red).all(2) == box_mask(slice(0, 60), slice(0, 36))).all()


def test_a_thing_is_made_smaller(picture: Artefact) -> None:
    before, painter = pixels(picture), Painter()
    *_, made = expert(painter).run(asked(picture, "make the dog smaller", Box(0.2, 0.2, 0.6, 0.8)))
    assert isinstance(made, Output)
    after = np.asarray(made.value)
    hole = painter.holes[0]
    assert (after[~hole] == before[~hole]).all()
    assert 0.3 < (after[hole] == 100).all(1).mean() < 0.8, "what it no longer covers is filled"
    assert made.recipe == {"operation": "resize", "new": "smaller", "factor": 0.7, "method": METHODS["resize"]}


# ---- backgrounds ----


def test_the_background_of_several_things_is_changed_at_once(picture: Artefact) -> None:
    boxes = Box(0.1, 0.2, 0.3, 0.8), Box(0.6, 0.2, 0.8, 0.8)
    *steps, made = expert().run(asked(picture, "make the background darker", *boxes))
    assert isinstance(made, Output) and len(steps) == 4
    before, after = pixels(picture), np.asarray(made.value)
    kept = (after == before).all(2)
    assert (kept == (box_mask(slice(12, 48), slice(10, 30)) | box_mask(slice(12, 48), slice(60, 80)))).all()
    assert made.recipe == {"operation": "backdrop", "new": "darker", "method": METHODS["backdrop"]}
    cancel = threading.Event()
    cancel.set()
    assert not any(isinstance(event, Output) for event in expert().run(asked(picture, "blur the background", *boxes, cancel=cancel)))


def test_a_picture_is_cut_to_its_things_without_a_look(picture: Artefact) -> None:
    outliner = BoxOutliner()
    cropper = RegionEditingExpert(SegmentationExpert(outliner), Painter())  # type: ignore[arg-type]
    *_, made = cropper.run(asked(picture, "crop to the dogs", Box(0.2, 0.25, 0.4, 0.5), Box(0.5, 0.5, 0.7, 0.75)))
    assert isinstance(made, Output) and outliner.looks == 0
    assert made.recipe["cut"] == pytest.approx([0.17, 0.22, 0.73, 0.78], abs=1e-3)
    assert (np.asarray(made.value) == pixels(picture)[13:47, 17:73]).all()
    assert around([Box(0, 0, 1, 1)]) == Box(0, 0, 1, 1)
    *_, tiny = cropper.run(asked(picture, "crop to the dot", Box(0.5, 0.5, 0.501, 0.501)))
    assert isinstance(tiny, Output) and min(tiny.value.size) >= 1


# ---- holes and seams ----


@given(st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_growing_is_the_square_around_every_pixel(radius: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 13)) < 0.06
    expected = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        expected[max(0, row - radius) : row + radius + 1, max(0, column - radius) : column + radius + 1] = True
    assert (grow(mask, radius) == expected).all()


@given(st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_nothing_outside_the_mask_changes(feather: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture, patch = rng.integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    mask = np.zeros((20, 30), bool)
    mask[3:17, 0:25] = True
    pasted = paste_inside(picture, patch, mask, feather)
    assert (pasted[~mask] == picture[~mask]).all()
    deep = mask & ~grow(~mask, 2 * feather)
    assert deep.any() and (pasted[deep] == patch[deep]).all()
    low, high = np.minimum(picture, patch), np.maximum(picture, patch)
    assert ((pasted >= low) & (pasted <= high)).all()


def test_another_colour_keeps_light_and_shade() -> None:
    ramp = np.repeat(np.linspace(40, 220, 50)[None, :, None], 3, axis=2).repeat(10, axis=0).astype(np.uint8)
    blue = recolour(ramp, np.ones((10, 50), bool), "blue").astype(int)
    light = blue.sum(axis=2)[0]
    assert (np.diff(light) >= 0).all() and light[0] < light[-1] - 100
    assert (blue[..., 2] >= blue[..., 0]).all() and abs(blue[0, 25] - np.array(COLOURS["blue"])).max() < 12


# ---- the expert ----


def test_removal_fills_the_grown_outline_and_nothing_else(picture: Artefact) -> None:
    painter = Painter()
    events = list(expert(painter).run(asked(picture, "remove the dog", Box(0.3, 0.3, 0.6, 0.7))))
    assert [(event.step, event.steps) for event in events if isinstance(event, Progress)] == [(0, 2), (1, 2), (2, 2)]
    (output,) = [event for event in events if isinstance(event, Output)]
    assert (output.kind, output.of, output.recipe) == (MediaKind.IMAGE, "img-1", {"operation": "remove", "method": "MI-GAN"})
    (hole,) = painter.holes
    before, after = pixels(picture), np.asarray(output.value)
    assert hole[15:45, 27:63].all() and hole.mean() < 0.3
    assert (after[~hole] == before[~hole]).all() and (after[18:42, 30:60] == 100).all()


def test_several_boxes_are_done_one_after_the_other(picture: Artefact) -> None:
    painter = Painter()
    boxes = Box(0.05, 0.1, 0.3, 0.5), Box(0.6, 0.5, 0.9, 0.9)
    events = list(expert(painter).run(asked(picture, "remove them", *boxes)))
    (output,) = [event for event in events if isinstance(event, Output)]
    changed = (np.asarray(output.value) != pixels(picture)).any(axis=2)
    assert len(painter.holes) == 2 and not (changed & ~(painter.holes[0] | painter.holes[1])).any()


def test_where_nothing_stands_out_the_box_is_the_hole(picture: Artefact) -> None:
    painter = Painter()
    list(expert(painter, empty=True).run(asked(picture, "remove the stain", Box(0.3, 0.3, 0.6, 0.7))))
    assert painter.holes[0][18:42, 30:60].all()


PAINTED = (Stroke(((0.35, 0.4), (0.5, 0.65)), 0.08), Stroke(((0.5, 0.4),), 0.05))
PAINTED_BOX = Box(0.3, 0.3, 0.6, 0.75)


def painted(picture: Artefact, prompt: str) -> ExpertRequest:
    return replace(asked(picture, prompt, PAINTED_BOX), strokes={PAINTED_BOX: PAINTED})


def test_what_was_painted_is_removed_and_not_what_stands_out_in_its_box(picture: Artefact) -> None:
    painter, outliner = Painter(), BoxOutliner()
    editor = RegionEditingExpert(SegmentationExpert(outliner), painter)  # type: ignore[arg-type]
    *_, made = editor.run(painted(picture, "remove this"))
    (hole,), brushed = painter.holes, painted_mask(PAINTED, 100, 60)
    assert isinstance(made, Output) and made.recipe == {"operation": "remove", "mask": "painted by hand", "method": "MI-GAN"}
    assert (hole == grow(brushed, LEAST_GROWTH)).all() and outliner.looks == 0
    before, after = pixels(picture), np.asarray(made.value)
    assert (after[~hole] == before[~hole]).all() and (after[brushed] == 100).all(1).mean() > 0.9


def test_another_colour_ends_where_the_paint_does(picture: Artefact) -> None:
    *_, made = expert().run(painted(picture, "make this blue"))
    assert isinstance(made, Output)
    brushed = painted_mask(PAINTED, 100, 60)
    assert ((np.asarray(made.value) != pixels(picture)).any(axis=2) <= brushed).all()
    assert (np.asarray(made.value)[brushed] != pixels(picture)[brushed]).any(axis=1).mean() > 0.9


def test_a_layer_takes_the_place_of_what_was_painted(picture: Artefact) -> None:
    painter, remover = ContentPainter(fills_box=False), Painter()
    content = RegionEditingExpert(SegmentationExpert(BoxOutliner()), remover, painter)  # type: ignore[arg-type]
    list(content.run(painted(picture, "replace this with a wolf")))
    (hole,), ((place, _),) = remover.holes, painter.asked
    assert place == PAINTED_BOX and (hole == grow(painted_mask(PAINTED, 100, 60), LEAST_GROWTH)).all()


def test_another_colour_needs_no_model(picture: Artefact) -> None:
    painter = Painter()
    (output,) = [
        event for event in expert(painter).run(asked(picture, "make it blue", Box(0.3, 0.3, 0.6, 0.7))) if isinstance(event, Output)
    ]
    after = np.asarray(output.value).astype(int)
    assert not painter.holes and output.recipe["method"] == "photographic filter"
    assert (after[25:35, 40:50, 2] > after[25:35, 40:50, 0]).all()


@pytest.mark.parametrize("prompt", ["replace the dog with a wolf", "add a hat on the dog"])
def test_new_content_without_a_generator_is_refused(picture: Artefact, prompt: str) -> None:
    with pytest.raises(ExpertError, match="no generator"):
        list(expert().run(asked(picture, prompt, Box(0.3, 0.3, 0.6, 0.7))))


class ContentPainter:
    """Paints the box red, in two steps; keeps what it was asked and saw."""

    def __init__(self, fills_box: bool = True) -> None:
        self.asked: list[tuple[Box, str]] = []
        self.seen: list[Pixels] = []
        self.fills_box = fills_box

    def check(self, phrase: str) -> None:
        if "dragon" in phrase:
            raise ExpertError("'dragon' is not among the nouns that can be drawn here.")

    def recipe(self, request: ExpertRequest) -> dict[str, Any]:
        return {"steps": 2}

    def paint(self, request: ExpertRequest, picture: Pixels, box: Box, phrase: str) -> Generator[Progress, None, Pixels | None]:
        self.asked.append((box, phrase))
        self.seen.append(picture.copy())
        for step in (1, 2):
            yield Progress(step, 2)
            if request.cancel.is_set():
                return None
        return np.full_like(picture, (255, 0, 0))


@pytest.mark.parametrize(
    ("prompt", "phrase", "operation"),
    [("replace the dog with a wolf", "a wolf", "replace"), ("add a straw hat on the dog", "a straw hat", "add")],
)
def test_new_content_goes_to_the_generator(picture: Artefact, prompt: str, phrase: str, operation: str) -> None:
    painter = ContentPainter()
    outliner = SegmentationExpert(BoxOutliner())  # type: ignore[arg-type]
    content = RegionEditingExpert(outliner, Painter(), painter)  # type: ignore[arg-type]
    asked_box = Box(0.3, 0.3, 0.6, 0.7)
    events = list(content.run(asked(picture, prompt, asked_box)))
    (output,) = [event for event in events if isinstance(event, Output)]
    ((box, words),) = painter.asked
    assert words == phrase and output.recipe == {"operation": operation, "new": phrase, "steps": 2}
    assert (box == asked_box) == (operation == "add") and box.x0 <= asked_box.x0 and box.y1 >= asked_box.y1


def test_what_a_layer_replaces_is_removed_first(picture: Artefact) -> None:
    painter, remover = ContentPainter(fills_box=False), Painter()
    content = RegionEditingExpert(SegmentationExpert(BoxOutliner()), remover, painter)  # type: ignore[arg-type]
    box = Box(0.3, 0.3, 0.6, 0.7)
    list(content.run(asked(picture, "replace the dog with a wolf", box)))
    (hole,), ((place, _),), (seen,) = remover.holes, painter.asked, painter.seen
    assert place == box and (seen[20:40, 35:55] == 100).all() and (seen[~hole] == pixels(picture)[~hole]).all()


def test_what_cannot_be_drawn_is_said_before_anything_is_removed(picture: Artefact) -> None:
    remover = Painter()
    content = RegionEditingExpert(SegmentationExpert(BoxOutliner()), remover, ContentPainter())  # type: ignore[arg-type]
    with pytest.raises(ExpertError, match="'dragon'"):
        list(content.run(asked(picture, "replace the dog with a dragon", Box(0.3, 0.3, 0.6, 0.7))))
    assert remover.holes == []


def test_cancel_while_content_is_painted(picture: Artefact) -> None:
    cancel = threading.Event()
    outliner = SegmentationExpert(BoxOutliner())  # type: ignore[arg-type]
    content = RegionEditingExpert(outliner, Painter(), ContentPainter())  # type: ignore[arg-type]
    run = content.run(asked(picture, "add a hat", Box(0.3, 0.3, 0.6, 0.7), cancel=cancel))
    next(event for event in run if isinstance(event, Progress) and event.steps == 2 and event.step == 1)
    cancel.set()
    assert not [event for event in run if isinstance(event, Output)]


def test_cancel_ends_without_a_picture(picture: Artefact) -> None:
    cancel = threading.Event()
    run = expert().run(asked(picture, "remove them", Box(0, 0, 0.5, 0.5), Box(0.5, 0.5, 1, 1), cancel=cancel))
    next(event for event in run if isinstance(event, Progress) and event.step == 2)
    cancel.set()
    assert list(run) == []


def test_a_picture_and_a_box_are_needed(picture: Artefact) -> None:
    for request in (asked(picture, "remove it"), ExpertRequest("remove it", (), asked(picture, "", Box(0, 0, 1, 1)).regions)):
        with pytest.raises(ExpertError, match="at least one box"):
            list(expert().run(request))


def test_spec_loads_nothing(tmp_path: Path) -> None:
    (spec,) = build_specs(Zoo(tmp_path, Settings().weights_dir))
    assert spec.task == Task.REASONING_EDITING and spec.licence == "MIT" and "segmenter" in spec.weights
    assert list(tmp_path.iterdir()) == []


# ---- the real weights ----


@pytest.mark.weights
def test_a_thing_vanishes_from_a_photo(tmp_path: Path) -> None:
    settings = Settings()
    zoo = Zoo(settings.cache_dir, settings.weights_dir)
    ground = np.random.default_rng(0).normal(0, 6, (160, 240, 3)) + np.linspace(90, 160, 240)[None, :, None]
    scene = ground.clip(0, 255).astype(np.uint8)
    with_disc = scene.copy()
    rows, columns = np.mgrid[:160, :240]
    with_disc[(rows - 80) ** 2 + (columns - 120) ** 2 < 30**2] = (200, 30, 20)
    picture = MediaStore(tmp_path).add_image(Image.fromarray(with_disc), "img-1")
    (spec,) = build_specs(zoo)
    loaded = spec.load()
    box = Box(88 / 240, 48 / 160, 152 / 240, 112 / 160)
    (output,) = [event for event in loaded.run(asked(picture, "remove the disc", box)) if isinstance(event, Output)]
    after = np.asarray(output.value).astype(int)
    disc = (rows - 80) ** 2 + (columns - 120) ** 2 < 30**2
    assert np.abs(after - scene)[disc].mean() < 15 < np.abs(with_disc.astype(int) - scene)[disc].mean()
    far = (rows - 80) ** 2 + (columns - 120) ** 2 > 60**2
    assert (after[far] == with_disc[far]).all()
    assert load_mobile_sam(zoo) is loaded._outliner, "the segmentation task uses the same model"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wish", "thing"),
    [
        ("remove the dog", "the dog"),
        ("Please remove the dog on the left.", "the dog"),
        ("take the man with a hat away", "the man with a hat"),
        ("delete the cup from the picture", "the cup"),
        ("make the big car red", "the big car"),
        ("change the colour of the dog to brown", "the dog"),
        ("make the cat bigger than the dog", "the cat"),
        ("shrink the boat", "the boat"),
        ("replace the dog with a cat", "the dog"),
        ("turn the apple into an orange", "the apple"),
        ("make the dog a cat", "the dog"),
        ("add a red hat on the table", "a red hat"),
        ("remove it", ""),
        ("make this one red", ""),
        ("whatever", ""),
    ],
)
def test_what_a_wish_is_about(wish: str, thing: str) -> None:
    assert thing_of_wish(wish) == thing
