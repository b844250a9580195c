import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn

from unclip.nn.attention import ContextAttention, SelfAttention, attend, merge_heads, split_heads


def attended(q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    """softmax(q k / sqrt(d)) v over what is visible, head by head: Vaswani et al. 2017, equation 1."""
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("bhqk,bhkd->bhqd", scores.masked_fill(~visible, -torch.inf).softmax(-1), v)


def test_merging_undoes_splitting() -> None:
    x = torch.randn(2, 3, 8)
    heads = split_heads(x, 4)
    assert torch.equal(heads[1, 2, 0], x[1, 0, 4:6])  # head 2 holds the third quarter of the features
    assert torch.equal(merge_heads(heads), x)


@pytest.mark.parametrize(("masked", "causal"), [(False, False), (True, False), (False, True)])
def test_learning_in_bfloat16_on_a_cpu_is_the_formula_too(masked: bool, causal: bool) -> None:
    q, k, v = (torch.randn(2, 3, 5, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    mask = torch.rand(2, 1, 1, 5) > 0.4 if masked else torch.ones(5, 5, dtype=torch.bool)
    mask[..., 0] = True
    visible = mask.expand(2, 1, 5, 5).tril() if causal else mask.expand(2, 1, 5, 5)
    found = attend(q, k, v, mask if masked else None, causal)
    assert found.dtype == torch.bfloat16
    expected = attended(q.float(), k.float(), v.float(), visible)
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)
    with torch.no_grad():
        torch.testing.assert_close(
            attend(q, k, v, mask if masked else None, causal), found, atol=0.03, rtol=0.03
        )


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_is_the_formula(causal: bool) -> None:
    layer, x = SelfAttention(8, 2, causal), torch.randn(3, 5, 8)
    visible = torch.ones(5, 5, dtype=torch.bool)
    q, k, v = (split_heads(part, 2) for part in layer.qkv(x).chunk(3, dim=-1))
    expected = layer.out(merge_heads(attended(q, k, v, visible.tril() if causal else visible)))
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x, torch.ones(3, 5, dtype=torch.bool)), expected)


def test_causal_attention_does_not_see_ahead() -> None:
    layer, x = SelfAttention(8, 2, causal=True), torch.randn(1, 5, 8)
    later = x.clone()
    later[:, 3] += 1
    for mask in (None, torch.ones(1, 5, dtype=torch.bool)):
        changed = (layer(later, mask) - layer(x, mask)).abs().amax(dim=(0, 2)) > 1e-6
        assert changed.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("causal", [False, True])
def test_masked_tokens_are_seen_by_no_other(causal: bool) -> None:
    layer, x = SelfAttention(8, 2, causal), torch.randn(1, 5, 8)
    mask = torch.tensor([[True, False, True, True, False]])
    other = torch.where(mask[..., None], x, torch.randn_like(x))
    torch.testing.assert_close(layer(other, mask)[mask], layer(x, mask)[mask])
    assert not torch.allclose(layer(other)[mask], layer(x)[mask])


def test_nothing_to_see_is_no_nan() -> None:
    layer, x = SelfAttention(8, 2, causal=True), torch.randn(2, 5, 8)
    assert layer(x, torch.zeros(2, 5, dtype=torch.bool)).isfinite().all()


def test_pixels_see_context_and_each_other_in_one_softmax() -> None:
    layer, x, context = ContextAttention(8, 4, 6, groups=2), torch.randn(2, 8, 3, 2), torch.randn(2, 5, 6)
    mask = torch.tensor([[True] * 5, [True, True, False, False, True]])
    pixels = layer.norm(x).flatten(2).transpose(1, 2)
    q, k, v = (split_heads(part, 2) for part in layer.qkv(pixels).chunk(3, dim=-1))
    assert layer.context_kv is not None
    context_k, context_v = (split_heads(part, 2) for part in layer.context_kv(context).chunk(2, dim=-1))
    visible = nn.functional.pad(mask, (0, 6), value=True)[:, None, None]
    found = attended(q, torch.cat([context_k, k], 2), torch.cat([context_v, v], 2), visible)
    expected = x + layer.out(merge_heads(found)).transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(layer(x, context, mask), expected)


def test_masked_context_does_not_matter_and_other_does() -> None:
    layer, x, context = ContextAttention(8, 4, 6, groups=2), torch.randn(1, 8, 2, 2), torch.randn(1, 3, 6)
    mask = torch.tensor([[True, False, True]])
    other = context.clone()
    other[:, 1] += 1
    torch.testing.assert_close(layer(x, other, mask), layer(x, context, mask))
    assert not torch.allclose(layer(x, other), layer(x, context))


def test_without_context_pixels_attend_among_themselves() -> None:
    layer, x = ContextAttention(8, 4, None, groups=2), torch.randn(2, 8, 3, 3)
    tokens = SelfAttention(8, 2)
    tokens.qkv, tokens.out = layer.qkv, layer.out
    found = tokens(layer.norm(x).flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(layer(x), x + found)


def test_every_call_is_held_to_its_shapes() -> None:
    with pytest.raises(TypeCheckError):
        SelfAttention(8, 2)(torch.randn(5, 8))
