"""Distances between sets of pictures, in any features, and intervals of means.

Features are float, one row a picture; sums run in float64.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: Float[Tensor, "n k"], seed: int = 0) -> Interval:
    """Mean over n sentences of k pictures each, sentences resampled whole since their pictures are alike.

    Source: Efron 1979, the percentile interval.
    """
    per_sentence = values.double().mean(dim=1)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(per_sentence), (RESAMPLES, len(per_sentence)), generator=generator)
    means = per_sentence[drawn].mean(dim=1)
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Interval(per_sentence.mean().item(), low, high)


def frechet_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """Squared Fréchet distance of two Gaussians with the moments of x and y.

    |mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)). It falls as n and m grow: compare equal sizes only.
    Source: Dowson & Landau 1982; Heusel et al. 2017.
    """
    x, y = x.double(), y.double()
    root = _sqrt(torch.cov(x.T))
    between = torch.linalg.eigvalsh(root @ torch.cov(y.T) @ root).clamp(min=0).sqrt().sum()
    spread = x.var(dim=0).sum() + y.var(dim=0).sum() - 2 * between
    return ((x.mean(dim=0) - y.mean(dim=0)).square().sum() + spread).item()


def _sqrt(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def squared_mmd(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], sigma: float) -> float:
    """Unbiased squared maximum mean discrepancy under exp(-|a - b|^2 / (2 sigma^2)); below 0 by chance.

    Source: Gretton et al. 2012, eq. 3; as a measure of pictures, Jayasumana et al. 2024 (CMMD).
    """
    x, y = x.double(), y.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, b).square() / (2 * sigma**2))

    n, m = len(x), len(y)
    within_x = (kernel(x, x).sum() - n) / (n * (n - 1))
    within_y = (kernel(y, y).sum() - m) / (m * (m - 1))
    return (within_x + within_y - 2 * kernel(x, y).mean()).item()


def precision_recall(
    real: Float[Tensor, "n d"], made: Float[Tensor, "m d"], k: int = 3
) -> tuple[float, float]:
    """Share of `made` within the reach of `real`, and of `real` within that of `made`.

    A set reaches from each of its points to that point's k-th nearest. Source: Kynkäänniemi et al. 2019.
    """
    return _covered(made, real, k), _covered(real, made, k)


def _covered(points: Tensor, by: Tensor, k: int) -> float:
    reach = torch.cdist(by, by).kthvalue(k + 1, dim=1).values  # the nearest is the point itself
    covered: Bool[Tensor, "n m"] = torch.cdist(points, by) <= reach
    return covered.any(dim=1).float().mean().item()


def r_precision(
    image_embed: Float[Tensor, "n d"], text_embed: Float[Tensor, "n d"], among: int = 100, seed: int = 0
) -> float:
    """Share of pictures whose own sentence is nearer than `among` - 1 others drawn at random.

    Embeddings have length 1. Source: Xu et al. 2018 (AttnGAN), R = 1.
    """
    n = len(image_embed)
    assert n >= among, f"{n} pictures are too few for {among} sentences"
    generator = torch.Generator().manual_seed(seed)
    likeness = image_embed @ text_embed.T
    right = 0
    for row in range(n):
        others = torch.randperm(n - 1, generator=generator)[: among - 1]
        others = others + (others >= row)
        right += bool((likeness[row, row] > likeness[row, others]).all())
    return right / n
