"""What the page script sends becomes a mark, or one sentence."""

from dataclasses import replace
from pathlib import Path

import pytest

from unified_demo.errors import UnifiedError
from unified_demo.grammar import Box, MediaKind
from unified_demo.messages import MOST_STROKES, Artefact, RegionPart
from unified_demo.strokes import box_around
from unified_demo.ui.marks import MOST_MARKS, add_mark, add_stroke, box_at, marks_html, read_mark, read_stroke
from unified_demo.ui.visit import Visit

PICTURE = Artefact("img-1", MediaKind.IMAGE, Path("one.jpg"), 200, 100)
SOUND = Artefact("aud-1", MediaKind.AUDIO, Path("one.flac"))
KNOWN = {"img-1": PICTURE, "aud-1": SOUND}


def test_a_box_in_any_direction_is_clipped_to_the_picture() -> None:
    mark = read_mark({"artefact": "img-1", "box": [0.9, 0.5, 0.2, -0.3]}, KNOWN, [])
    assert mark == RegionPart("", (Box(0.2, 0.0, 0.9, 0.5),), artefact_id="img-1")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({}, "no longer part"),
        ({"artefact": "img-9", "box": [0, 0, 1, 1]}, "no longer part"),
        ({"artefact": "img-1", "box": [0.5, 0.5, 0.501, 0.9]}, "too small"),
        ({"artefact": "img-1", "box": [0, 0, float("nan"), 1]}, "mark it again"),
        ({"artefact": "img-1", "box": "all"}, "mark it again"),
        ({"artefact": "img-1", "box": [2, 2, 3, 3]}, "outside"),
        ({"artefact": "aud-1", "box": [0, 0, 1, 1]}, "only in pictures"),
    ],
)
def test_what_is_no_region_gets_one_sentence(data: dict, sentence: str) -> None:
    with pytest.raises(UnifiedError, match=sentence):
        read_mark(data, KNOWN, [])


def test_there_is_a_limit() -> None:
    marks = [RegionPart("", artefact_id="img-1")] * MOST_MARKS
    with pytest.raises(UnifiedError, match="At most"):
        read_mark({"artefact": "img-1"}, KNOWN, marks)


def test_a_click_means_the_smallest_thing_around_it_else_a_small_square() -> None:
    around, tight = Box(0.0, 0.0, 1.0, 1.0), Box(0.4, 0.4, 0.6, 0.6)
    assert box_at([0.5, 0.5], PICTURE, [around, tight]) == tight
    assert box_at([0.1, 0.5], PICTURE, [around, tight]) == around
    square = box_at([0.5, 0.5], PICTURE, [])
    assert (square.x1 - square.x0) * 200 == pytest.approx((square.y1 - square.y0) * 100)
    assert box_at([0.0, 1.0], PICTURE, []).x0 == 0.0


def test_chips_of_artefacts_that_are_gone_are_not_shown() -> None:
    marks = [RegionPart("", (Box(0, 0, 0.5, 0.5),), artefact_id="img-1"), RegionPart("", artefact_id="img-7")]
    html = str(marks_html(marks, KNOWN))
    assert html.count("um-marked") == 1 and 'data-letter="A"' in html
    assert marks_html([], KNOWN) == ""


def test_a_stroke_covers_its_points_and_half_the_width_of_the_brush() -> None:
    stroke = read_stroke([[0.5, 0.5], [0.7, 0.4]], 0.1)
    assert box_around([stroke], 200, 100).as_tuple() == pytest.approx([0.45, 0.3, 0.75, 0.6])
    for points, radius in ([], 0.1), ([[0.5]], 0.1), ([[0.5, 0.5]], None), ("all", 0.1), ([[0.5, 0.5]] * 5001, 0.1), ([[0, 0]], 0.51):
        with pytest.raises(UnifiedError, match="mark it again"):
            read_stroke(points, radius)


def painted(*lines: list[list[float]]) -> Visit:
    """A visit with PICTURE in the composer, over which these strokes went."""
    visit = Visit(drafts={"one.jpg": PICTURE})
    for line in lines:
        add_mark(visit, {"artefact": "img-1", "stroke": line, "radius": 0.1}, lambda artefact: ())
    return visit


def test_strokes_that_touch_are_one_region_and_others_are_not() -> None:
    marks = painted([[0.2, 0.2], [0.4, 0.2]], [[0.8, 0.8]], [[0.3, 0.1], [0.3, 0.6]]).marks
    assert [len(mark.strokes) for mark in marks] == [2, 1]
    assert marks[0].boxes[0].as_tuple() == pytest.approx((0.15, 0.0, 0.45, 0.7))


def test_a_stroke_is_clipped_to_the_picture_and_limited() -> None:
    (mark,) = painted([[-3, 0.5], [0.2, 7]]).marks
    assert mark.strokes[0].points == ((0.0, 0.5), (0.2, 1.0))
    visit = painted(*[[[0.5, 0.5]]] * MOST_STROKES)
    assert len(visit.marks[0].strokes) == MOST_STROKES
    with pytest.raises(UnifiedError, match="strokes make one region"):
        add_mark(visit, {"artefact": "img-1", "stroke": [[0.5, 0.5]], "radius": 0.1}, lambda artefact: ())
    with pytest.raises(UnifiedError, match="only in pictures"):
        add_stroke([], SOUND, read_stroke([[0.5, 0.5]], 0.1))
    apart = painted(*[[[0.05 + 0.15 * index, 0.5]] for index in range(MOST_MARKS)])
    with pytest.raises(UnifiedError, match="At most"):
        add_mark(apart, {"artefact": "img-1", "stroke": [[0.05, 0.05]], "radius": 0.01}, lambda artefact: ())


def test_the_chip_shows_what_was_painted() -> None:
    visit = painted([[0.2, 0.2], [0.4, 0.2]])
    html = str(marks_html(visit.marks, visit.markable()))
    assert '<polyline points="40.0,20.0 80.0,20.0 80.0,20.0" stroke-width="20.0"/>' in html
    assert "polyline" not in str(marks_html([replace(visit.marks[0], strokes=())], visit.markable()))


def test_pictures_in_the_composer_can_be_marked_and_sounds_cannot() -> None:
    html = str(marks_html([], KNOWN, drafts=[PICTURE, SOUND]))
    assert html.count("um-draft") == 1 and 'data-um="draft"' in html
