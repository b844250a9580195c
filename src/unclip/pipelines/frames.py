"""Where on a canvas the square frames lie in which its holes are painted."""

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

Place = tuple[int, int]  # x and y of a frame's upper left corner on the canvas, in pixels
LEAST_KNOWN = 0.6  # share of a frame that should be known: with less to go on from, things are drawn anew


def extent(known: Bool[ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what is not known; right and bottom are beyond it."""
    rows, columns = (np.flatnonzero(~known.all(axis=axis)) for axis in (1, 0))
    assert len(rows), "everything is known"
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def cover(known: Bool[ndarray, "h w"], side: int) -> list[Place]:
    """Place frames of `side` so that together they hold all that is not known, in the order of painting.

    One frame, the hole in its middle, if enough of it is known. Else each of several takes as much of the
    hole as it can while enough of it is known, given or painted by those before it.
    """
    height, width = known.shape
    assert side <= min(height, width)
    left, top, right, bottom = extent(known)
    if right - left <= side and bottom - top <= side:
        x, y = _centred(left, right, side, width), _centred(top, bottom, side, height)
        if known[y : y + side, x : x + side].mean() >= LEAST_KNOWN:
            return [(x, y)]
    known, places = known.copy(), list[Place]()
    xs, ys = _stops(width, side), _stops(height, side)
    while not known.all():
        x, y = _next(known, side, xs, ys)
        known[y : y + side, x : x + side] = True
        places.append((x, y))
    return places


def _centred(start: int, end: int, side: int, length: int) -> int:
    return min(max((start + end - side) // 2, 0), length - side)


def _stops(length: int, side: int) -> list[int]:
    """Return places that are at most a quarter of a side apart, from one end to the other."""
    count = -(-4 * (length - side) // side) + 1
    return [round(i * (length - side) / max(count - 1, 1)) for i in range(count)]


def _next(known: Bool[ndarray, "h w"], side: int, xs: list[int], ys: list[int]) -> Place:
    sums = _sums(known)
    best: tuple[bool, int, Place] | None = None
    for y in ys:
        for x in xs:
            there = int(sums[y + side, x + side] - sums[y, x + side] - sums[y + side, x] + sums[y, x])
            hole = side**2 - there
            if hole == 0:
                continue
            enough = there >= LEAST_KNOWN * side**2
            found = (enough, hole if enough else there, (x, y))
            if best is None or found[:2] > best[:2]:
                best = found
    assert best is not None
    return best[2]


def _sums(known: Bool[ndarray, "h w"]) -> Int[ndarray, "h_edges w_edges"]:
    """Return how much is known above and to the left of every corner of the pixels."""
    return np.pad(known.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
