"""A judge without a network: it lays the known drawings over a picture and looks which fits best.

It is stricter than an eye: a fox drawn in another pose than the art's fits nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from unclip.evaluation.judges.detector import resized
from unclip.world import Sprites
from unclip.world.concepts import Concept
from unclip.world.words import STYLES

SIDE = 48  # pixels that pictures are reduced to
SHARES = (0.58, 0.65, 0.72, 0.8, 0.88)  # of the picture's side, of a thing that is alone in it


@dataclass(frozen=True)
class Templates:
    """Drawings of one size: colours in [-1, 1], and weights that are 0 outside the drawing and sum to 1."""

    concepts: tuple[str, ...]  # of each
    pixels: Float[Tensor, "k 3 s s"]
    weights: Float[Tensor, "k 1 s s"]


def templates(sprites: Sprites, concepts: Sequence[Concept]) -> list[Templates]:
    """Return the drawings of all concepts, in every style and both ways round, at every size."""
    names, squares = zip(*_drawings(sprites, concepts), strict=True)
    found = list[Templates]()
    for share in SHARES:
        side = round(share * SIDE)
        small = np.stack(
            [np.asarray(square.resize((side, side), Image.Resampling.BOX)) for square in squares]
        )
        values = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255
        alpha = values[:, 3:]
        colours = 2 * values[:, :3] / alpha.clamp(min=1e-3) - 1  # alpha is premultiplied
        weights = (alpha > 0.5).float()
        weights = weights / weights.sum(dim=(2, 3), keepdim=True)
        found.append(Templates(names, colours.clamp(-1, 1), weights))
    return found


def _drawings(sprites: Sprites, concepts: Sequence[Concept]) -> Iterator[tuple[str, Image.Image]]:
    """Yield every drawing in the square around it, and its mirror image."""
    for concept in concepts:
        for style in STYLES if concept.art else ("3d",):
            image, extent = sprites.image(style, concept, 128), sprites.extent(style, concept)
            px, half = image.width, max(extent.width, extent.height) / 2
            x, y = (extent.left + extent.right) / 2, (extent.top + extent.bottom) / 2
            square = image.crop((px * (x - half), px * (y - half), px * (x + half), px * (y + half)))
            yield concept.name, square
            yield concept.name, square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def best_fit(images: Float[Tensor, "b 3 h w"], sizes: Sequence[Templates]) -> list[str]:
    """Return the concept whose drawing correlates best with some part of each picture."""
    images = resized(images, SIDE)
    best = torch.stack([_fit(images, one).amax(dim=(2, 3)) for one in sizes]).amax(dim=0)
    return [sizes[0].concepts[int(place)] for place in best.argmax(dim=1)]


def _fit(images: Float[Tensor, "b 3 h w"], one: Templates) -> Float[Tensor, "b k y x"]:
    """Correlate weighted pixels of all channels under every template at every place; 1 is equality.

    With weights w: (E[IT] - E[I] E[T]) / (std I * std T).
    """
    weights, drawn = one.weights, one.weights * one.pixels
    mean = F.conv2d(images.mean(dim=1, keepdim=True), weights)
    square = F.conv2d(images.square().mean(dim=1, keepdim=True), weights)
    product = F.conv2d(images, drawn) / 3
    own_mean = drawn.sum(dim=(1, 2, 3)) / 3
    own_square = (drawn * one.pixels).sum(dim=(1, 2, 3)) / 3
    covariance = product - mean * own_mean[:, None, None]
    spread = (square - mean.square()).clamp(min=1e-4) * (own_square - own_mean.square()).clamp(min=1e-4)[
        :, None, None
    ]
    return covariance / spread.sqrt()
