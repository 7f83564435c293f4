"""Detector: suppression, voting, names and tiles on small arrays; the real model on a drawn picture where its file is there."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unified_demo.config import Settings
from unified_demo.errors import ModelLoadError
from unified_demo.grammar import Box
from unified_demo.model.detection import Detection, Detector, halves, iou_matrix, merge_names, suppress

LABELS = ("person", "", "dog")
MODEL = Settings().weights_dir / "detector" / "efficientdet-lite2.tflite"


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_iou_of_hand_computed_boxes() -> None:
    first = boxes((0, 0, 0.5, 1), (0, 0, 0, 0))
    second = boxes((0.25, 0, 0.75, 1), (0.5, 0, 1, 1))
    assert iou_matrix(first, second) == pytest.approx(np.array([[1 / 3, 0], [0, 0]]))


def test_suppression_is_per_class_and_best_first() -> None:
    corners = boxes((0, 0, 0.5, 1), (0.02, 0, 0.5, 1), (0.6, 0, 1, 1))
    scores = np.array([[0.6, 0, 0.4], [0.9, 0, 0], [0.3, 0.99, 0]], np.float32)
    found = suppress(corners, scores, LABELS, threshold=0.2)
    assert [(thing.label, round(thing.score, 1)) for thing in found] == [("person", 0.9), ("dog", 0.4), ("person", 0.3)]


def test_suppressed_boxes_vote_for_the_place_of_the_winner() -> None:
    corners = boxes((0.0, 0, 0.5, 1), (0.1, 0, 0.5, 1))
    found = suppress(corners, np.array([[0.6], [0.6]], np.float32), ("person",), threshold=0.2)
    assert len(found) == 1
    assert 0.0 < found[0].box.x0 < 0.1


def test_below_the_threshold_there_is_nothing() -> None:
    assert suppress(boxes((0, 0, 1, 1)), np.array([[0.1, 0.9, 0.1]], np.float32), LABELS, threshold=0.2) == []
    assert suppress(boxes((0, 0, 1, 1))[:0], np.zeros((0, 3), np.float32), LABELS, threshold=0.2) == []


def test_one_place_with_two_names_is_one_thing() -> None:
    car, truck = Detection("car", 0.8, Box(0, 0, 0.5, 0.5)), Detection("truck", 0.6, Box(0, 0, 0.5, 0.49))
    person = Detection("person", 0.5, Box(0.2, 0, 0.4, 0.5))
    assert merge_names([car, truck, person]) == [Detection("car", 0.8, car.box, (("truck", 0.6),)), person]


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (2, 9)])
def test_halves_cover_the_picture_and_overlap(size: tuple[int, int]) -> None:
    first, second = halves(size)
    assert first[:2] == (0, 0) and second[2:] == size
    long = 0 if size[0] >= size[1] else 1
    assert second[long] <= first[long + 2]


def test_a_missing_or_wrong_file_is_the_operators_error(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tflite"
    wrong.write_bytes(b"no model")
    for path in (wrong, tmp_path / "absent.tflite"):
        with pytest.raises(ModelLoadError, match=path.name):
            Detector(path)


@pytest.mark.skipif(not MODEL.is_file(), reason="the committed detector is not in this checkout")
class TestWithTheModel:
    @pytest.fixture(scope="class")
    def detector(self) -> Detector:
        return Detector(MODEL)

    def test_it_knows_the_80_classes_of_coco(self, detector: Detector) -> None:
        assert len(detector.labels) == 80
        assert detector.labels[0] == "person" and detector.labels[-1] == "toothbrush"

    @pytest.mark.parametrize("size", [(300, 120), (120, 300), (8, 8), (1, 1)])
    @pytest.mark.parametrize("tiled", [True, False])
    def test_any_size_gives_valid_boxes_within_the_limit(self, detector: Detector, size: tuple[int, int], tiled: bool) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
        found = detector.detect(Image.fromarray(noise), threshold=0.05, limit=5, tiled=tiled)
        assert len(found) <= 5
        assert [thing.score for thing in found] == sorted((thing.score for thing in found), reverse=True)
        assert all(thing.score >= 0.05 and thing.label in detector.labels for thing in found)

    def test_modes_other_than_rgb_are_read(self, detector: Detector) -> None:
        assert isinstance(detector.detect(Image.new("L", (40, 30), 128)), list)
