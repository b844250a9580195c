"""The residual block of ADM's U-Net."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Resize = Literal["up", "down"]


class ResBlock(nn.Module):
    """Norm, SiLU, convolution, twice, as a residual; the embedding enters at the second norm.

    With `scale_shift` the embedding scales and shifts that norm's output, otherwise it is added before it.
    `resize` doubles (nearest) or halves (mean) the side of both paths before the first convolution.
    Source: Dhariwal & Nichol 2021.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embed_width: int,
        *,
        groups: int,
        scale_shift: bool,
        dropout: float = 0.0,
        resize: Resize | None = None,
    ):
        super().__init__()
        self.scale_shift = scale_shift
        self.resize: Resize | None = resize
        self.norm_1 = nn.GroupNorm(groups, in_channels)
        self.conv_1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.embed = nn.Linear(embed_width, 2 * out_channels if scale_shift else out_channels)
        self.norm_2 = nn.GroupNorm(groups, out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv_2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(
        self, x: Float[Tensor, "b c h w"], embed: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b c_out h_out w_out"]:
        """Transform a feature map under the embedding of time and conditions."""
        h = self._resized(F.silu(self.norm_1(x)))
        x = self._resized(x)
        h = self.conv_1(h)
        embed = self.embed(F.silu(embed))[:, :, None, None]
        if self.scale_shift:
            scale, shift = embed.chunk(2, dim=1)
            h = self.norm_2(h) * (1 + scale) + shift
        else:
            h = self.norm_2(h + embed)
        return self.skip(x) + self.conv_2(self.dropout(F.silu(h)))

    def _resized(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h_out w_out"]:
        match self.resize:
            case "up":
                return F.interpolate(x, scale_factor=2.0, mode="nearest")
            case "down":
                return F.avg_pool2d(x, 2)
            case None:
                return x
