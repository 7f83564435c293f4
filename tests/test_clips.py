"""Clips: things move as their words say, masks follow exactly, everything stays in the picture."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from tiny_cutouts import write_tiny_assets

from unified_demo.data.clips import WORDS, Clip, ClipPlan, Motion, draw_clip, draw_clip_plan, render_clip, sentences
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.plans import Placed, ScenePlan
from unified_demo.grammar import Box


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CutoutLibrary:
    folder: Path = tmp_path_factory.mktemp("assets")
    return CutoutLibrary(folder, write_tiny_assets(folder))


def one(kind: str, amount: float, library: CutoutLibrary, count: int = 9) -> list[tuple[float, float, float]]:
    """(middle x, bottom y, area) of a car in the middle of a picture, for each frame."""
    item = Placed("tiny:car", "car", "vehicle", Box(0.4, 0.4, 0.6, 0.55), "blue", False, 0.0)
    scene = ScenePlan(1, 200, 160, "drawn:plain", (item,), ())
    clip = render_clip(ClipPlan(scene, (Motion(0, kind, amount, WORDS[kind][0]),), count), library)
    boxes = [frame.boxes[0] for frame in clip.frames]
    assert all(box is not None for box in boxes)
    return [((box.x0 + box.x1) / 2, box.y1, float(frame.masks[0].sum())) for box, frame in zip(boxes, clip.frames, strict=True)]


def test_ways_are_as_the_words_say(library: CutoutLibrary) -> None:
    left, right = one("left", 0.3, library), one("right", 0.3, library)
    assert left[0][0] - left[-1][0] == pytest.approx(0.3, abs=0.01) and right[-1][0] - right[0][0] == pytest.approx(0.3, abs=0.01)
    assert all(after[0] <= before[0] for before, after in itertools.pairwise(left))
    up, down = one("up", 0.3, library), one("down", 0.3, library)
    assert up[-1][1] - up[0][1] == pytest.approx(-0.3, abs=0.01) and down[-1][1] - down[0][1] == pytest.approx(0.3, abs=0.01)


def test_sizes_are_as_the_words_say(library: CutoutLibrary) -> None:
    grown, shrunk = one("grows", 1.8, library), one("shrinks", 0.5, library)
    assert grown[-1][2] == pytest.approx(1.8**2 * grown[0][2], rel=0.08)
    assert shrunk[-1][2] == pytest.approx(0.25 * shrunk[0][2], rel=0.08)
    assert grown[0][1] == pytest.approx(grown[-1][1], abs=0.01), "it grows from its foot"


def test_turns_jumps_and_shakes_come_back(library: CutoutLibrary) -> None:
    for kind, amount in (("spins", 1.0), ("jumps", 0.2), ("shakes", 0.03)):
        states = one(kind, amount, library, count=17)
        assert states[0] == pytest.approx(states[-1], abs=0.01)
        assert any(abs(state[axis] - states[0][axis]) > 0.02 for state in states for axis in (0, 1)), kind
    spun = one("spins", 1.0, library)
    assert max(area for *_, area in spun) < 1.1 * min(area for *_, area in spun)


def test_drawn_motions_keep_things_in_the_picture_and_are_repeatable(library: CutoutLibrary) -> None:
    rng, kinds = random.Random(1), set()
    for _ in range(60):
        plan = draw_clip_plan(rng, library.catalogue)
        kinds |= {motion.kind for motion in plan.motions}
        assert len({motion.thing for motion in plan.motions}) == len(plan.motions) > 0
        for motion in plan.motions:
            assert motion.words in WORDS[motion.kind]
            box = plan.scene.objects[motion.thing].box
            for step in range(11):
                right, down, factor, _ = motion.state(step / 10)
                half = (box.x1 - box.x0) / 2 * factor
                middle = (box.x0 + box.x1) / 2 + right
                assert middle - half >= -1e-9 and middle + half <= 1 + 1e-9
                assert box.y1 + down - (box.y1 - box.y0) * factor >= -1e-9 and box.y1 + down <= 1 + 1e-9
    assert kinds == set(WORDS)
    assert draw_clip_plan(random.Random(9), library.catalogue) == draw_clip_plan(random.Random(9), library.catalogue)


def test_masklets_cover_what_moves(library: CutoutLibrary) -> None:
    clip: Clip = draw_clip(random.Random(3), library.catalogue, library)
    plan = clip.plan
    assert len(clip.frames) == plan.count == len(clip.pictures) and plan.duration_s == plan.count / plan.fps
    moving = {motion.thing for motion in plan.motions}
    for before, after in zip(clip.frames, clip.frames[1:], strict=False):
        assert np.sum(after.masks, axis=0).max() <= 1
        free = np.ones(after.masks[0].shape, bool)
        for thing in moving:
            for frame in (before, after):
                box = frame.boxes[thing]
                if box is not None:
                    rows = slice(max(0, int(box.y0 * free.shape[0]) - 20), int(box.y1 * free.shape[0]) + 30)
                    free[rows, max(0, int(box.x0 * free.shape[1]) - 20) : int(box.x1 * free.shape[1]) + 20] = False
        assert (np.asarray(before.image)[free] == np.asarray(after.image)[free]).all()


def test_sentences_name_thing_and_motion(library: CutoutLibrary) -> None:
    plan = draw_clip_plan(random.Random(3), library.catalogue)
    for sentence, motion in zip(sentences(plan), plan.motions, strict=True):
        assert plan.scene.objects[motion.thing].noun in sentence and sentence.endswith(motion.words)
