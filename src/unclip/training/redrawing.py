"""Small pictures with a decoder's faults, in the places where they were: what an upsampler will be given."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from unclip.data.example import Example, Pictures
from unclip.diffusion.process import Process
from unclip.images import to_tensor
from unclip.models.decoder import Decoder
from unclip.training.conditions import TextConditions

EVERY = 4  # one picture in so many is redrawn
NOISE = (100, 500)  # least and largest timestep: what has more noise comes back in another place


def redrawn_here(index: int) -> bool:
    """Tell whether picture `index` is one of those that are redrawn."""
    return index % EVERY == 0


@dataclass(frozen=True)
class Whole:
    """A picture at the decoder's side, and the window of it that a crop shows."""

    image: UInt8[np.ndarray, "h w 3"]
    left: int
    top: int
    side: int

    def window(self, image: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 {self.side} {self.side}"]:
        """Cut the window out of the picture, or of what became of it."""
        return image[:, self.top : self.top + self.side, self.left : self.left + self.side]


def cropped(pictures: Pictures, index: int, size: int, window: int, small: int) -> Example:
    """Return a crop of `window` pixels of picture `index` at `size`, its truth the `Whole` at `small` pixels.

    `small` divides `size`; the window lies on whole pixels of the small picture.
    """
    example, scale, rng = pictures.example(index, size), size // small, Random(f"{index}/cropped")
    side = window // scale
    left, top = rng.randint(0, small - side), rng.randint(0, small - side)
    crop = example.image[top * scale : (top + side) * scale, left * scale : (left + side) * scale]
    reduced = example.image.reshape(small, scale, small, scale, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    return Example(np.ascontiguousarray(crop), "", Whole(reduced, left, top, side))


def whole_rows(truths: Sequence[Any]) -> list[int]:
    """Return the rows whose truth is a `Whole`: those that are redrawn."""
    return [row for row, truth in enumerate(truths) if isinstance(truth, Whole)]


@dataclass(frozen=True)
class Redrawing:
    """A frozen decoder that takes noise away again which was added to a picture."""

    conditions: TextConditions
    decoder: Decoder
    process: Process

    def put_into(
        self, low_res: Float[Tensor, "b 3 h w"], truths: Sequence[Any], generator: Generator
    ) -> Float[Tensor, "b 3 h w"]:
        """Replace the rows whose truth is a `Whole` by its window, redrawn."""
        rows = whole_rows(truths)
        if not rows:
            return low_res
        images = to_tensor(np.stack([truths[row].image for row in rows])).to(low_res.device)
        redrawn, low_res = self(images, generator), low_res.clone()
        for row, image in zip(rows, redrawn, strict=True):
            low_res[row] = truths[row].window(image)
        return low_res

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "b 3 h w"], generator: Generator) -> Float[Tensor, "b 3 h w"]:
        """Add noise of a timestep drawn for each picture, and predict it clean, told of its embedding."""
        device = images.device
        t = torch.randint(*NOISE, (len(images),), generator=generator, device=device)
        noise = torch.randn(images.shape, generator=generator, device=device)
        x_t = self.process.q_sample(images, t, noise)
        embed = self.conditions.image(images)
        present = torch.ones(len(images), dtype=torch.bool, device=device)
        empty = self.conditions.text([""] * len(images))
        output = self.decoder(x_t, t, image_embed=embed, image_mask=present, **empty)
        return self.process.predict(output.float(), x_t, t).x0.clamp(-1, 1)
