"""The pre-norm transformer of CLIP's two towers and of the priors."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unclip.nn.attention import SelfAttention

Activation = Literal["gelu", "quick_gelu"]


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x), the approximation that OpenAI's CLIP was trained with."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": nn.functional.gelu,
    "quick_gelu": quick_gelu,
}


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, causal: bool, activation: Activation, mlp_width: int):
        super().__init__()
        self.norm_1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, causal)
        self.norm_2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, mlp_width)
        self.narrow = nn.Linear(mlp_width, width)
        self.activation = ACTIVATIONS[activation]

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Transform tokens; those whose `mask` is False are not looked at."""
        x = x + self.attention(self.norm_1(x), mask)
        return x + self.narrow(self.activation(self.widen(self.norm_2(x))))


class Transformer(nn.Module):
    """A stack of blocks, whose MLPs are four times as wide as the tokens unless `mlp_width` says otherwise.

    `checkpointing` recomputes each block in the backward pass to save memory.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        causal: bool = False,
        activation: Activation = "gelu",
        mlp_width: int | None = None,
    ):
        super().__init__()
        mlp_width = mlp_width or 4 * width
        self.blocks = nn.ModuleList(Block(width, heads, causal, activation, mlp_width) for _ in range(depth))
        self.checkpointing = False

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Transform tokens; those whose `mask` is False are not looked at."""
        for block in self.blocks:
            if self.checkpointing and self.training:
                x = checkpoint(block, x, mask, use_reentrant=False)
            else:
                x = block(x, mask)
        return x
