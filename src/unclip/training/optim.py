"""Optimizers: AdamW for all, or Muon for the hidden weights and AdamW for the rest."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unclip.training.config import TrainConfig


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: every update has all its singular values near 1.

    A convolution counts as a matrix of out x (in k k). Source: Jordan et al. 2024 (Muon), Nesterov momentum
    and the factor sqrt(max(1, rows / columns)).
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Change every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"], group["momentum"])

    def _update(self, parameter: Tensor, grad: Tensor, lr: float, momentum: float) -> None:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(grad)
        buffer = state["momentum"].lerp_(grad, 1 - momentum)
        update = orthogonalized(grad.lerp(buffer, momentum).flatten(1))
        scale = math.sqrt(max(1.0, update.shape[0] / update.shape[1]))
        parameter.add_(update.view_as(parameter), alpha=-lr * scale)


def orthogonalized(matrix: Float[Tensor, "r c"], steps: int = 5) -> Float[Tensor, "r c"]:
    """Push all singular values of a matrix towards 1 by Newton-Schulz iteration.

    Every step multiplies the matrix from the left by a polynomial of its Gram matrix, so only that matrix, of
    the shorter side, is iterated. In float32: the products would magnify bfloat16's rounding.
    Source: Jordan et al. 2024, with their coefficients.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.float().T if tall else matrix.float()
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    one = torch.eye(len(gram), device=gram.device)
    product = one
    for _ in range(steps):
        factor = a * one + b * gram + c * gram @ gram
        product = factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    return (x.T if tall else x).to(matrix.dtype)


# Inputs, outputs, embeddings and all that carries the conditions stay with AdamW: under Muon the text path of
# a U-Net was seen to die while the loss looked well.
ADAMW_ONLY = (
    "conv_in", "conv_out", "embed", "context", "add_", "project", "tokens", "time.", "patches", "place",
    "text.blocks",
)  # fmt: skip


def hidden_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights that Muon may take: matrices and kernels between a network's ends."""
    return {
        name: parameter
        for name, parameter in network.named_parameters()
        if parameter.ndim >= 2 and name.endswith(".weight") and not any(part in name for part in ADAMW_ONLY)
    }


def build_optimizers(network: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Return the optimizers of a network; weight decay is for AdamW's matrices and kernels only."""
    hidden = hidden_weights(network) if config.muon_learning_rate else {}
    rest = [p for name, p in network.named_parameters() if p.requires_grad and name not in hidden]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2), foreach=True)
    return [adamw, Muon(hidden.values(), config.muon_learning_rate)] if config.muon_learning_rate else [adamw]


def set_rate(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Scale every learning rate to `factor` of what it was built with."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * optimizer.defaults["lr"]


def optimizer_tensors(network: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Return the optimizers' state as tensors named `parameter/entry`."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
    return {
        f"{names[parameter]}/{entry}": torch.as_tensor(value)
        for optimizer in optimizers
        for parameter, state in optimizer.state.items()
        for entry, value in state.items()
    }


def restore_optimizers(
    network: nn.Module, optimizers: Iterable[torch.optim.Optimizer], tensors: dict[str, Tensor]
) -> None:
    """Undo `optimizer_tensors`."""
    parameters = dict(network.named_parameters())
    owner = {p: o for o in optimizers for group in o.param_groups for p in group["params"]}
    for key, value in tensors.items():
        name, entry = key.rsplit("/", 1)
        parameter = parameters[name]
        # AdamW keeps its step count on the CPU. A copy, since `value` may lie in a file that will be deleted.
        device = value.device if entry == "step" else parameter.device
        owner[parameter].state[parameter][entry] = value.to(device, copy=True)
