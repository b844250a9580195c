"""Multi-head attention over tokens, and over pixels that also see a context."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


def split_heads(x: Float[Tensor, "b n d"], heads: int) -> Float[Tensor, "b h n k"]:
    """Cut the features of every token into `heads` equal parts."""
    return rearrange(x, "b n (h k) -> b h n k", h=heads)


def merge_heads(x: Float[Tensor, "b h n k"]) -> Float[Tensor, "b n d"]:
    """Undo `split_heads`."""
    return rearrange(x, "b h n k -> b n (h k)")


def attend(
    q: Float[Tensor, "b h n k"],
    k: Float[Tensor, "b h m k"],
    v: Float[Tensor, "b h m k"],
    visible: Bool[Tensor, "b _ _ m"] | None = None,
    causal: bool = False,
) -> Float[Tensor, "b h n k"]:
    """Return softmax(q k^T / sqrt(width of a head)) v over the keys that are `visible` to each query.

    By torch's fused kernel, except where a CPU learns in bfloat16: its backward pass there took 4 to 6 times
    as long as plain products.
    """
    if not (torch.is_grad_enabled() and q.device.type == "cpu" and v.dtype == torch.bfloat16):
        return scaled_dot_product_attention(q, k, v, attn_mask=visible, is_causal=causal)
    if causal:
        visible = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    return scores.softmax(dim=-1).to(v.dtype) @ v


class SelfAttention(nn.Module):
    """Every token looks at every token, or with `causal` at those before it and itself."""

    def __init__(self, width: int, heads: int, causal: bool = False):
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Attend among `x`; tokens whose `mask` is False are seen by no other token."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        if mask is None:
            return self.out(merge_heads(attend(q, k, v, causal=self.causal)))
        return self.out(merge_heads(attend(q, k, v, self._visible(mask))))

    def _visible(self, mask: Bool[Tensor, "b n"]) -> Bool[Tensor, "b 1 n n"]:
        n = mask.shape[1]
        order = torch.ones(n, n, dtype=torch.bool, device=mask.device)
        seen = order.tril() if self.causal else order
        # A token always sees itself, or the softmax over nothing would be NaN.
        return (seen & mask[:, None, :] | torch.eye(n, dtype=torch.bool, device=mask.device))[:, None]


class ContextAttention(nn.Module):
    """Pixels look at the context tokens and at each other in one softmax, as a residual.

    With `context_width` None there is no context. Source: Dhariwal & Nichol 2021 (ADM attention) and
    GLIDE (keys and values of the text beside those of the picture, context first).
    """

    def __init__(self, channels: int, head_width: int, context_width: int | None, groups: int):
        super().__init__()
        self.heads = channels // head_width
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.context_kv = nn.Linear(context_width, 2 * channels) if context_width else None
        self.out = nn.Linear(channels, channels)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        context: Float[Tensor, "b n d"] | None = None,
        context_mask: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Add to `x` what its pixels find in each other and in the unmasked context."""
        pixels = rearrange(self.norm(x.flatten(2)), "b c n -> b n c")
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(pixels).chunk(3, dim=-1))
        visible = None
        if self.context_kv is not None:
            assert context is not None
            context_k, context_v = (
                split_heads(part, self.heads) for part in self.context_kv(context).chunk(2, -1)
            )
            k, v = torch.cat([context_k, k], dim=2), torch.cat([context_v, v], dim=2)
            if context_mask is not None:
                all_pixels = context_mask.new_ones(x.shape[0], pixels.shape[1])
                visible = torch.cat([context_mask, all_pixels], dim=1)[:, None, None, :]  # b 1 1 n
        found = self.out(merge_heads(attend(q, k, v, visible)))
        return rearrange(found, "b (h w) c -> b c h w", h=x.shape[2]) + x
