"""Shaded solids: grey drawings by formula, at any size, to be given a colour like other drawings."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

_Plane: TypeAlias = Float[np.ndarray, "h w"]
_Part: TypeAlias = tuple[Bool[np.ndarray, "h w"], _Plane]  # where it is, and how bright, 0 to 1


def solid(name: str, px: int) -> Image.Image:
    """Draw a solid of `SOLID_SHAPES` as a grey RGBA picture of `px` square."""
    fine = px * (4 if px <= 128 else 2)
    at = (np.arange(fine) + 0.5) / fine
    x, y = np.broadcast_arrays(at[None, :], at[:, None])
    light, alpha = np.zeros((fine, fine)), np.zeros((fine, fine))
    for inside, brightness in SOLID_SHAPES[name](x, y):
        light[inside], alpha[inside] = brightness[inside], 1
    grey = Image.fromarray((np.clip(light, 0, 1) * 255).astype(np.uint8))
    image = Image.merge("RGBA", (grey, grey, grey, Image.fromarray((alpha * 255).astype(np.uint8))))
    return image.resize((px, px), Image.Resampling.BOX)


def _sphere(x: _Plane, y: _Plane) -> list[_Part]:
    u, v = (x - 0.5) / 0.46, (y - 0.5) / 0.46
    depth = np.sqrt(np.clip(1 - u * u - v * v, 0, None))
    toward = np.clip(-0.45 * u - 0.6 * v + 0.66 * depth, 0, 1)
    return [(u * u + v * v < 1, 0.18 + 0.5 * toward + 0.5 * toward**24)]


def _cube(x: _Plane, y: _Plane) -> list[_Part]:
    # Seen from above a corner: two upright faces that meet at x = 1/2, and a rhombus on top.
    u = abs(x - 0.5) / 0.42
    rise = 0.2 * (1 - u)
    side = (u < 1) & (y > 0.28 + rise - 0.2 + 0.2) & (y < 0.78 + rise)
    top = (u < 1) & (abs(y - 0.28) < rise)
    left = x < 0.5
    return [(side & left, 0.5 - 0.1 * y), (side & ~left, 0.34 - 0.08 * y), (top, 0.78 + 0.08 * (0.5 - y))]


def _cylinder(x: _Plane, y: _Plane) -> list[_Part]:
    u = (x - 0.5) / 0.34
    bulge = 0.12 * np.sqrt(np.clip(1 - u * u, 0, None))
    side = (abs(u) < 1) & (y > 0.18) & (y < 0.82 + bulge)
    top = (abs(u) < 1) & (abs(y - 0.18) < bulge)
    return [(side, _round(u)), (top, np.full_like(x, 0.76))]


def _cone(x: _Plane, y: _Plane) -> list[_Part]:
    half = 0.4 * (y - 0.04) / 0.8
    u = (x - 0.5) / np.maximum(half, 1e-6)
    base = ((x - 0.5) / 0.4) ** 2 + ((y - 0.84) / 0.11) ** 2 < 1
    side = (abs(u) < 1) & (y > 0.04) & (y < 0.84)
    return [(base | side, _round(np.clip(np.where(y < 0.84, u, (x - 0.5) / 0.4), -1, 1)))]


def _pyramid(x: _Plane, y: _Plane) -> list[_Part]:
    # The edge between its two faces runs from the tip (0.5, 0.06) to the corner (0.6, 0.94).
    down = (y - 0.06) / 0.88
    edge = 0.5 + 0.1 * down
    left = (x > 0.5 - 0.46 * down) & (x <= edge) & (y < 0.82 + 0.12 * (x - 0.04) / 0.56)
    right = (x > edge) & (x < 0.5 + 0.46 * down) & (y < 0.94 - 0.14 * (x - 0.6) / 0.36)
    return [(left & (down > 0), 0.7 - 0.14 * y), (right & (down > 0), 0.42 - 0.08 * y)]


def _round(u: _Plane) -> _Plane:
    """Light an upright round wall by where on it a point is, from -1 at the left to 1 at the right."""
    depth = np.sqrt(np.clip(1 - u * u, 0, None))
    toward = np.clip(-0.6 * u + 0.8 * depth, 0, 1)
    return 0.16 + 0.46 * toward + 0.2 * toward**12


SOLID_SHAPES: Mapping[str, Callable[[_Plane, _Plane], list[_Part]]] = {
    "cube": _cube,
    "sphere": _sphere,
    "cylinder": _cylinder,
    "cone": _cone,
    "pyramid": _pyramid,
}
