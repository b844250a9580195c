"""The pictures of a training stream that are nearest to given ones, found block by block."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from unclip.data.example import Pictures
from unclip.evaluation.judges.features import Features
from unclip.images import to_tensor

SIDE = 64  # pixels a side at which pictures are compared
KEPT = 50  # neighbours of each picture
BLOCK = 256  # training pictures held at a time

Describe = Callable[[Float[Tensor, "n 3 h w"]], Float[Tensor, "n d"]]
"""From pictures in [-1, 1] to points whose distances measure how unlike they are."""


def in_pixels(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
    """Points whose distance is the root mean square over all pixels; black is 1 from white."""
    points = images.flatten(1).double()
    return points / (2 * points.shape[1] ** 0.5)


def in_features(judge: Features) -> Describe:
    """Points that are a judge's features."""

    @torch.no_grad()
    def describe(images: Tensor) -> Tensor:
        return torch.cat([judge(part) for part in images.split(BLOCK)]).double()

    return describe


def reduced(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 64 64"]:
    """Reduce pictures, by area, to the side at which they are compared."""
    return images if images.shape[-1] == SIDE else F.interpolate(images, (SIDE, SIDE), mode="area")


def shown(pictures: Pictures, indices: Sequence[int]) -> Float[Tensor, "n 3 64 64"]:
    """Return pictures of a stream."""
    return to_tensor(np.stack([pictures.example(index, SIDE).image for index in indices]))


@dataclass(frozen=True)
class Nearest:
    """Of each picture, the distances to its nearest training pictures, rising, and their indices."""

    distances: Float[Tensor, "n k"]
    indices: Int64[Tensor, "n k"]

    @property
    def first(self) -> Float[Tensor, " n"]:
        """Distance to the nearest."""
        return self.distances[:, 0]

    @property
    def ratio(self) -> Float[Tensor, " n"]:
        """Distance to the nearest as a share of that to the last: small for a copy of one picture.

        Source: Carlini et al. 2023 (arXiv 2301.13188), section 5.1.
        """
        return self.first / self.distances[:, -1].clamp(min=torch.finfo(self.distances.dtype).tiny)

    def joined(self, distances: Float[Tensor, "n b"], indices: Int64[Tensor, " b"]) -> "Nearest":
        """Return the nearest of these and of more, which come later in the stream."""
        both = torch.cat([self.distances, distances], dim=1)
        order = both.sort(dim=1, stable=True).indices[:, :KEPT]
        every = torch.cat([self.indices, indices.expand(len(distances), -1)], dim=1)
        return Nearest(both.gather(1, order), every.gather(1, order))

    def __getitem__(self, rows: slice) -> "Nearest":
        """Return those of some pictures."""
        return Nearest(self.distances[rows], self.indices[rows])


def nearest(
    images: Float[Tensor, "n 3 64 64"],
    training: Pictures,
    count: int,
    measures: Sequence[Describe],
    say: Callable[[int], None],
) -> list[Nearest]:
    """Compare with training pictures 0 to `count`, and return the nearest ones by each measure.

    `say` hears after each block how many were looked at.
    """
    assert count >= KEPT, f"{count} training pictures have no {KEPT} nearest"
    points = [describe(images) for describe in measures]
    nothing = Nearest(points[0].new_empty(len(images), 0), torch.empty(len(images), 0, dtype=torch.int64))
    found = [nothing] * len(measures)
    for start in range(0, count, BLOCK):
        indices = range(start, min(start + BLOCK, count))
        block = shown(training, indices)
        found = [
            before.joined(torch.cdist(own, describe(block)), torch.tensor(indices))
            for before, own, describe in zip(found, points, measures, strict=True)
        ]
        say(indices.stop)
    return found
