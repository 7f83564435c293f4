"""Edits of drawn pictures: words -> edits, what counts as drawn, what stays, who is asked, and the committed editor itself."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output
from unified_demo.experts.drawn_editing import METHOD, DrawnEditExpert, is_drawn, looks_drawn, seen_size
from unified_demo.experts.drawn_edits import KINDS, drawn_edits, editor_prompt, find_drawn_edits
from unified_demo.experts.drawn_layers import COLOURS, Apart, take_apart
from unified_demo.experts.drawn_shading import has_shades, soft, solid
from unified_demo.experts.moods import finished, lit, mood_ground
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


# ---- layers ----


def on_ground(name: str, side: int = 128) -> tuple[Image.Image, np.ndarray]:
    """A red disc with a hole on a ground, and where it is."""
    picture = Image.fromarray(finished(mood_ground(name, side), name).astype(np.uint8))
    mask = Image.new("1", picture.size)
    pen = ImageDraw.Draw(mask)
    pen.ellipse((30, 40, 90, 100), fill=1)
    pen.ellipse((50, 60, 70, 80), fill=0)
    light = lit(np.full((1, 1, 3), (200, 60, 50), np.float32), name)[0, 0]
    picture.paste(tuple(int(value) for value in light), (0, 0), mask)
    return picture, np.asarray(mask)


@pytest.mark.parametrize("name", ["white", "black", "meadow", "beach", "night", "rain", "autumn"])
def test_things_are_told_from_every_kind_of_ground(name: str) -> None:
    picture, mask = on_ground(name)
    apart = take_apart(picture)
    assert apart.name == name
    filled = mask.copy()
    filled[60:81, 50:71] = True
    wanted = filled if name == "white" else mask
    assert ((apart.cover > 0.5) == wanted).mean() > 0.99, "holes stay holes but on paper"


def test_a_cover_that_takes_the_ground_for_a_thing_is_not_believed() -> None:
    picture, mask = on_ground("snow")
    low = np.zeros(mask.shape, np.float32)
    low[70:] = 1
    white = np.zeros(mask.shape, np.float32)
    white[105:120, 100:120] = 1
    assert ((take_apart(picture, lambda _: low).cover > 0.5) == (take_apart(picture).cover > 0.5)).all()
    assert (take_apart(picture, lambda _: white).cover > 0.5)[110:115, 105:115].all(), "a white thing on snow is"


def test_a_ground_that_nobody_knows_is_taken_from_the_rim() -> None:
    picture = Image.new("RGB", (120, 80), (12, 180, 170))
    picture.paste((200, 60, 50), (40, 20, 80, 60))
    apart = take_apart(picture)
    assert apart.name == "" and apart.cover[40, 60] == 1 and (apart.cover > 0.5).sum() == pytest.approx(1600, rel=0.05)
    assert apart.on_ground("beach").size == (120, 80)


def test_a_new_ground_leaves_things_and_a_new_paint_leaves_the_ground() -> None:
    picture, mask = on_ground("meadow")
    before = np.asarray(picture).astype(int)
    inside = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MinFilter(7))) > 0
    outside = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(7))) == 0
    apart = take_apart(picture)
    sea = np.asarray(apart.on_ground("sea")).astype(int)
    assert (sea[inside] == before[inside]).all() and np.abs(sea - mood_ground("sea", 128))[outside].max() <= 1
    blue = np.asarray(apart.painted("blue").picture()).astype(int)
    assert (blue[outside] == before[outside]).all() and (blue[inside][:, 2] > blue[inside][:, 0] + 50).all()


def test_light_goes_with_the_ground_it_came_with() -> None:
    picture, mask = on_ground("night")
    inside = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MinFilter(7))) > 0
    day = np.asarray(take_apart(picture).on_ground("white")).astype(int)
    assert np.abs(day[inside] - (200, 60, 50)).max() <= 4


def test_things_are_redrawn_on_the_ground_that_was_there() -> None:
    picture, mask = on_ground("beach")
    redrawn = take_apart(picture).redrawn(Image.new("RGB", picture.size, (10, 20, 30))).picture()
    outside = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(7))) == 0
    assert (np.asarray(redrawn)[outside] == np.asarray(picture)[outside]).all() and redrawn.getpixel((40, 70)) == (10, 20, 30)


def test_shades_become_few_colours_and_line_art_is_ink_on_white() -> None:
    picture, _ = on_ground("meadow")
    shaded = np.asarray(picture).astype(int)
    shaded[40:100] += np.linspace(-40, 40, 60).astype(int)[:, None, None]
    apart = take_apart(Image.fromarray(shaded.clip(0, 255).astype(np.uint8)))
    inside = apart.cover > 0.99
    assert len(np.unique(apart.flattened().colours[inside], axis=0)) <= COLOURS < len(np.unique(apart.colours[inside], axis=0)) / 2
    lines = apart.outlined()
    shown = lines.colours[lines.cover > 0.99]
    dark, white = (shown.max(-1) < 120).mean(), (shown.min(-1) > 240).mean()
    assert 0.05 < dark < 0.6 and white > 0.3 and np.ptp(shown, axis=-1).max() <= 8


@pytest.mark.parametrize("shade", [solid, soft])
def test_flat_things_become_round(shade: Callable[[Apart], Apart]) -> None:
    """Light comes from above on the left; middle and ground stay; the colour is the same on both halves before."""
    apart = take_apart(drawing())
    lit = shade(apart).colours
    upper, middle, lower = lit[75, 95].mean(), lit[125, 125].mean(), lit[175, 155].mean()
    assert upper > middle + 5 and lower < middle - 5 and middle == pytest.approx(apart.colours[125, 125].mean(), abs=2)
    shown = np.asarray(shade(apart).picture())
    assert (shown[apart.cover == 0] == np.asarray(drawing())[apart.cover == 0]).all()


def test_patches_bulge_apart_in_3d() -> None:
    picture = drawing()
    ImageDraw.Draw(picture).rectangle((100, 60, 150, 190), fill=(60, 90, 200))
    apart = take_apart(picture)
    row = np.ptp(solid(apart).colours[125, 103:148].mean(-1)), np.ptp(soft(apart).colours[125, 103:148].mean(-1))
    assert row[0] > row[1] + 5


def test_what_has_shades_keeps_them(drawn: Artefact, tmp_path: Path) -> None:
    assert not has_shades(take_apart(drawing())) and has_shades(take_apart(Image.new("RGB", (64, 64), (245, 245, 246))))
    shaded = np.asarray(drawing()).astype(int)
    shaded[60:191] += np.where((shaded[60:191] == (200, 60, 50)).all(-1), np.linspace(-55, 55, 131).astype(int)[:, None], 0)[..., None]
    picture = replace(MediaStore(tmp_path).add_image(Image.fromarray(shaded.clip(0, 255).astype(np.uint8)), "img-1"), recipe={"layout": []})
    with pytest.raises(ExpertError, match="have shades already"):
        list(DrawnEditExpert(None).run(ExpertRequest("make it 3-D", (picture,))))
    (flat,) = outputs(DrawnEditExpert(None).run(ExpertRequest("make it flat", (picture,))))
    again = replace(MediaStore(tmp_path).add_image(flat.value, "img-2"), recipe=flat.recipe)
    assert outputs(DrawnEditExpert(None).run(ExpertRequest("make it 3-D", (again,))))


# ---- who is asked ----


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


def outputs(events: Iterator[ExpertEvent]) -> list[Output]:
    return [event for event in events if isinstance(event, Output)]


def expert() -> RestylingExpert:
    return RestylingExpert(Grey(), drawn=DrawnEditExpert(None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prompt", "edits"),
    [
        ("make it night", ["night"]),
        ("everything blue in the desert", ["desert", "blue"]),
        ("flat", ["flat drawing"]),
        ("line art", ["line art"]),
        ("make it 3-D, at night", ["3-D", "night"]),
        ("with soft shades", ["drawing with soft shades"]),
    ],
)
def test_drawn_pictures_are_edited_layer_by_layer(drawn: Artefact, prompt: str, edits: list[str]) -> None:
    (output,) = outputs(expert().run(ExpertRequest(prompt, (drawn,))))
    assert sorted(output.recipe["edits"]) == sorted(edits) and output.recipe["method"] == METHOD and output.of == "img-1"
    assert output.value.size == (256, 256) and output.value.tobytes() != drawing().tobytes()


def test_what_the_editor_does_not_know_goes_the_way_of_photographs(drawn: Artefact, photo: Artefact) -> None:
    for artefact, prompt, style in (
        (drawn, "an oil painting", "oil painting"),
        (photo, "night", "night"),
    ):
        (output,) = outputs(expert().run(ExpertRequest(prompt, (artefact,))))
        assert output.recipe["style"] == style
    with pytest.raises(ExpertError, match=r"Drawn pictures alone can also become: line art, .*meadow") as told:
        list(expert().run(ExpertRequest("on a blue background", (photo,))))
    known = re.findall(r"[^:,.;]+(?=[,.])", str(told.value))
    assert len(known) > 40 and len(set(known)) == len(known), "each is named once"


def test_a_weaker_edit_is_nearer_to_the_picture(drawn: Artefact) -> None:
    far = []
    for strength in (0.0, 0.3, 1.0):
        (output,) = outputs(expert().run(ExpertRequest("make it night", (drawn,), strength=strength)))
        far.append(np.abs(np.asarray(output.value).astype(int) - np.asarray(drawing())).mean())
    assert far[0] == 0 < far[1] < far[2]


def test_a_cancelled_edit_gives_nothing(drawn: Artefact) -> None:
    stopped = threading.Event()
    stopped.set()
    assert not outputs(DrawnEditExpert(None).run(ExpertRequest("night", (drawn,), cancel=stopped)))
    with pytest.raises(ExpertError, match="no picture"):
        list(DrawnEditExpert(None).run(ExpertRequest("night")))
    with pytest.raises(ExpertError, match="not among the changes of drawn pictures"):
        list(DrawnEditExpert(None).run(ExpertRequest("make it a poem", (drawn,))))
