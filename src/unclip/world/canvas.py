"""Painting by formula: shapes in the unit square with soft edges, at any size, all of a picture or a part.

A pixel's colour depends on its own coordinates only, so a crop is equal to the same part of the whole.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Float32, UInt8

Rgb: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom in px
Field: TypeAlias = Float32[np.ndarray, "#h #w"]


@dataclass(frozen=True, eq=False)
class Canvas:
    """The part `box` of a picture of `size` px square. Coordinates run from 0 to 1, y downwards."""

    size: int
    box: Box
    pixels: Float32[np.ndarray, "h w 3"] = field(init=False)
    x: Float32[np.ndarray, " w"] = field(init=False)
    y: Float32[np.ndarray, "h 1"] = field(init=False)

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        object.__setattr__(self, "pixels", np.zeros((bottom - top, right - left, 3), np.float32))
        object.__setattr__(self, "x", _centres(left, right, self.size))
        object.__setattr__(self, "y", _centres(top, bottom, self.size)[:, None])

    def fill(self, colour: Rgb) -> None:
        """Paint everything."""
        self.pixels[:] = colour

    def gradient(self, top: Rgb, bottom: Rgb, start: float = 0.0, end: float = 1.0) -> None:
        """Paint everything, changing from the colour `top` at height `start` to `bottom` at height `end`."""
        mix = np.clip((self.y - start) / (end - start), 0, 1)[..., None]
        self.pixels[:] = (1 - mix) * np.array(top, np.float32) + mix * np.array(bottom, np.float32)

    def below(
        self, edge: Callable[[Float32[np.ndarray, " w"]], Float32[np.ndarray, " w"]] | float, colour: Rgb
    ) -> None:
        """Paint what lies below the curve y = edge(x)."""
        height = edge(self.x) if callable(edge) else edge
        self._blend(slice(None), slice(None), self._cover(self.y - height), colour)

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, colour: Rgb, alpha: float = 1.0) -> None:
        """Paint a filled ellipse."""
        rows, columns = self._near(cx, cy, rx, ry)
        distance = np.hypot((self.x[columns] - cx) / rx, (self.y[rows] - cy) / ry)
        self._blend(rows, columns, alpha * self._cover((1 - distance) * min(rx, ry)), colour)

    def glow(self, cx: float, cy: float, r: float, colour: Rgb, alpha: float = 1.0) -> None:
        """Paint a disc whose opacity falls from `alpha` in the middle to 0 at its rim."""
        rows, columns = self._near(cx, cy, r, r)
        distance = np.hypot(self.x[columns] - cx, self.y[rows] - cy) / r
        self._blend(rows, columns, alpha * np.clip(1 - distance, 0, 1) ** 2, colour)

    def rectangle(
        self, left: float, top: float, right: float, bottom: float, colour: Rgb, alpha: float = 1.0
    ) -> None:
        """Paint a filled upright rectangle."""
        cx, cy, rx, ry = (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2
        rows, columns = self._near(cx, cy, rx, ry)
        inside = np.minimum(rx - abs(self.x[columns] - cx), ry - abs(self.y[rows] - cy))
        self._blend(rows, columns, alpha * self._cover(inside), colour)

    def triangle(self, cx: float, top: float, bottom: float, width: float, colour: Rgb) -> None:
        """Paint a filled upright triangle with its tip at (cx, top)."""
        rows, columns = self._near(cx, (top + bottom) / 2, width / 2, (bottom - top) / 2)
        x, y = self.x[columns], self.y[rows]
        half = (y - top) / (bottom - top) * width / 2
        self._blend(rows, columns, self._cover(np.minimum(half - abs(x - cx), bottom - y)), colour)

    def to_uint8(self) -> UInt8[np.ndarray, "h w 3"]:
        """Round to bytes."""
        return (np.clip(self.pixels, 0, 255) + 0.5).astype(np.uint8)

    def _near(self, cx: float, cy: float, rx: float, ry: float) -> tuple[slice, slice]:
        """Give the rows and columns that a shape with this centre and these half-sizes can touch."""
        left, top, right, bottom = self.box
        rows = _span(cy - ry, cy + ry, self.size, top, bottom)
        return rows, _span(cx - rx, cx + rx, self.size, left, right)

    def _cover(self, inside: Field) -> Field:
        """Turn the depth inside a shape, negative outside it, into how much of the pixel it covers."""
        return np.clip(inside * self.size + 0.5, 0, 1)

    def _blend(self, rows: slice, columns: slice, cover: Field, colour: Rgb) -> None:
        part = self.pixels[rows, columns]
        part += cover[..., None] * (np.array(colour, np.float32) - part)


def whole(size: int) -> Box:
    """Give the box of a whole picture."""
    return 0, 0, size, size


def _centres(start: int, stop: int, size: int) -> Float32[np.ndarray, " n"]:
    return (np.arange(start, stop, dtype=np.float32) + 0.5) / size


def _span(low: float, high: float, size: int, start: int, stop: int) -> slice:
    """Give the pixels of [start, stop) that lie between two coordinates, and one more on either side."""
    first = max(int(low * size) - 1, start)
    last = min(int(high * size) + 2, stop)
    return slice(first - start, max(last, first) - start)
