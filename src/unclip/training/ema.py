"""Averages of the weights over training, with a width that grows with the run."""

import math

import torch
from torch import Tensor, nn


def power_exponent(sigma_rel: float) -> float:
    """Return gamma such that averaging with weight t^gamma has relative width `sigma_rel` (0 to 0.28).

    Solves sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)).
    Source: Karras et al. 2024 (EDM2), appendix C.
    """
    low, high = 0.0, 1e5
    for _ in range(100):
        gamma = (low + high) / 2
        width = math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)))
        low, high = (gamma, high) if width > sigma_rel else (low, gamma)
    return low


def average_name(sigma_rel: float) -> str:
    """Return the name under which a checkpoint keeps the average of that width."""
    return f"ema-{sigma_rel:.3f}"


class PowerEma:
    """Moving average of a network's parameters and buffers with power-function weights.

    The decay is (1 - 1 / step)^(gamma + 1), a function of the step alone.
    Source: Karras et al. 2024, equation 127.
    """

    def __init__(self, network: nn.Module, sigma_rel: float):
        self.gamma = power_exponent(sigma_rel)
        self.tensors: dict[str, Tensor] = {n: t.detach().clone() for n, t in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` (1 is the first, which is copied)."""
        decay = (1 - 1 / step) ** (self.gamma + 1)
        current = network.state_dict()
        now = [current[name] for name in self.tensors]
        torch._foreach_lerp_(list(self.tensors.values()), now, 1 - decay)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]

    def copy_to(self, network: nn.Module) -> None:
        """Give a network the averaged weights."""
        network.load_state_dict(self.tensors)
