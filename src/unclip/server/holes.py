"""Where an edit paints: holes from masks and transparent pictures, at the size that is asked for."""

from typing import Literal

import numpy as np
from PIL import Image, ImageChops

from unclip.server.errors import bad_request

MaskMode = Literal["alpha", "white"]


def with_hole(image: Image.Image, mask: Image.Image | None, mode: MaskMode, side: int) -> Image.Image:
    """Return a square picture of `side` pixels, RGBA, whose alpha is 0 where to paint and 255 elsewhere.

    The hole is where the mask is transparent (mode alpha) or white (mode white), and where the picture is.
    Every pixel that a part of the hole would bleed into is in it. Raises ApiError for a mask that does not
    fit, and where there is no hole.
    """
    hole = _transparent(image) if has_hole(image) else Image.new("L", image.size, 0)
    if mask is not None:
        if mask.size != image.size:
            raise bad_request(
                f"Invalid mask image format - mask size {_size(mask)} must match image size {_size(image)}.",
                "invalid_image",
                "mask",
            )
        hole = ImageChops.lighter(hole, _of_mask(mask, mode))
    if hole.getbbox() is None:
        raise bad_request(
            "There is nothing to edit: neither image nor mask has a fully transparent pixel (alpha 0).",
            "invalid_image",
            "mask" if mask is not None else "image",
        )
    opaque = image.convert("RGB")
    if image.size != (side, side):
        opaque = opaque.resize((side, side), Image.Resampling.BICUBIC)
        spread = hole.convert("F").resize((side, side), Image.Resampling.BICUBIC)  # 8 bits would lose some
        hole = Image.fromarray(np.asarray(spread) != 0).convert("L")
    opaque.putalpha(ImageChops.invert(hole))
    return opaque


def has_hole(image: Image.Image) -> bool:
    """Tell whether a pixel is fully transparent."""
    return image.mode == "RGBA" and image.getchannel("A").getextrema()[0] == 0


def _of_mask(mask: Image.Image, mode: MaskMode) -> Image.Image:
    if mode == "white":
        return mask.convert("L").point([0] * 128 + [255] * 128)
    if mask.mode != "RGBA":
        raise bad_request(
            "Invalid mask image format - the mask has no alpha channel: make it transparent where to edit.",
            "invalid_image",
            "mask",
        )
    return _transparent(mask)


def _transparent(image: Image.Image) -> Image.Image:
    """Return 255 where a picture is fully transparent, 0 elsewhere."""
    return image.getchannel("A").point([255] + [0] * 255)


def _size(image: Image.Image) -> str:
    return f"{image.width}x{image.height}"
