"""Seams between what was given and what was painted beside it."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

WIDEST = 1 / 16  # of the side: how far into the hole colours are moved
FINEST = 4  # pixels: a wider blur has at least this deviation on the smaller picture that it is taken of


def feathered(images: Float[Tensor, "b 3 h w"], known: Bool[Tensor, "h w"]) -> Float[Tensor, "b 3 h w"]:
    """Move the colours of the hole, near its edge, to those that they meet there; nothing else changes.

    The steps between the edge's two sides, averaged over a width, are added to the hole, fading with the
    distance; then those that are left over half the width, down to a pixel. Images are in [-1, 1].
    Source: after the membranes of Perez et al. 2003, whose equation this solves about.
    """
    if known.all() or not known.any():
        return images
    kept = known.float()[None, None]  # 1 1 h w
    neighbours = _neighbours(kept)
    edge = (~known).float() * (neighbours > 0)  # the outermost pixels of the hole
    width = max(1.0, WIDEST * min(known.shape))
    painted = images
    while width >= 1:
        beside = _neighbours(kept * painted) / neighbours.clamp(min=1)
        step = _blurred(edge * (beside - painted), width)
        edges, shares, whole = _blurred(torch.cat([edge, kept, torch.ones_like(kept)], 1), width).split(1, 1)
        spread = step / edges.clamp(min=1e-6)
        near = (2 * shares / whole).clamp(max=1)  # 1 at a straight edge, 0 far from it
        painted = torch.where(known, images, (painted + near * spread).clamp(-1, 1))
        width /= 2
    return painted


def _neighbours(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return the sum of each pixel's four neighbours."""
    up_down = F.pad(x, (0, 0, 1, 1))
    sides = F.pad(x, (1, 1, 0, 0))
    return up_down[..., :-2, :] + up_down[..., 2:, :] + sides[..., :-2] + sides[..., 2:]


def _blurred(x: Float[Tensor, "b c h w"], width: float) -> Float[Tensor, "b c h w"]:
    """Blur by a Gaussian of about that deviation in pixels, nothing lying beyond the picture.

    A wide one is taken of a smaller picture, which is as smooth and costs a hundredth.
    """
    h, w = x.shape[-2:]
    shrink = 2 ** max(0, math.floor(math.log2(width / FINEST)))
    x = F.avg_pool2d(F.pad(x, (0, -w % shrink, 0, -h % shrink)), shrink)
    deviation = width / shrink
    reach = round(3 * deviation)
    places = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = (-0.5 * (places / deviation).square()).exp()
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
    x = F.conv2d(x, kernel[:, :, None], padding=(0, reach), groups=x.shape[1])
    x = F.conv2d(x, kernel[..., None], padding=(reach, 0), groups=x.shape[1])
    return F.interpolate(x, scale_factor=shrink, mode="bilinear")[..., :h, :w]
