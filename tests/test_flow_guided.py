"""Optical flow on known motion, and video editing that follows it: fewer changes along the motion than frame by frame."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pipelines import write_pipeline

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertRequest, Output, Progress
from unified_demo.experts.diffusion import PipelineSource, load_pipeline
from unified_demo.experts.flow import flow_between, resized_flow, seen_in_both, warp
from unified_demo.experts.flow_guided import FlowCall, FlowGuidedEditing, edit, load_flow_guided
from unified_demo.experts.video import ClipSize
from unified_demo.media import MediaStore

PHOTO = Path(__file__).resolve().parent.parent / "assets" / "dog.jpg"
DOWN, RIGHT, COUNT, SIDE = 8, 8, 4, 128


@pytest.fixture(scope="module")
def pan() -> np.ndarray:
    """A camera that moves over a photo: uint8 T x 128 x 128 x 3, by (8, 8) pixels a frame."""
    photo = np.asarray(Image.open(PHOTO).convert("RGB").resize((320, 240)))
    corners = [(20 + index * DOWN, 40 + index * RIGHT) for index in range(COUNT)]
    return np.stack([photo[top : top + SIDE, left : left + SIDE] for top, left in corners])


def planes(frame: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frame.copy()).permute(2, 0, 1).float() / 255


# ---- flow ----


def test_the_flow_of_a_moving_camera_is_found(pan: np.ndarray) -> None:
    flow, seen = seen_in_both(planes(pan[0]), planes(pan[1]))
    inner = (slice(None), slice(16, -24), slice(16, -24))
    error = (flow - torch.tensor([DOWN, RIGHT])[:, None, None]).norm(dim=0)[None][inner]
    assert error.median() < 0.6 and seen.float().mean() > 0.6
    left = (warp(planes(pan[0]), flow) - planes(pan[1])).abs()[inner].mean()
    assert left < 0.3 * (planes(pan[0]) - planes(pan[1])).abs()[inner].mean()


def test_a_still_picture_does_not_move_and_what_is_new_was_not_seen(pan: np.ndarray) -> None:
    frame = planes(pan[0])
    assert flow_between(frame, frame).abs().max() < 0.6
    other = frame.clone()
    other[:, 40:90, 40:90] = torch.rand(3, 50, 50, generator=torch.Generator().manual_seed(0))
    _, seen = seen_in_both(frame, other)
    assert seen[50:80, 50:80].float().mean() < 0.3 and seen[:30].float().mean() > 0.9


def test_a_flow_keeps_its_meaning_on_another_grid() -> None:
    flow = torch.stack([torch.full((40, 60), 8.0), torch.full((40, 60), -4.0)])
    assert torch.allclose(resized_flow(flow, 5, 15), torch.stack([torch.full((5, 15), 1.0), torch.full((5, 15), -1.0)]))


# ---- editing ----


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> PipelineSource:
    folder = write_pipeline(tmp_path_factory.mktemp("hub") / "ip2p", "StableDiffusionInstructPix2PixPipeline")
    return PipelineSource(str(folder), "StableDiffusionInstructPix2PixPipeline", 6, 3.0, SIDE)


def warping_error(frames: np.ndarray) -> float:
    """Mean change from frame to frame along the camera's true motion, 0..255."""
    kept = [(before[DOWN:, RIGHT:], after[:-DOWN, :-RIGHT]) for before, after in itertools.pairwise(frames)]
    return float(np.mean([np.abs(before.astype(float) - after).mean() for before, after in kept]))


def edited(source: PipelineSource, pan: np.ndarray, guided: bool, seed: int = 0) -> np.ndarray:
    pipe = load_flow_guided(source, ClipSize(COUNT, 8.0, 8))._pipeline.pipe
    generator = torch.Generator().manual_seed(seed)
    return edit(pipe, FlowCall("winter", [Image.fromarray(frame) for frame in pan], 6, 3.0, 1.5, generator, guided), lambda *_: None)


def test_frames_stay_together_along_the_motion(source: PipelineSource, pan: np.ndarray) -> None:
    together, alone = (edited(source, pan, guided) for guided in (True, False))
    assert together.shape == alone.shape == pan.shape
    assert warping_error(pan) == 0 and warping_error(together) < 0.4 * warping_error(alone)
    assert together.std() > 0.5 * alone.std(), "they must not be alike because nothing is drawn"


def test_a_single_frame_is_the_pipelines_own_picture(source: PipelineSource, pan: np.ndarray) -> None:
    (frame,) = edited(source, pan[:1], True)
    pipe = load_flow_guided(source, ClipSize(1, 8.0, 8))._pipeline.pipe
    theirs = pipe(
        "winter", image=Image.fromarray(pan[0]), num_inference_steps=6, guidance_scale=3.0, image_guidance_scale=1.5,
        generator=torch.Generator().manual_seed(0),
    ).images[0]  # fmt: skip
    assert np.abs(frame.astype(int) - np.asarray(theirs)).max() <= 1


def test_the_networks_attention_is_put_back(source: PipelineSource, pan: np.ndarray) -> None:
    pipeline = load_pipeline(source)
    usual = {name: type(processor) for name, processor in pipeline.pipe.unet.attn_processors.items()}
    expert = load_flow_guided(source, ClipSize(2, 8.0, 8))

    def broken(*_: object) -> None:
        raise RuntimeError("stopped")

    call = FlowCall("winter", [Image.fromarray(frame) for frame in pan[:2]], 2, 3.0, 1.5, torch.Generator())
    with pytest.raises(RuntimeError, match="stopped"):
        edit(expert._pipeline.pipe, call, broken)
    assert {name: type(processor) for name, processor in expert._pipeline.pipe.unet.attn_processors.items()} == usual


def test_a_call_gives_a_video_of_the_same_size(source: PipelineSource, pan: np.ndarray, tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    artefact = store.add_video(list(pan[:, :100]), 4.0, "vid-1")
    expert: FlowGuidedEditing = load_flow_guided(source, ClipSize(3, 8.0, 8))
    events = list(expert.run(ExpertRequest("make it winter", (artefact,), steps=2)))
    output = events[-1]
    assert isinstance(output, Output) and output.value.shape == (3, 100, 128, 3) and output.value.dtype == np.uint8
    assert [event.step for event in events if isinstance(event, Progress)] == [0, 1, 2] and output.recipe["image_guidance"] == 1.5
    with pytest.raises(ExpertError, match="no video or no words"):
        next(expert.run(ExpertRequest("make it winter", steps=2)))
