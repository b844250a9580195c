"""Sinusoidal embeddings of the timestep and of places in a picture."""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn


def timestep_embedding(t: Shaped[Tensor, " b"], dim: int) -> Float[Tensor, "b {dim}"]:
    """Return [cos(t f_k), sin(t f_k)] with f_k = 10000^(-k / (dim / 2)).

    `t` counts training timesteps (0 = least noise); `dim` is even. Source: Ho et al. 2020, with the cosines
    first as in Karlo.
    """
    half = dim // 2
    powers = -math.log(10_000) * torch.arange(half, device=t.device, dtype=torch.float32) / half
    angles = t.float()[:, None] * powers.exp()
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimestepEmbedding(nn.Module):
    """Two-layer network over the sinusoids of the timestep."""

    def __init__(self, frequencies: int, width: int):
        super().__init__()
        self.frequencies = frequencies
        self.linear_1 = nn.Linear(frequencies, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, t: Shaped[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """Embed timesteps, one per row."""
        sinusoids = timestep_embedding(t, self.frequencies).to(self.linear_2.bias.dtype)
        return self.linear_2(nn.functional.silu(self.linear_1(sinusoids)))


def place_embedding(
    height: int, width: int, dim: int, device: torch.device
) -> Float[Tensor, "{height} {width} {dim}"]:
    """Return cosines and sines of where each cell's middle is, as a share of the height and the width.

    The same place has the same embedding at every resolution. `dim` is a multiple of 4; a quarter of it is
    the number of waves, of up to 4 periods a side.
    """
    waves = dim // 4
    frequencies = 8 * math.pi * torch.arange(1, waves + 1, device=device) / waves

    def along(count: int) -> Float[Tensor, "{count} d"]:
        angles = (torch.arange(count, device=device)[:, None] + 0.5) / count * frequencies
        return torch.cat([angles.cos(), angles.sin()], dim=-1)

    y, x = along(height)[:, None], along(width)[None]
    return torch.cat([y.expand(-1, width, -1), x.expand(height, -1, -1)], dim=-1)
