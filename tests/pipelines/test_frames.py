import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unclip.pipelines.frames import LEAST_KNOWN, cover, extent

Known = np.ndarray


def canvas(height: int, width: int, *holes: tuple[int, int, int, int]) -> Known:
    """All is known but what lies in a hole: left, top, right, bottom."""
    known = np.ones((height, width), dtype=bool)
    for left, top, right, bottom in holes:
        known[top:bottom, left:right] = False
    return known


@st.composite
def masks(draw: st.DrawFn) -> tuple[Known, int]:
    """A canvas of which something is not known, and the side of its frames."""
    height, width = draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
    side = draw(st.integers(max(1, min(height, width) // 2), min(height, width)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    match draw(st.sampled_from(["rectangles", "specks", "islands"])):
        case "rectangles":
            xs, ys = rng.integers(0, width, (3, 2)), rng.integers(0, height, (3, 2))
            boxes = zip(xs, ys, strict=True)
            holes = [(min(x), min(y), max(x) + 1, max(y) + 1) for x, y in boxes]
            known = canvas(height, width, *holes)
        case "specks":
            known = rng.random((height, width)) > 0.02
        case _:
            known = rng.random((height, width)) > 0.98
    known[rng.integers(height), rng.integers(width)] = False
    return known, side


@settings(max_examples=100)
@given(masks())
def test_frames_cover_every_hole(case: tuple[Known, int]) -> None:
    known, side = case
    (height, width), before, left = known.shape, known.copy(), known.copy()
    for x, y in cover(known, side):
        assert 0 <= x <= width - side
        assert 0 <= y <= height - side
        window = left[y : y + side, x : x + side]
        assert not window.all(), "a frame with nothing to paint"
        window[:] = True
    assert left.all()
    assert np.array_equal(known, before)


def test_one_frame_holds_a_small_hole_in_its_middle() -> None:
    assert cover(canvas(100, 300, (140, 40, 160, 60)), 80) == [(110, 10)]
    assert cover(canvas(100, 300, (0, 90, 20, 100)), 80) == [(0, 20)]  # as far as the edges allow
    assert cover(canvas(64, 64, (20, 20, 40, 40)), 64) == [(0, 0)]


def test_a_hole_as_large_as_a_frame_is_painted_from_its_edge() -> None:
    known = canvas(200, 200, (60, 60, 140, 140))
    places = cover(known, 80)
    assert len(places) > 1
    for x, y in places:
        assert known[y : y + 80, x : x + 80].mean() >= LEAST_KNOWN
        known[y : y + 80, x : x + 80] = True
    assert known.all()


def test_each_frame_takes_as_much_of_the_hole_as_it_can() -> None:
    """A strip beside a picture: frames move away from it, a quarter of a side at a time."""
    assert cover(canvas(40, 100, (40, 0, 100, 40)), 40) == [(x, 0) for x in (10, 20, 30, 40, 50, 60)]
    assert cover(canvas(40, 100, (0, 0, 60, 40)), 40) == [(x, 0) for x in (50, 40, 30, 20, 10, 0)]


def test_the_first_frame_of_a_canvas_without_a_picture_is_its_corner() -> None:
    nothing = np.zeros((90, 120), dtype=bool)
    places = cover(nothing, 40)
    assert places[0] == (0, 0)
    assert cover(np.zeros((64, 64), dtype=bool), 64) == [(0, 0)]


def test_where_too_little_is_known_the_frame_that_knows_most_comes_first() -> None:
    known = np.zeros((60, 120), dtype=bool)
    known[:, 100:] = True
    assert cover(known, 60)[0] == (60, 0)


@pytest.mark.parametrize(
    ("holes", "expected"),
    [
        ([(3, 5, 4, 6)], (3, 5, 4, 6)),
        ([(0, 0, 30, 20)], (0, 0, 30, 20)),
        ([(2, 9, 4, 11), (20, 1, 21, 3)], (2, 1, 21, 11)),
    ],
)
def test_the_extent_is_the_least_box_that_holds_all_holes(
    holes: list[tuple[int, int, int, int]], expected: tuple[int, int, int, int]
) -> None:
    assert extent(canvas(20, 30, *holes)) == expected
