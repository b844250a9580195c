"""Principal components of embeddings: the few directions in which most of their variance lies."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Pca:
    """Where embeddings lie: around a mean, along orthonormal directions of falling variance.

    Sums are taken in float64, which autocast leaves alone. Source: Pearson 1901.
    """

    mean: Float[Tensor, " d"]
    basis: Float[Tensor, "d d"]  # a direction in each row
    std: Float[Tensor, " d"]  # standard deviation along each direction

    def project(self, embeds: Float[Tensor, "b d"], components: int) -> Float[Tensor, "b k"]:
        """Return the coefficients of the leading components."""
        centred = embeds.double() - self.mean.double()
        return (centred @ self.basis[:components].double().T).to(embeds.dtype)

    def reconstruct(self, coefficients: Float[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return the embeddings that have these coefficients, and 0 in all components that follow."""
        leading = self.basis[: coefficients.shape[1]].double()
        return (coefficients.double() @ leading + self.mean.double()).to(coefficients.dtype)

    def kept_variance(self, components: int) -> float:
        """Return the share of the variance, 0 to 1, that lies in the leading components."""
        variances = self.std.double().square()
        return (variances[:components].sum() / variances.sum()).item()


def fit_pca(embeds: Float[Tensor, "n d"]) -> Pca:
    """Find the principal components of embeddings, in their dtype.

    The sign of a direction is not determined: its largest entry is made positive.
    """
    centred = embeds.double() - embeds.double().mean(dim=0)
    variances, columns = torch.linalg.eigh(centred.T @ centred / len(embeds))  # rising
    basis = columns.flip(1).T
    largest = basis.gather(1, basis.abs().argmax(dim=1, keepdim=True))
    std = variances.flip(0).clamp(min=0).sqrt()
    dtype = embeds.dtype
    return Pca(embeds.double().mean(dim=0).to(dtype), (basis * largest.sign()).to(dtype), std.to(dtype))
