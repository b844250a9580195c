"""Pictures that are given: cut to a square and reduced to what the networks see."""

from collections.abc import Sequence

import torch
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


@torch.no_grad()
def embed(system: System, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
    """Return the image embeddings of square pictures."""
    return system.clip.encode_image(images.to(system.device))
