"""Giving a drawing a named colour: its body changes hue and its shading stays."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from unclip.world.words import COLOURS

# How dark the darkest shade of a colour is beside the colour, and how far its highlights go towards white.
_SHADOW = {"black": 0.25, "white": 0.68, "yellow": 0.55}
_HIGHLIGHT = {"black": 0.28, "brown": 0.4}
_LEAST_BODY = 0.5  # of a drawing's area
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)


@dataclass(frozen=True)
class Body:
    """What of a drawing carries its colour.

    hue: of its main colour, in [0, 1); None for a body without one, such as a white or many-coloured one.
    dark: whether it has no hue and is dark, like its outlines.
    luma: of its typical pixel, in (0, 1].
    """

    hue: float | None
    dark: bool
    luma: float


def find_body(image: Image.Image) -> Body:
    """Find the body of an RGBA drawing: what has its commonest hue, or else all but outlines, or else all."""
    pixels = np.asarray(image, np.float32) / 255
    rgb = pixels[pixels[..., 3] > 0.5][:, :3]
    for hue, dark in ((_main_hue(rgb), False), (None, False), (None, True)):
        weights = _weights(rgb, hue, dark)
        if weights.mean() >= _LEAST_BODY:
            return Body(hue, dark, max(float(np.median(rgb[weights > 0.5] @ _LUMA)), 0.05))
    raise AssertionError("all of a drawing is its body at last")


def recolour(pixels: UInt8[np.ndarray, "h w 4"], body: Body, colour: str) -> UInt8[np.ndarray, "h w 4"]:
    """Paint the body of a drawing, RGBA with premultiplied alpha, in a colour of `COLOURS`."""
    alpha = pixels[..., 3:] / np.float32(255)
    rgb = pixels[..., :3] / np.maximum(alpha * 255, 1)
    weight = _weights(rgb, body.hue, body.dark)[..., None]
    ramp = _ramp(body.luma, colour)[np.clip(rgb @ _LUMA * 255, 0, 255).astype(np.uint8)]
    painted = (rgb * 255 * (1 - weight) + ramp * weight) * alpha
    return np.concatenate(((painted + 0.5).astype(np.uint8), pixels[..., 3:]), axis=-1)


@cache
def _ramp(luma: float, colour: str) -> Float32[np.ndarray, "256 3"]:
    """Tabulate the painted colour by the luma a pixel had: at the body's luma it is the colour itself."""
    base = np.array(COLOURS[colour], np.float32)
    level = np.arange(256, dtype=np.float32)[:, None] / 255
    shadow = _SHADOW.get(colour, 0.3)
    dark = base * (shadow + (1 - shadow) * np.clip(level / luma, 0, 1))
    light = np.clip((level - luma) / max(1 - luma, 1e-3), 0, 1) * _HIGHLIGHT.get(colour, 0.6)
    return dark + (255 - dark) * light


def _weights(rgb: Float32[np.ndarray, "*n 3"], hue: float | None, dark: bool) -> Float32[np.ndarray, "*n"]:
    """How much of each pixel belongs to the body."""
    if hue is None:
        luma = rgb @ _LUMA
        return np.ones_like(luma) if dark else _smooth(luma, 0.12, 0.3)
    away = abs((_hues(rgb) - hue + 0.5) % 1 - 0.5)
    return _strength(rgb) * (1 - _smooth(away, 0.14, 0.22))


def _strength(rgb: Float32[np.ndarray, "*n 3"]) -> Float32[np.ndarray, "*n"]:
    """How far each pixel is from grey, 0 to 1."""
    low, high = _range(rgb)
    return _smooth(high - low, 0.06, 0.2)


def _main_hue(rgb: Float32[np.ndarray, "n 3"]) -> float:
    """Give the hue around which most of the coloured pixels lie."""
    counts, _ = np.histogram(_hues(rgb), bins=36, range=(0, 1), weights=_strength(rgb))
    return (int(np.argmax(counts + np.roll(counts, 1) + np.roll(counts, -1))) + 0.5) / 36


def _hues(rgb: Float32[np.ndarray, "*n 3"]) -> Float32[np.ndarray, "*n"]:
    """Hue of each pixel in [0, 1), as in `colorsys.rgb_to_hsv`."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    low, top = _range(rgb)
    chroma = np.maximum(top - low, 1e-6)
    sector = np.where(
        top == red,
        (green - blue) / chroma,
        np.where(top == green, 2 + (blue - red) / chroma, 4 + (red - green) / chroma),
    )
    return (sector / 6 % 1).astype(np.float32)


def _range(rgb: Float32[np.ndarray, "*n 3"]) -> tuple[Float32[np.ndarray, "*n"], Float32[np.ndarray, "*n"]]:
    """Give the lowest and the highest channel of each pixel, faster than `min` and `max` do."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)


def _smooth(value: Float32[np.ndarray, "*n"], low: float, high: float) -> Float32[np.ndarray, "*n"]:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
