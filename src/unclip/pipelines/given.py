"""Pictures that are given: cut to a square and reduced to what the networks see."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from unclip.imagefiles import to_rgb
from unclip.images import from_pil
from unclip.system import System


def squares(images: Sequence[Image.Image], size: int) -> Float[Tensor, "b 3 {size} {size}"]:
    """Cut pictures to their middle square and resize them, in [-1, 1], transparent parts over white."""
    side = (size, size)
    return from_pil([ImageOps.fit(to_rgb(image), side, Image.Resampling.BICUBIC) for image in images])


def seen_size(system: System) -> int:
    """Return the side at which both CLIP and the decoder see all that they can of a picture."""
    decoder = system.decoder or system.distilled
    return max(system.clip.config.image_size, decoder.network.config.image_size if decoder else 0)


def resized(images: Float[Tensor, "b 3 h w"], size: int) -> Float[Tensor, "b 3 {size} {size}"]:
    """Resize square pictures in [-1, 1]; those of that size stay as they are."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True).clamp(-1, 1)


@torch.no_grad()
def embed(system: System, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
    """Return the image embeddings of square pictures."""
    return system.clip.encode_image(images.to(system.device))


def without_pictures(request: Any) -> dict[str, Any]:
    """Return what a request says, by its fields, without its pictures."""

    def is_data(value: Any) -> bool:
        return not isinstance(value, Image.Image)

    values = {field.name: getattr(request, field.name) for field in fields(request)}
    listed = {
        name: tuple(filter(is_data, value)) if isinstance(value, tuple) else value
        for name, value in values.items()
    }
    return {name: value for name, value in listed.items() if is_data(value)}
