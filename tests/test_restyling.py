"""Edits of whole photos: words -> styles, photographic filters, the expert with stand-ins, and the style networks themselves."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unified_demo.config import Settings
from unified_demo.data.wordings import words
from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output, Progress
from unified_demo.experts.drawn_editing import DrawnEditExpert
from unified_demo.experts.photo_filters import FILTERS, apply
from unified_demo.experts.restyling import ROLES, RestylingExpert, build_specs, find_style, styles
from unified_demo.experts.style_nets import STYLES, StyleNets
from unified_demo.grammar import MediaKind, Task
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact
from unified_demo.zoo import Zoo

NOT_A_MATTER_OF_TONE = {"anime style", "low poly style", "cyberpunk style", "flat icon style"}


class Nets:
    """Paints everything in one grey that tells what was asked."""

    def paint(self, picture: Image.Image, style: int) -> Image.Image:
        return Image.new("RGB", picture.size, (style, style, style))

    def paint_like(self, picture: Image.Image, example: Image.Image) -> Image.Image:
        return Image.new("RGB", picture.size, (200, 200, 200))


class Instructed:
    def __init__(self) -> None:
        self.requests: list[ExpertRequest] = []

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        self.requests.append(request)
        yield Progress(1, 1)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """Sky over leaves over skin: a blue, a green and a pale orange band with noise."""
    bands = np.repeat(np.array([(110, 160, 230), (60, 130, 50), (220, 170, 140)]), 20, axis=0)[:, None, :].repeat(90, axis=1)
    noise = np.random.default_rng(0).normal(0, 8, bands.shape)
    return Image.fromarray((bands + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture
def picture(photo: Image.Image, tmp_path: Path) -> Artefact:
    return MediaStore(tmp_path).add_image(photo, "img-1")


def output(events: Iterator[ExpertEvent]) -> Output:
    (found,) = [event for event in events if isinstance(event, Output)]
    return found


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(float)


# ---- words ----


@pytest.mark.parametrize(
    ("instruction", "name"),
    [
        ("in the style of van Gogh", "van Gogh"),
        ("make it a Japanese woodcut", "Japanese woodblock print"),
        ("pastel painting", "chalk"),
        ("make it darker", "darker"),
        ("let it be dark", "night"),
        ("Make it BLACK AND WHITE", "black and white"),
        ("turn it into an oil  painting", "oil painting"),
        ("put it on the moon", None),
        ("make everything of chocolate", None),
    ],
)
def test_the_longest_word_decides(instruction: str, name: str | None) -> None:
    style = find_style(instruction)
    assert (style.name if style else None) == name


def test_what_the_model_is_taught_to_write_is_known_but_for_new_content() -> None:
    known = {row["call"]: find_style(row["call"]) is not None for row in words()["change"]}
    for row in words()["change"]:
        wanted = row["group"] in ("time", "season", "weather", "colour", "style") and row["call"] not in NOT_A_MATTER_OF_TONE
        assert known[row["call"]] or not wanted, row["call"]
        assert not (known[row["call"]] and row["group"] == "place"), row["call"]


def test_the_table_is_sound() -> None:
    named = [word for style in styles() for word in style.words]
    assert len(named) == len(set(named)) and all(word == word.lower() for word in named)
    for style in styles():
        assert (style.net is None) != (style.filter == "") and (style.net is None or 0 <= style.net < STYLES)
    assert {style.filter for style in styles() if style.filter} == set(FILTERS)


# ---- filters ----


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_changes_the_picture_and_keeps_its_size(name: str, photo: Image.Image) -> None:
    changed = apply(name, photo, seed=1)
    assert changed.size == photo.size and changed.mode == "RGB"
    assert np.abs(pixels(changed) - pixels(photo)).mean() > 4
    assert changed.tobytes() == apply(name, photo, seed=1).tobytes()
    assert apply(name, Image.new("RGB", (9, 300), "white"), seed=1).size == (9, 300)


def test_tones_do_what_they_say(photo: Image.Image) -> None:
    plain = pixels(photo)
    grey = pixels(apply("grey", photo))
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 1] == grey[..., 2]).all()
    assert pixels(apply("brighter", photo)).mean() > plain.mean() + 15 and pixels(apply("darker", photo)).mean() < plain.mean() - 15
    warmth = {
        name: float((pixels(apply(name, photo))[..., 0] - pixels(apply(name, photo))[..., 2]).mean()) for name in ("warmer", "colder")
    }
    assert warmth["colder"] < float((plain[..., 0] - plain[..., 2]).mean()) - 10 < warmth["warmer"] - 20
    spread = {name: float(np.ptp(pixels(apply(name, photo)), axis=2).mean()) for name in ("stronger", "pastel")}
    assert spread["pastel"] < float(np.ptp(plain, axis=2).mean()) < spread["stronger"]


def test_seasons_change_leaves_and_not_skin(photo: Image.Image) -> None:
    leaves, skin = slice(22, 38), slice(44, 58)
    plain, autumn = pixels(photo), pixels(apply("autumn", photo))
    assert (plain[leaves, :, 1] > plain[leaves, :, 0]).mean() > 0.99
    assert (autumn[leaves, :, 0] > autumn[leaves, :, 1]).mean() > 0.95
    assert np.abs(autumn[skin] - plain[skin]).mean() < 20


def test_night_is_dark_and_blue(photo: Image.Image) -> None:
    night = pixels(apply("night", photo))
    assert night.mean() < 0.45 * pixels(photo).mean() and (night[..., 2] >= night[..., 0]).mean() > 0.99


# ---- the expert ----


def expert(instructed: Instructed | None = None) -> RestylingExpert:
    return RestylingExpert(Nets(), instructed)  # type: ignore[arg-type]


def test_strength_mixes_with_the_photo(picture: Artefact, photo: Image.Image) -> None:
    full = output(expert().run(ExpertRequest("in the style of van Gogh", (picture,))))
    half = output(expert().run(ExpertRequest("in the style of van Gogh, 50%", (picture,))))
    assert full.value.getpixel((5, 5)) == (19, 19, 19) and full.of == "img-1" and full.kind == MediaKind.IMAGE
    assert full.recipe == {"style": "van Gogh", "strength": 1.0, "method": "style network"}
    assert np.abs(pixels(half.value) - (pixels(photo) + 19) / 2).max() <= 1
    assert output(expert().run(ExpertRequest("sepia", (picture,), strength=0.0))).value.tobytes() == photo.tobytes()


def test_filters_are_called_filters(picture: Artefact, photo: Image.Image) -> None:
    made = output(expert().run(ExpertRequest("make it snow", (picture,), seed=3)))
    assert made.recipe["method"] == "photographic filter" and made.value.tobytes() == apply("snowfall", photo, 3).tobytes()


def test_a_second_picture_is_the_style_of_the_first(picture: Artefact, tmp_path: Path) -> None:
    example = MediaStore(tmp_path).add_image(Image.new("RGB", (40, 40), "red"), "img-2")
    made = output(expert().run(ExpertRequest("make it look like this", (picture, example))))
    assert made.value.getpixel((0, 0)) == (200, 200, 200) and made.recipe["style"] == "the style of img-2" and made.of == "img-1"


def test_what_is_not_known_says_what_is(picture: Artefact) -> None:
    with pytest.raises(ExpertError, match="van Gogh, impressionist"):
        list(expert().run(ExpertRequest("put it on the moon", (picture,))))
    instructed = Instructed()
    list(expert(instructed).run(ExpertRequest("put it on the moon", (picture,))))
    list(expert(instructed).run(ExpertRequest("make it sepia", (picture,))))
    assert [request.prompt for request in instructed.requests] == ["put it on the moon"]


def test_photographs_become_flat_and_soft_drawings(photo: Image.Image) -> None:
    flat, soft = (apply(style.filter, photo) for style in (find_style("a flat drawing"), find_style("with soft shades")) if style)
    colours = [len(picture.getcolors(1 << 24)) for picture in (flat.resize((64, 64), Image.Resampling.NEAREST), photo.resize((64, 64)))]
    assert colours[0] < colours[1] / 4, "few colours"
    detail = [np.abs(np.diff(pixels(picture), axis=1)).mean() for picture in (soft, photo)]
    assert detail[0] < 0.8 * detail[1], "less detail"


def test_what_is_for_drawings_alone_is_said_so(picture: Artefact) -> None:
    asked = RestylingExpert(Nets(), drawn=DrawnEditExpert(None))  # type: ignore[arg-type]
    with pytest.raises(ExpertError, match="'make it 3-D' can be done to drawn pictures alone, and this one looks like a photograph"):
        list(asked.run(ExpertRequest("make it 3-D", (picture,))))


def test_a_picture_is_needed() -> None:
    with pytest.raises(ExpertError, match="no picture"):
        list(expert().run(ExpertRequest("sepia")))


def test_cancel_ends_without_a_picture(picture: Artefact) -> None:
    cancel = threading.Event()
    cancel.set()
    assert not [event for event in expert().run(ExpertRequest("sepia", (picture,), cancel=cancel)) if isinstance(event, Output)]


# ---- the networks ----


@pytest.fixture(scope="module")
def nets() -> StyleNets:
    settings = Settings()
    zoo = Zoo(settings.cache_dir, settings.weights_dir)
    return StyleNets(*(zoo.path(role) for role in ROLES))


@pytest.mark.parametrize("size", [(91, 62), (8, 40)])
def test_every_style_is_another_one(nets: StyleNets, photo: Image.Image, size: tuple[int, int]) -> None:
    picture = photo.resize(size)
    painted = [nets.paint(picture, style) for style in range(0, STYLES, 5)]
    assert all(image.size == size for image in painted)
    assert len({image.tobytes() for image in painted}) == len(painted)


def test_likeness_follows_the_example(nets: StyleNets, photo: Image.Image) -> None:
    rng = np.random.default_rng(0)
    red, blue = (Image.fromarray((rng.random((60, 60, 3)) * tone).astype(np.uint8)) for tone in ((255, 60, 30), (30, 60, 255)))
    like_red, like_blue = pixels(nets.paint_like(photo, red)), pixels(nets.paint_like(photo, blue))
    assert like_red.shape == (60, 90, 3)
    assert (like_red[..., 0] - like_red[..., 2]).mean() > (like_blue[..., 0] - like_blue[..., 2]).mean() + 30


def test_spec_loads_nothing(tmp_path: Path) -> None:
    (spec,) = build_specs(Zoo(tmp_path, Settings().weights_dir))
    assert spec.task == Task.IMAGE_EDITING and spec.licence == "Apache-2.0" and list(tmp_path.iterdir()) == []
