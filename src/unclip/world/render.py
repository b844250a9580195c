"""A scene as pixels: all of it, or one part alone."""

import math

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from unclip.world.backgrounds import VARIANTS, background
from unclip.world.canvas import Box, whole
from unclip.world.layout import Placement, lay_out
from unclip.world.recolour import recolour
from unclip.world.scene import Scene
from unclip.world.sprites import Sprites


def render(scene: Scene, sprites: Sprites, size: int, box: Box | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a scene at `size` px, or only the part `box` of it: the same pixels as in the whole."""
    box = box or whole(size)
    pixels = background(scene.background, scene.nuisance % VARIANTS, size, box).copy()
    for placement in lay_out(scene, sprites):
        _draw(pixels, placement, scene.style, sprites, size, box)
    return pixels


def _draw(
    pixels: UInt8[np.ndarray, "h w 3"],
    placement: Placement,
    style: str,
    sprites: Sprites,
    size: int,
    box: Box,
) -> None:
    left, top, right, bottom = _bounds(placement, size, box)
    if left >= right or top >= bottom:
        return
    thing = placement.thing
    image = sprites.image(style, thing.concept, math.ceil(placement.side * size))
    steps = _affine(placement, size, image.width, left, top)
    patch = image.transform(
        (right - left, bottom - top), Image.Transform.AFFINE, steps, Image.Resampling.BILINEAR
    )
    over = np.asarray(patch)
    over = recolour(over, sprites.body(style, thing.concept), thing.colour) if thing.colour else over
    part = pixels[top - box[1] : bottom - box[1], left - box[0] : right - box[0]]
    part[:] = _over(over.astype(np.float32), part, placement.shade)


def _over(
    drawing: Float32[np.ndarray, "h w 4"], ground: UInt8[np.ndarray, "h w 3"], shade: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay a drawing with premultiplied alpha over what is there."""
    return (ground * (1 - drawing[..., 3:] / 255) + drawing[..., :3] * shade + 0.5).astype(np.uint8)


def _bounds(placement: Placement, size: int, box: Box) -> Box:
    """Give the pixels of the box that a drawing can touch."""
    left, top, right, bottom = placement.bounds
    return (
        max(math.floor(left * size) - 1, box[0]),
        max(math.floor(top * size) - (0 if placement.from_row else 1), box[1]),
        min(math.ceil(right * size) + 1, box[2]),
        min(math.ceil(bottom * size) + 1, box[3]),
    )


def _affine(placement: Placement, size: int, px: int, left: int, top: int) -> tuple[float, ...]:
    """Give the six numbers that take a place of the patch to a place of the drawing, for Pillow."""
    turn, scale = math.radians(placement.angle), px / (placement.side * size)
    mirror = -1 if placement.flip else 1
    a, b = mirror * scale * math.cos(turn), mirror * scale * math.sin(turn)
    d, e = -scale * math.sin(turn), scale * math.cos(turn)
    dx, dy = left - placement.cx * size, top - placement.cy * size
    extent = placement.extent
    middle_x, middle_y = px * (extent.left + extent.right) / 2, px * (extent.top + extent.bottom) / 2
    return a, b, middle_x + a * dx + b * dy, d, e, middle_y + d * dx + e * dy
