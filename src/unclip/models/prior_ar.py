"""The autoregressive prior: the image embedding as a row of tokens, each drawn given those before it."""

import math
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Bool, Float, Int, Int64, Shaped
from torch import Tensor, nn

from unclip.models import buckets
from unclip.models.pca import Pca, fit_pca
from unclip.nn.transformer import Transformer


@dataclass(frozen=True)
class PriorArConfig:
    """Shape of the autoregressive prior; the CLIP it stands on fixes the first three."""

    embed_dim: int
    text_width: int
    context_length: int
    width: int
    depth: int
    heads: int
    components: int  # of the image embedding, by falling variance; the rest is left out
    buckets: int = 1024  # a number becomes one of so many tokens
    waves: int = 128  # that the logits of the buckets are made of

    @property
    def num_tokens(self) -> int:
        """Tokens of an embedding: its product with the text's, then one per component."""
        return self.components + 1


class Waves(nn.Module):
    """Logits that are alike for neighbouring buckets: a sum of waves over them, amplitudes linear in x.

    A weight for every bucket would have to learn anew for each what its neighbours know.
    """

    def __init__(self, width: int, waves: int, buckets: int):
        super().__init__()
        assert waves <= buckets
        self.buckets = buckets
        self.amplitudes = nn.Linear(width, waves)
        nn.init.normal_(self.amplitudes.weight, std=0.02)  # all buckets about as likely

    def forward(self, x: Float[Tensor, "*b width"]) -> Float[Tensor, "*b buckets"]:
        """Return the logits of all buckets."""
        amplitudes = self.amplitudes(x)
        return amplitudes @ cosine_waves(amplitudes.shape[-1], self.buckets, x.device).to(amplitudes.dtype)


@cache
def cosine_waves(count: int, buckets: int, device: torch.device) -> Float[Tensor, "{count} {buckets}"]:
    """Return sqrt(2) cos(pi k (i + 1/2) / buckets) / (1 + k / 8) for wave k and bucket i.

    The slow ones are loud, so that a distribution is first learnt in outline.
    """
    k, i = (torch.arange(n, device=device, dtype=torch.float32) for n in (count, buckets))
    return math.sqrt(2) * torch.cos(math.pi * k[:, None] * (i + 0.5) / buckets) / (1 + k[:, None] / 8)


class PriorAr(nn.Module):
    """Causal transformer that predicts each token of the image embedding from those before it.

    The first token is the product of image and text embedding, the others are principal components of the
    image embedding. The sequence is: text encodings, text embedding, and the tokens as the numbers they stand
    for; a token is predicted one place before its own. What the tokens mean is set by `fit`.
    Source: Ramesh et al. 2022, section 2.2; docs/decisions/ar-prior.md has what the paper leaves open.
    """

    pca_mean: Tensor
    pca_basis: Tensor
    pca_std: Tensor
    token_mean: Tensor
    token_std: Tensor
    centres: Tensor

    def __init__(self, config: PriorArConfig):
        super().__init__()
        assert config.components <= config.embed_dim
        self.config = config
        width, d, tokens = config.width, config.embed_dim, config.num_tokens
        self.project_encodings = nn.Linear(config.text_width, width)
        self.project_text = nn.Linear(d, width)
        self.project_token = nn.Sequential(nn.Linear(1, width), nn.GELU(), nn.Linear(width, width))
        # As loud as what stands there, or no token knows for long which component it is.
        self.positions = nn.Parameter(torch.empty(1, config.context_length + tokens, width).normal_(std=0.3))
        self.transformer = Transformer(width, config.depth, config.heads, causal=True)
        self.norm_out = nn.LayerNorm(width)
        self.project_out = Waves(width, config.waves, config.buckets)
        self.register_buffer("pca_mean", torch.zeros(d))
        self.register_buffer("pca_basis", torch.zeros(d, d))  # whole, so that any number can be looked at
        self.register_buffer("pca_std", torch.zeros(d))
        self.register_buffer("token_mean", torch.zeros(tokens))
        self.register_buffer("token_std", torch.zeros(tokens))
        self.register_buffer("centres", torch.zeros(tokens, config.buckets))  # of standardised numbers

    def forward(
        self,
        x_t: Int[Tensor, "b n"],
        t: Shaped[Tensor, " b"],
        text_embed: Float[Tensor, "b d"],
        text_encodings: Float[Tensor, "b m d_text"],
        text_mask: Bool[Tensor, "b m"],
    ) -> Float[Tensor, "b buckets"]:
        """Return the logits of the next token, the first `t` in each row of `x_t` being drawn already.

        Those beyond play no part, so rows at different tokens may share a call.
        """
        states = self._states(x_t, text_embed, text_encodings, text_mask)
        return self.project_out(states[torch.arange(len(t), device=t.device), t.long()])

    def logits(
        self,
        tokens: Int[Tensor, "b n"],
        text_embed: Float[Tensor, "b d"],
        text_encodings: Float[Tensor, "b m d_text"],
        text_mask: Bool[Tensor, "b m"],
    ) -> Float[Tensor, "b n buckets"]:
        """Return the logits of every token given those before it, as training asks for."""
        return self.project_out(self._states(tokens[:, :-1], text_embed, text_encodings, text_mask))

    def _states(
        self,
        tokens: Int[Tensor, "b n"],
        text_embed: Float[Tensor, "b d"],
        text_encodings: Float[Tensor, "b m d_text"],
        text_mask: Bool[Tensor, "b m"],
    ) -> Float[Tensor, "b n_next width"]:
        """Return the state after no token, after the first, and so on up to all."""
        inputs = [
            self.project_encodings(text_encodings),  # b m d
            self.project_text(text_embed)[:, None],  # b 1 d
            self.project_token(buckets.dequantise(tokens, self.centres)[..., None]),  # b n d
        ]
        m, n = text_encodings.shape[1], tokens.shape[1] + 1
        tail = self.positions[:, self.config.context_length :]  # keep their own where padding is left off
        x = torch.cat(inputs, dim=1) + torch.cat([self.positions[:, :m], tail[:, :n]], dim=1)
        x = self.transformer(x, nn.functional.pad(text_mask, (0, n), value=True))
        return self.norm_out(x[:, m:])

    @property
    def pca(self) -> Pca:
        """All principal components of the image embeddings that it was fitted to."""
        return Pca(self.pca_mean, self.pca_basis, self.pca_std)

    @property
    def fitted(self) -> bool:
        """Whether its tokens mean anything yet."""
        return bool(self.pca_std.any())

    @torch.no_grad()
    def fit(self, image_embeds: Float[Tensor, "n d"], text_embeds: Float[Tensor, "n d"]) -> None:
        """Set components and buckets by the embeddings of pictures and their captions, row by row.

        Each bucket holds an equal share of the numbers given.
        """
        found = fit_pca(image_embeds)
        self.pca_mean.copy_(found.mean)
        self.pca_basis.copy_(found.basis)
        self.pca_std.copy_(found.std)
        numbers = self._numbers(image_embeds, text_embeds)
        self.token_mean.copy_(numbers.mean(dim=0))
        self.token_std.copy_(numbers.std(dim=0, correction=0).clamp(min=1e-6))
        self.centres.copy_(buckets.equal_shares(self._standardised(numbers), self.config.buckets))

    def quantise(
        self, image_embed: Float[Tensor, "b d"], text_embed: Float[Tensor, "b d"]
    ) -> Int64[Tensor, "b n"]:
        """Return the tokens of image embeddings whose captions have these text embeddings."""
        return buckets.quantise(self._standardised(self._numbers(image_embed, text_embed)), self.centres)

    def dequantise(self, tokens: Int[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        """Return the image embeddings that tokens stand for; components without a token are 0."""
        n = tokens.shape[1]
        numbers = buckets.dequantise(tokens, self.centres) * self.token_std[:n] + self.token_mean[:n]
        return self.pca.reconstruct(numbers[:, 1:])

    def _numbers(
        self, image_embed: Float[Tensor, "b d"], text_embed: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b n"]:
        """Return what the tokens stand for: the product of the embeddings, then the components."""
        product = (image_embed * text_embed).sum(dim=1, keepdim=True)
        return torch.cat([product, self.pca.project(image_embed, self.config.components)], dim=1)

    def _standardised(self, numbers: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return (numbers - self.token_mean) / self.token_std
