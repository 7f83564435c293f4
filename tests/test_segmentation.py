"""The segmentation expert with a stand-in model, TinyViT on tiny sizes, and MobileSAM with its real weights."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from unified_demo.config import Settings
from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output, Progress
from unified_demo.experts.mobile_sam import MobileSam, convert_checkpoint, fastest_dtype
from unified_demo.experts.segmentation import KEPT_PICTURES, SegmentationExpert, build_specs, within_box
from unified_demo.experts.tiny_vit import TinyViT, TinyViTSize, WindowAttention
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.media import MediaStore, mask_to_box
from unified_demo.messages import Artefact, RegionPart
from unified_demo.zoo import Zoo

SMALL = TinyViTSize((8, 16, 16, 24), (1, 1, 1, 1), (1, 2, 2, 3), (3, 3, 4, 3), out_channels=12)


class StandIn:
    """Answers with the filled box, or with nothing; counts how often it looked at a picture."""

    def __init__(self, empty: bool = False) -> None:
        self.looks, self.empty = 0, empty

    def embed(self, image: Image.Image) -> Image.Image:
        self.looks += 1
        return image

    def mask(self, image: Image.Image, corners: tuple[float, float, float, float]) -> np.ndarray:
        mask = np.zeros((image.height, image.width), bool)
        x0, y0, x1, y1 = map(round, corners)
        mask[y0:y1, x0:x1] = not self.empty
        return mask


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path)


@pytest.fixture
def picture(store: MediaStore) -> Artefact:
    return store.add_image(Image.new("RGB", (100, 50), "navy"), "img-1")


def asked(picture: Artefact, *boxes: Box, cancel: threading.Event | None = None) -> ExpertRequest:
    region = RegionPart("the dog", boxes, artefact_id=picture.id)
    return ExpertRequest("the dog", (picture,), (region,), cancel=cancel or threading.Event())


def outputs(events: Iterator[ExpertEvent]) -> list[Output]:
    return [event for event in events if isinstance(event, Output)]


# ---- the expert ----


def test_one_mask_per_box_with_progress(picture: Artefact) -> None:
    boxes = Box(0, 0, 0.5, 0.5), Box(0.5, 0.5, 1, 1)
    events = list(SegmentationExpert(StandIn()).run(asked(picture, *boxes)))  # type: ignore[arg-type]
    steps = [(event.step, event.steps) for event in events if isinstance(event, Progress)]
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    first, second = outputs(iter(events))
    assert (first.kind, first.of, first.label, first.box) == (MediaKind.MASK, "img-1", "the dog", boxes[0])
    assert first.value.shape == (50, 100) and first.value.dtype == bool and second.recipe == {"area": 0.25}


def test_picture_is_looked_at_once(picture: Artefact) -> None:
    model = StandIn()
    expert = SegmentationExpert(model)  # type: ignore[arg-type]
    expert.prepare((picture,))
    assert model.looks == 1
    for box in (Box(0, 0, 0.5, 0.5), Box(0.5, 0.5, 1, 1)):
        assert len(outputs(expert.run(asked(picture, box)))) == 1
    assert model.looks == 1


def test_cache_is_small(store: MediaStore) -> None:
    model = StandIn()
    expert = SegmentationExpert(model)  # type: ignore[arg-type]
    pictures = [store.add_image(Image.new("RGB", (20, 20), (index, 0, 0)), f"img-{index}") for index in range(KEPT_PICTURES + 1)]
    for picture in (*pictures, pictures[-1], pictures[0]):
        expert.prepare((picture,))
    assert model.looks == len(pictures) + 1


def test_cancel_at_each_step(picture: Artefact) -> None:
    boxes = Box(0, 0, 0.5, 0.5), Box(0.5, 0.5, 1, 1)
    for allowed in range(4):
        cancel = threading.Event()
        run = SegmentationExpert(StandIn()).run(asked(picture, *boxes, cancel=cancel))  # type: ignore[arg-type]
        seen = list(itertools.islice(run, allowed))
        cancel.set()
        after = list(run)
        assert len(outputs(iter(after))) <= (1 if seen and isinstance(seen[-1], Progress) and seen[-1].step >= 2 else 0)


def test_what_cannot_be_done_is_said(picture: Artefact) -> None:
    expert = SegmentationExpert(StandIn(empty=True))  # type: ignore[arg-type]
    with pytest.raises(ExpertError, match="larger region"):
        list(expert.run(asked(picture, Box(0.1, 0.1, 0.2, 0.2))))
    for request in (asked(picture), ExpertRequest("the dog", (), asked(picture, Box(0, 0, 1, 1)).regions)):
        with pytest.raises(ExpertError, match="at least one box"):
            list(expert.run(request))


def test_mask_stays_near_its_box() -> None:
    kept = within_box(np.ones((100, 100), bool), (20.0, 40.0, 60.0, 60.0))
    assert mask_to_box(kept) == Box(0.18, 0.39, 0.62, 0.61)


def test_spec_loads_nothing(tmp_path: Path) -> None:
    (spec,) = build_specs(Zoo(tmp_path, Settings().weights_dir))
    assert spec.task == Task.IMAGE_SEGMENTATION and spec.licence == "Apache-2.0" and spec.weights == ("segmenter",)
    assert list(tmp_path.iterdir()) == []


# ---- TinyViT ----


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (16, 112)])
def test_tiny_vit_shape_for_any_picture(size: tuple[int, int]) -> None:
    features = TinyViT(SMALL).eval()(torch.randn(2, 3, *size))
    assert features.shape == (2, 12, size[0] // 16, size[1] // 16)


def test_folding_changes_nothing() -> None:
    torch.manual_seed(0)
    model = TinyViT(SMALL).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                torch.nn.init.normal_(values, 0.5, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    pixels = torch.randn(1, 3, 64, 48)
    with torch.inference_mode():
        before = model(pixels)
        assert torch.allclose(model.fold()(pixels), before, atol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


def test_window_attention_matches_its_definition() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(8, 2, 3)
    torch.nn.init.normal_(attention.attention_biases)
    tokens = torch.randn(5, 9, 8)
    mixed = attention.qkv(attention.norm(tokens)).view(5, 9, 2, 12)
    expected = torch.empty(5, 9, 8)
    for head in range(2):
        query, key, value = mixed[:, :, head].split(4, dim=-1)
        scores = query @ key.transpose(1, 2) / 2
        for a, b in itertools.product(range(9), repeat=2):
            rows, columns = abs(a // 3 - b // 3), abs(a % 3 - b % 3)
            scores[:, a, b] = scores[:, a, b] + attention.attention_biases[head, rows * 3 + columns]
        expected[..., head * 4 : head * 4 + 4] = scores.softmax(-1) @ value
    assert torch.allclose(attention(tokens), attention.proj(expected), atol=1e-5)


# ---- the real weights ----


@pytest.fixture(scope="module")
def real() -> MobileSam:
    settings = Settings()
    zoo = Zoo(settings.cache_dir, settings.weights_dir)
    return MobileSam.from_file(zoo.converted("segmenter", ".safetensors", convert_checkpoint))


def scene(size: tuple[int, int] = (300, 200)) -> tuple[Image.Image, np.ndarray]:
    """A red disc on a noisy green ground, and where it is."""
    width, height = size
    ground = np.random.default_rng(0).integers(60, 120, (height, width, 3), dtype=np.uint8)
    ground[..., 1] += 60
    image = Image.fromarray(ground)
    disc = Image.new("1", size)
    ImageDraw.Draw(disc).ellipse((90, 50, 190, 150), fill=1)
    image.paste((200, 40, 30), mask=disc)
    return image.filter(ImageFilter.GaussianBlur(0.7)), np.asarray(disc)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.weights
@pytest.mark.parametrize("size", [(300, 200), (200, 300)])
def test_disc_is_cut_out(real: MobileSam, size: tuple[int, int]) -> None:
    image, disc = scene(size)
    mask = real.mask(real.embed(image), (88.0, 48.0, 192.0, 152.0))
    assert mask.shape == (size[1], size[0]) and overlap(mask, disc) > 0.95


@pytest.mark.weights
def test_faster_precision_gives_the_same_mask(real: MobileSam) -> None:
    settings = Settings()
    zoo = Zoo(settings.cache_dir, settings.weights_dir)
    image, _ = scene()
    masks = []
    for dtype in (torch.float32, torch.bfloat16):
        model = MobileSam.from_file(zoo.converted("segmenter", ".safetensors", convert_checkpoint), dtype)
        masks.append(model.mask(model.embed(image), (88.0, 48.0, 192.0, 152.0)))
    assert overlap(*masks) > 0.97 and fastest_dtype() in (torch.float32, torch.bfloat16)


@pytest.mark.weights
def test_checkpoint_that_does_not_fit_is_refused() -> None:
    from safetensors.torch import load_file

    settings = Settings()
    zoo = Zoo(settings.cache_dir, settings.weights_dir)
    state = load_file(zoo.converted("segmenter", ".safetensors", convert_checkpoint))
    state.pop("image_encoder.neck.0.weight")
    with pytest.raises(ValueError, match=r"neck\.0\.weight"):
        MobileSam(state)


@pytest.mark.weights
def test_whole_path_from_spec_to_mask(store: MediaStore) -> None:
    settings = Settings()
    (spec,) = build_specs(Zoo(settings.cache_dir, settings.weights_dir))
    image, disc = scene()
    picture = store.add_image(image, "img-1")
    (mask,) = outputs(spec.load().run(asked(picture, Box(0.29, 0.24, 0.64, 0.76))))
    assert overlap(mask.value, disc) > 0.95
