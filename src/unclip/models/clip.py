"""CLIP: a picture and its caption, each encoded as a vector in one space."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unclip.errors import RequestError
from unclip.nn.transformer import Activation, Transformer


@dataclass(frozen=True)
class ClipConfig:
    """Shape of both towers."""

    embed_dim: int
    image_size: int  # pixels a side; pictures of other sizes are resized to it. 0: there is no image tower
    patch_size: int
    image_width: int
    image_depth: int
    image_heads: int
    vocab_size: int
    context_length: int  # tokens of a caption, start and end included
    text_width: int
    text_depth: int
    text_heads: int
    activation: Activation = "gelu"
    normalize: bool = True  # embeddings leave with unit length (Karlo's do not)
    image_mlp_width: int | None = None  # of the blocks' MLPs; None: four times the tower's width
    text_mlp_width: int | None = None
    pixel_mean: tuple[float, ...] = (0.5, 0.5, 0.5)  # of each colour, 0 to 1: the tower sees it as 0
    pixel_std: tuple[float, ...] = (0.5, 0.5, 0.5)  # what it sees as 1


class ImageTower(nn.Module):
    """Vision transformer; the projected state of the class token is the embedding.

    Source: Radford et al. 2021.
    """

    def __init__(self, config: ClipConfig):
        super().__init__()
        self.image_size = config.image_size
        self.pixel_mean, self.pixel_std = config.pixel_mean, config.pixel_std
        width, patches = config.image_width, (config.image_size // config.patch_size) ** 2
        self.patches = nn.Conv2d(3, width, config.patch_size, stride=config.patch_size, bias=False)
        self.class_token = nn.Parameter(torch.empty(width).normal_(std=width**-0.5))
        self.positions = nn.Parameter(torch.empty(patches + 1, width).normal_(std=width**-0.5))
        self.norm_in = nn.LayerNorm(width)
        self.transformer = Transformer(
            width,
            config.image_depth,
            config.image_heads,
            activation=config.activation,
            mlp_width=config.image_mlp_width,
        )
        self.norm_out = nn.LayerNorm(width)
        self.project = nn.Linear(width, config.embed_dim, bias=False)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Embed square pictures in [-1, 1]."""
        return self.project(self.norm_out(self.transformer(self._tokens(images))[:, 0]))

    def patch_states(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Return the states of a picture's patches before the last block, each of mean 0 and deviation 1.

        Those that follow are read by nobody, since the embedding is the class token's.
        """
        x = self._tokens(images)
        for block in self.transformer.blocks[:-1]:
            x = block(x)
        return F.layer_norm(x[:, 1:], x.shape[-1:])

    def _tokens(self, images: Tensor) -> Tensor:
        if images.shape[-1] != self.image_size:
            size = (self.image_size, self.image_size)
            images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(-1, 1)
        images = self._standardized(images)
        x = rearrange(self.patches(images), "b d h w -> b (h w) d")
        x = torch.cat([self.class_token.expand(x.shape[0], 1, -1), x], dim=1)
        return self.norm_in(x + self.positions)

    def _standardized(self, images: Tensor) -> Tensor:
        if set(self.pixel_mean + self.pixel_std) == {0.5}:  # as they are
            return images
        mean, std = (images.new_tensor(of).view(3, 1, 1) for of in (self.pixel_mean, self.pixel_std))
        return ((images + 1) / 2 - mean) / std


class TextTower(nn.Module):
    """Causal transformer; the projected state of the end token is the embedding.

    Source: Radford et al. 2021.
    """

    def __init__(self, config: ClipConfig):
        super().__init__()
        width = config.text_width
        self.tokens = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Parameter(torch.empty(config.context_length, width).normal_(std=0.01))
        self.transformer = Transformer(
            width,
            config.text_depth,
            config.text_heads,
            causal=True,
            activation=config.activation,
            mlp_width=config.text_mlp_width,
        )
        self.norm_out = nn.LayerNorm(width)
        self.project = nn.Linear(width, config.embed_dim, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(
        self, tokens: Int[Tensor, "b n"], ends: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b n w"]]:
        """Return the embedding, read at position `ends`, and the state of every token."""
        x = self.tokens(tokens) + self.positions[: tokens.shape[1]]
        encodings = self.norm_out(self.transformer(x))
        rows = torch.arange(len(tokens), device=tokens.device)
        return self.project(encodings[rows, ends]), encodings


class Clip(nn.Module):
    """The two towers and the temperature they are trained with."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        self.config = config
        self.image = ImageTower(config) if config.image_size else None
        self.text = TextTower(config)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Return the image embedding of square pictures in [-1, 1].

        Raises RequestError if there is no image tower.
        """
        if self.image is None:
            raise RequestError(
                "this model has no image encoder and draws from sentences alone: give one that has, such as"
                " a folder of Karlo's image variations"
            )
        return self._normalized(self.image(images))

    def encode_text(
        self, tokens: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b n w"]]:
        """Return the embedding and the state of every token, of captions that end where `mask` does."""
        embed, encodings = self.text(tokens, mask.sum(dim=1) - 1)
        return self._normalized(embed), encodings

    def forward(
        self, images: Float[Tensor, "b 3 h w"], tokens: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b b"]:
        """Return the scaled similarity of every picture (rows) with every caption (columns)."""
        text_embed, _ = self.encode_text(tokens, mask)
        image_embed = self.encode_image(images)
        similarity = F.normalize(image_embed, dim=-1) @ F.normalize(text_embed, dim=-1).T
        # Radford et al. 2021 cap the scale at 100 for stability.
        return similarity * self.logit_scale.exp().clamp(max=100)

    def _normalized(self, embed: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        return F.normalize(embed, dim=-1) if self.config.normalize else embed
