"""Numbers as tokens: every dimension is cut into buckets, and each bucket has a centre."""

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor


def equal_shares(values: Float[Tensor, "n k"], buckets: int) -> Float[Tensor, "k {buckets}"]:
    """Return the rising centres of buckets that hold equal shares of each column's values.

    A centre is the mean of its share. Where the values do not divide evenly, those on a border count on both
    sides in part, so that there may be fewer values than buckets.
    """
    ordered = values.double().sort(dim=0).values
    total = torch.cat([torch.zeros_like(ordered[:1]), ordered.cumsum(dim=0)])  # of the first i values
    borders = torch.arange(buckets + 1, device=values.device, dtype=torch.float64) * (len(values) / buckets)
    whole = borders.long().clamp(max=len(values) - 1)
    total = total[whole] + (borders - whole)[:, None] * ordered[whole]
    return (total.diff(dim=0) * (buckets / len(values))).T.contiguous().to(values.dtype)


def quantise(values: Float[Tensor, "b k"], centres: Float[Tensor, "k buckets"]) -> Int64[Tensor, "b k"]:
    """Return the index of the centre nearest to each value; a column has its own row of centres."""
    edges = (centres[:, 1:] + centres[:, :-1]) / 2
    return torch.searchsorted(edges, values.T.contiguous()).T.contiguous()


def dequantise(tokens: Int[Tensor, "b n"], centres: Float[Tensor, "k buckets"]) -> Float[Tensor, "b n"]:
    """Return the centres that tokens stand for; there may be fewer columns than rows of centres."""
    return centres[torch.arange(tokens.shape[1], device=tokens.device), tokens]
