"""What the order of two samples tells: whether they are of one distribution, and which of them is larger."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unclip.evaluation.metrics import RESAMPLES, Interval


def kolmogorov_smirnov(x: Float[Tensor, " n"], y: Float[Tensor, " m"]) -> tuple[float, float]:
    """Return the largest gap of the two empirical distributions, and its asymptotic p-value.

    The p-value is Kolmogorov's Q(sqrt(n m / (n + m)) D). Source: Smirnov 1948.
    """
    n, m = len(x), len(y)
    at = torch.cat([x, y])
    below = [
        torch.searchsorted(sample.sort().values, at, right=True).double() / len(sample) for sample in (x, y)
    ]
    gap = (below[0] - below[1]).abs().max().item()
    return gap, kolmogorov_q(math.sqrt(n * m / (n + m)) * gap)


def kolmogorov_q(x: float) -> float:
    """Return 2 sum_j (-1)^(j-1) exp(-2 j^2 x^2), the chance of a gap above x / sqrt(n) for large n."""
    if x < 0.2:  # where the sum converges slowly; it is above 1 - 1e-12 there
        return 1.0
    return min(1.0, 2 * sum((-1) ** (j - 1) * math.exp(-2 * (j * x) ** 2) for j in range(1, 30)))


def auc(smaller: Float[Tensor, " n"], larger: Float[Tensor, " m"], seed: int = 0) -> Interval:
    """Chance that a value of `smaller` is below one of `larger`, ties counting half; 0.5 is no difference.

    It is the area under the curve of telling the two apart by a threshold. The interval is the bootstrap's,
    both samples drawn anew. Source: Mann & Whitney 1947; Efron 1979.
    """
    gaps = larger[None].double() - smaller[:, None].double()
    wins = (gaps > 0).double() + (gaps == 0).double() / 2
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (_weights(size, generator) for size in wins.shape)
    drawn = ((rows @ wins) * columns).sum(dim=1)
    low, high = torch.quantile(drawn, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Interval(wins.mean().item(), low, high)


def _weights(size: int, generator: torch.Generator) -> Float[Tensor, "r n"]:
    """How much each value counts in each resample."""
    drawn = torch.randint(size, (RESAMPLES, size), generator=generator)
    counts = torch.zeros(RESAMPLES, size, dtype=torch.float64)
    return counts.scatter_add_(1, drawn, torch.full_like(counts, 1 / size))
