"""Weights in the layout that a CPU multiplies fastest, worked out once and not anew in every call.

The operators are those that torch.compile turns linear layers and convolutions into.
"""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """A linear layer for inference whose weight lies in oneDNN's own layout."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
        self.bias = layer.bias

    def forward(self, x: Float[Tensor, "*b n"]) -> Float[Tensor, "*b m"]:
        """Return x W^T + bias."""
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")


class PackedConv2d(nn.Module):
    """A convolution for inference whose weight lies in oneDNN's own layout."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.how = (list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups)
        self.packed = torch.ops.mkldnn._reorder_convolution_weight(layer.weight.detach(), *self.how)
        self.bias = layer.bias

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c_out h_out w_out"]:
        """Convolve."""
        return torch.ops.mkldnn._convolution_pointwise(x, self.packed, self.bias, *self.how, "none", [], "")


def packed(layer: nn.Module) -> nn.Module:
    """Return a bfloat16 layer with its weight packed; other layers, and all where torch cannot, as given."""
    if type(layer) is nn.Linear and can_pack():
        return PackedLinear(layer)
    if type(layer) is nn.Conv2d and can_pack():
        return PackedConv2d(layer)
    return layer


@cache
def can_pack() -> bool:
    """Tell whether this build of torch has oneDNN and its packing operators for bfloat16."""
    try:
        layer = nn.Linear(32, 32, dtype=torch.bfloat16)
        PackedLinear(layer)(torch.zeros(1, 32, dtype=torch.bfloat16))
    except (RuntimeError, AttributeError):
        return False
    return True
