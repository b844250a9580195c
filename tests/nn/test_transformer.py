import pytest
import torch
from torch import Tensor, nn

from unclip.nn.transformer import Activation, Block, Transformer, quick_gelu


def test_quick_gelu_is_the_formula_and_near_gelu() -> None:
    x = torch.linspace(-5, 5, 101)
    torch.testing.assert_close(quick_gelu(x), x / (1 + torch.exp(-1.702 * x)))
    torch.testing.assert_close(quick_gelu(x), nn.functional.gelu(x), atol=0.03, rtol=0)


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_block_is_the_formula(activation: Activation) -> None:
    block, x = Block(8, 2, causal=False, activation=activation, mlp_width=20), torch.randn(2, 5, 8)
    h = x + block.attention(block.norm_1(x))
    act = nn.functional.gelu if activation == "gelu" else quick_gelu
    torch.testing.assert_close(block(x), h + block.narrow(act(block.widen(block.norm_2(h)))))


def test_masked_tokens_do_not_matter_at_any_depth() -> None:
    network, x = Transformer(8, depth=3, heads=2), torch.randn(1, 5, 8)
    mask = torch.tensor([[True, True, False, True, False]])
    other = torch.where(mask[..., None], x, torch.randn_like(x))
    torch.testing.assert_close(network(other, mask)[mask], network(x, mask)[mask])


def test_causal_transformer_does_not_see_ahead_at_any_depth() -> None:
    network, x = Transformer(8, depth=3, heads=2, causal=True), torch.randn(1, 5, 8)
    later = x.clone()
    later[:, 3:] = torch.randn(2, 8)
    torch.testing.assert_close(network(later)[:, :3], network(x)[:, :3])
    assert not torch.allclose(network(later)[:, 3:], network(x)[:, 3:])


def gradients(network: Transformer, x: Tensor, mask: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(network(x, mask).square().sum(), list(network.parameters())))


def test_checkpointing_changes_no_gradient() -> None:
    network, x = Transformer(8, depth=2, heads=2), torch.randn(2, 5, 8)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    expected = gradients(network, x, mask)
    network.checkpointing = True
    for kept, recomputed in zip(expected, gradients(network, x, mask), strict=True):
        torch.testing.assert_close(recomputed, kept)
