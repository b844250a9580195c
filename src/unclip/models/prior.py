"""The diffusion prior: from a caption to the CLIP embedding of a picture of it."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from unclip.nn.embeddings import TimestepEmbedding
from unclip.nn.transformer import Transformer


@dataclass(frozen=True)
class PriorConfig:
    """Shape of the prior; the CLIP it stands on fixes the first three."""

    embed_dim: int
    text_width: int
    context_length: int
    width: int
    depth: int
    heads: int


class Prior(nn.Module):
    """Causal transformer that predicts the clean image embedding.

    The sequence is: text encodings, text embedding, timestep, noised image embedding, and a learned query at
    whose place the prediction is read. Embeddings are diffused whitened: (z - clip_mean) / clip_std.
    Source: Ramesh et al. 2022, section 2.2; whitening as in Karlo.
    """

    clip_mean: Tensor
    clip_std: Tensor

    def __init__(self, config: PriorConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.project_encodings = nn.Linear(config.text_width, width)
        self.project_text = nn.Linear(config.embed_dim, width)
        self.project_image = nn.Linear(config.embed_dim, width)
        self.time = TimestepEmbedding(width, width)
        self.query = nn.Parameter(torch.empty(1, 1, width).normal_(std=0.02))
        self.positions = nn.Parameter(torch.empty(1, config.context_length + 4, width).normal_(std=0.02))
        self.transformer = Transformer(width, config.depth, config.heads, causal=True)
        self.norm_out = nn.LayerNorm(width)
        self.project_out = nn.Linear(width, config.embed_dim)
        self.register_buffer("clip_mean", torch.zeros(config.embed_dim))
        self.register_buffer("clip_std", torch.ones(config.embed_dim))

    def forward(
        self,
        x_t: Float[Tensor, "b d"],
        t: Shaped[Tensor, " b"],
        text_embed: Float[Tensor, "b d"],
        text_encodings: Float[Tensor, "b n d_text"],
        text_mask: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b d"]:
        """Predict the whitened image embedding from a noised one and the caption."""
        tokens = [
            self.project_encodings(text_encodings),  # b n d
            self.project_text(text_embed)[:, None],  # b 1 d
            self.time(t)[:, None],  # b 1 d
            self.project_image(x_t)[:, None],  # b 1 d
            self.query.expand(len(x_t), -1, -1),  # b 1 d
        ]
        n = text_encodings.shape[1]  # padding may be left off; the last four keep their own positions
        x = torch.cat(tokens, dim=1) + torch.cat([self.positions[:, :n], self.positions[:, -4:]], dim=1)
        mask = torch.nn.functional.pad(text_mask, (0, 4), value=True)
        x = self.transformer(x, mask)
        return self.project_out(self.norm_out(x[:, -1]))

    def whiten(self, image_embed: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Shift and scale CLIP embeddings to zero mean and unit variance per dimension."""
        return (image_embed - self.clip_mean) / self.clip_std

    def unwhiten(self, x0: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Undo `whiten`."""
        return x0 * self.clip_std + self.clip_mean
