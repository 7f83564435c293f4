"""What a brush covers, and which painted region a box means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_demo.errors import GrammarError
from unified_demo.grammar import Box
from unified_demo.messages import MOST_STROKES, Conversation, Message, RegionPart, Stroke, TextPart
from unified_demo.strokes import box_around, painted_mask, strokes_meant, thinned, touching

WIDTH, HEIGHT = 120, 80
points = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8).map(tuple)
strokes = st.builds(Stroke, points, st.floats(0.02, 0.3))


@given(strokes)
def test_a_stroke_covers_what_is_near_its_line_and_nothing_else(stroke: Stroke) -> None:
    mask = painted_mask([stroke], WIDTH, HEIGHT)
    reach = stroke.radius * HEIGHT
    places = np.array(stroke.points) * (WIDTH, HEIGHT)
    along = np.concatenate([np.linspace(one, other, 60) for one, other in zip(places, [*places[1:], places[-1]], strict=True)])
    y, x = np.indices((HEIGHT, WIDTH)) + 0.5
    far = np.min(np.hypot(x[..., None] - along[:, 0], y[..., None] - along[:, 1]), axis=-1)
    assert mask[far <= reach - 0.01].all()
    assert not mask[far > reach + 2.5].any(), "the line was looked at every second pixel or so"


@given(strokes)
def test_the_box_holds_all_that_is_covered(stroke: Stroke) -> None:
    box = box_around([stroke], WIDTH, HEIGHT)
    rows, columns = np.nonzero(painted_mask([stroke], WIDTH, HEIGHT))
    assert ((columns + 0.5 >= box.x0 * WIDTH - 1e-6) & (columns + 0.5 <= box.x1 * WIDTH + 1e-6)).all()
    assert ((rows + 0.5 >= box.y0 * HEIGHT - 1e-6) & (rows + 0.5 <= box.y1 * HEIGHT + 1e-6)).all()


def test_a_slow_hand_paints_the_same_with_fewer_points() -> None:
    slow = Stroke(tuple((0.2 + 0.0002 * step, 0.3 + 0.1 * float(np.sin(step / 300))) for step in range(3000)), 0.05)
    fewer = thinned(slow, 640, 480)
    assert len(fewer.points) < 300 and (fewer.points[0], fewer.points[-1]) == (slow.points[0], tuple(np.round(slow.points[-1], 5)))
    before, after = painted_mask([slow], 640, 480), painted_mask([fewer], 640, 480)
    assert (before & after).sum() / (before | after).sum() > 0.99
    assert thinned(Stroke(((0.5, 0.5),) * 9, 0.05), 640, 480) == Stroke(((0.5, 0.5),), 0.05)


def test_strokes_touch_where_both_cover_a_pixel() -> None:
    one = (Stroke(((0.2, 0.5), (0.4, 0.5)), 0.1),)
    assert touching(one, (Stroke(((0.45, 0.5),), 0.1),), WIDTH, HEIGHT)
    assert not touching(one, (Stroke(((0.7, 0.5),), 0.1),), WIDTH, HEIGHT)


def test_a_box_means_the_latest_mark_that_it_fits() -> None:
    box, stroke = Box(0.2, 0.2, 0.6, 0.6), Stroke(((0.4, 0.4),), 0.2)
    painted = RegionPart("this", (box,), artefact_id="img-1", strokes=(stroke,))
    boxed = RegionPart("this", (box,), artefact_id="img-1")
    assert strokes_meant(Box(0.2, 0.2, 0.6, 0.58), "img-1", [painted]) == (stroke,)
    assert strokes_meant(Box(0.2, 0.2, 0.6, 0.3), "img-1", [painted]) == ()
    assert strokes_meant(box, "img-2", [painted]) == ()
    assert strokes_meant(box, "img-1", [boxed, painted]) == (), "a box that was drawn later is a box"


def test_a_conversation_knows_its_marks_the_latest_first() -> None:
    first, second = (RegionPart("this", (Box(0, 0, 0.1 * n, 1),), artefact_id="img-1") for n in (1, 2))
    said = Message("assistant", (TextPart("It is "), RegionPart("a dog", (Box(0, 0, 1, 1),), artefact_id="img-1")))
    asked = Message("user", (first, RegionPart("all", artefact_id="img-1")))
    assert Conversation((asked, said, Message("user", (second,)))).marks() == (second, first)


@pytest.mark.parametrize(
    ("places", "radius"),
    [((), 0.1), (((0.5, 1.5),), 0.1), (((0.5, float("nan")),), 0.1), (((0.5, 0.5),), 0), (((0.5, 0.5),), float("nan"))],
)
def test_what_is_no_stroke_is_refused(places: tuple[tuple[float, float], ...], radius: float) -> None:
    with pytest.raises(GrammarError):
        Stroke(places, radius)


def test_a_region_has_so_many_strokes() -> None:
    with pytest.raises(GrammarError, match="strokes"):
        RegionPart("this", (Box(0, 0, 1, 1),), strokes=(Stroke(((0.5, 0.5),), 0.1),) * (MOST_STROKES + 1))
