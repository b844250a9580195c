"""Pictures as tensors: uint8 at the edges, float32 in [-1, 1] inside."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from torch import Tensor

from unclip.imagefiles import to_rgb


def to_tensor(
    pixels: UInt8[np.ndarray, "*b h w c"] | UInt8[Tensor, "*b h w c"],
) -> Float32[Tensor, "*b c h w"]:
    """Map pixels from 0..255 to [-1, 1] by x / 127.5 - 1, on the device they are on."""
    if isinstance(pixels, np.ndarray):
        pixels = torch.tensor(pixels)
    return rearrange(pixels, "... h w c -> ... c h w").contiguous().float() / 127.5 - 1


def to_uint8(images: Float[Tensor, "*b c h w"]) -> UInt8[np.ndarray, "*b h w c"]:
    """Map images from [-1, 1] to the nearest of 0..255, clamping what lies outside: undoes `to_tensor`."""
    pixels = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return rearrange(pixels, "... c h w -> ... h w c").contiguous().cpu().numpy()


def from_pil(images: Sequence[Image.Image]) -> Float32[Tensor, "b 3 h w"]:
    """Turn pictures of one size and any mode into images in [-1, 1], transparent parts over white."""
    return to_tensor(np.stack([np.asarray(to_rgb(image)) for image in images]))


def to_pil(images: Float[Tensor, "b 3 h w"]) -> list[Image.Image]:
    """Turn images in [-1, 1] into RGB pictures."""
    return [Image.fromarray(pixels) for pixels in to_uint8(images)]


def grid(images: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """Lay pictures of one size out in rows of `columns`; None makes the grid as square as it can be."""
    assert images, "a grid needs at least one picture"
    columns = columns or math.ceil(math.sqrt(len(images)))
    width, height = images[0].size
    sheet = Image.new("RGB", (width * columns, height * math.ceil(len(images) / columns)), "white")
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        sheet.paste(to_rgb(image), (column * width, row * height))
    return sheet
