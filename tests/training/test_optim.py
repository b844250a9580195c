import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from unclip import presets
from unclip.checkpoints.store import build
from unclip.training.config import TrainConfig
from unclip.training.optim import (
    Muon,
    build_optimizers,
    hidden_weights,
    optimizer_tensors,
    orthogonalized,
    restore_optimizers,
    set_rate,
)

CONFIG = TrainConfig(images=100, batch_size=10, learning_rate=1e-3, image_size=64, muon_learning_rate=0.02)


@pytest.mark.parametrize("shape", [(24, 24), (8, 50), (50, 8), (1, 9)])
def test_singular_values_are_near_one(shape: tuple[int, int]) -> None:
    update = orthogonalized(torch.randn(shape))
    values = torch.linalg.svdvals(update)
    assert 0.6 < values.min() <= values.max() < 1.3


def test_singular_vectors_stay() -> None:
    u, v = (torch.linalg.qr(torch.randn(6, 6))[0] for _ in range(2))
    values = torch.tensor([1.0, 0.9, 0.8, 0.7, 0.6, 0.5])
    middle = u.T @ orthogonalized(u @ torch.diag(values) @ v.T) @ v
    torch.testing.assert_close(middle, torch.diag(middle.diag()), atol=1e-5, rtol=0)


def test_no_gradient_is_no_update() -> None:
    assert not orthogonalized(torch.zeros(3, 4)).any()


def stepped(shape: tuple[int, ...], grads: list[Tensor]) -> Tensor:
    """Zeros after steps of Muon along the gradients."""
    parameter = nn.Parameter(torch.zeros(shape))
    optimizer = Muon([parameter], lr=0.1)
    for grad in grads:
        parameter.grad = grad.view(shape)
        optimizer.step()
    return parameter.detach()


def test_a_kernel_is_updated_as_its_matrix() -> None:
    grads = [torch.randn(4, 3, 3, 3) for _ in range(3)]
    assert torch.equal(stepped((4, 3, 3, 3), grads).flatten(1), stepped((4, 27), grads))


@pytest.mark.parametrize("shape", [(4, 16), (16, 4)])
def test_the_step_is_scaled_by_the_shape(shape: tuple[int, int]) -> None:
    grad = torch.randn(shape)
    expected = -0.1 * math.sqrt(max(1, shape[0] / shape[1])) * orthogonalized(grad)
    torch.testing.assert_close(stepped(shape, [grad]), expected, rtol=1e-4, atol=1e-6)


def test_momentum_follows_nesterov() -> None:
    """With the buffer m <- 0.95 m + 0.05 g, the update is along 0.05 g + 0.95 m."""
    first, second = torch.randn(2, 5, 5)
    buffer = 0.95 * 0.05 * first + 0.05 * second
    after = stepped((5, 5), [first]) - 0.1 * orthogonalized(0.05 * second + 0.95 * buffer)
    torch.testing.assert_close(stepped((5, 5), [first, second]), after, rtol=1e-4, atol=1e-6)


def hidden(component: str) -> set[str]:
    return set(hidden_weights(build(component, getattr(presets.bundled(), component))))


def test_muon_takes_the_blocks_of_the_unet_and_not_the_conditions() -> None:
    names = hidden("decoder")
    for name in ("down.0.blocks.0.conv_1", "mid_attention.qkv", "up.2.blocks.1.skip", "down.0.resize.conv_2"):
        assert f"unet.{name}.weight" in names
    assert all(name.startswith(("unet.down.", "unet.mid_", "unet.up.")) for name in names)
    parts = ("embed", "context", "norm", "bias")
    assert not [name for name in names if any(part in name for part in parts)]


def test_muon_takes_the_blocks_of_both_towers_alone() -> None:
    names = hidden("clip")
    for tower in ("image", "text"):
        assert f"{tower}.transformer.blocks.0.attention.qkv.weight" in names
    assert all(".transformer.blocks." in name and "norm" not in name for name in names)


def test_every_parameter_has_one_optimizer() -> None:
    network = build("decoder", presets.tiny().decoder)
    for config in (CONFIG, replace(CONFIG, muon_learning_rate=None), replace(CONFIG, muon_learning_rate=0.0)):
        optimizers = build_optimizers(network, config)
        taken = [p for o in optimizers for group in o.param_groups for p in group["params"]]
        assert len(taken) == len(set(taken))
        assert set(taken) == set(network.parameters())
        assert len(optimizers) == (2 if config.muon_learning_rate else 1)


def test_only_matrices_decay() -> None:
    network = nn.Sequential(nn.Conv2d(2, 2, 1), nn.GroupNorm(1, 2))
    adamw = build_optimizers(network, replace(CONFIG, muon_learning_rate=None, weight_decay=0.3))[0]
    decay = {p: group["weight_decay"] for group in adamw.param_groups for p in group["params"]}
    assert {name: decay[p] for name, p in network.named_parameters()} == {
        "0.weight": 0.3, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0
    }  # fmt: skip


def test_the_rate_scales_what_was_built() -> None:
    optimizers = build_optimizers(build("decoder", presets.tiny().decoder), CONFIG)
    for factor in (0.25, 0.5):
        set_rate(optimizers, factor)
        rates = {group["lr"] for optimizer in optimizers for group in optimizer.param_groups}
        assert rates == {1e-3 * factor, 0.02 * factor}


def test_restored_optimizers_go_on_alike() -> None:
    def grown(network: nn.Module, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)

    one, other = (build("prior", presets.tiny().prior) for _ in range(2))
    first, second = build_optimizers(one, CONFIG), build_optimizers(other, CONFIG)
    grown(one, 0)
    for optimizer in first:
        optimizer.step()
    other.load_state_dict(one.state_dict())
    tensors = optimizer_tensors(one, first)
    assert {name.rsplit("/")[1] for name in tensors} == {"step", "exp_avg", "exp_avg_sq", "momentum"}
    restore_optimizers(other, second, tensors)
    for network, optimizers in ((one, first), (other, second)):
        grown(network, 1)
        for optimizer in optimizers:
            optimizer.step()
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, other.get_parameter(name)), name
