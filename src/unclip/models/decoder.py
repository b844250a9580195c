"""The decoder: from a CLIP image embedding and a caption to a 64-pixel picture."""

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from unclip.models.unet import UNet, UNetConfig
from unclip.nn.embeddings import TimestepEmbedding
from unclip.nn.transformer import Transformer

GUIDANCE_UNIT = 100.0  # timesteps that a guidance scale of 1 is embedded as


@dataclass(frozen=True)
class DecoderConfig:
    """Shape of the decoder; the CLIP it stands on fixes the first two."""

    embed_dim: int
    text_width: int
    unet: UNetConfig
    image_size: int = 64
    image_tokens: int = 4  # context tokens made of the image embedding
    text_depth: int = 0  # blocks of the decoder's own text transformer over CLIP's text states; 0: none
    text_heads: int = 8
    embed_scale: float = 1.0  # of CLIP's embeddings: those of length 1 have features too small to be heard
    guided: bool = False  # takes the guidance scale as an input, and needs no second row


class Decoder(nn.Module):
    """A U-Net told the image embedding and the caption.

    The image embedding is added to the timestep's embedding and makes context tokens; the caption's
    embedding is added too, and its encodings follow as context. A guided decoder adds the embedding of the
    guidance scale, at first nothing.
    Source: Ramesh et al. 2022, section 2.1; the added text embedding and the learned null image embedding
    as in Karlo; the guidance scale as an input, Meng et al. 2022, stage one.
    """

    def __init__(self, config: DecoderConfig):
        super().__init__()
        assert config.unet.context_width is not None
        self.config = config
        context, added = config.unet.context_width, config.unet.embed_width
        self.unet = UNet(config.unet)
        self.null_image_embed = nn.Parameter(torch.zeros(config.embed_dim))
        self.add_text = nn.Linear(config.embed_dim, added)
        self.add_image = nn.Linear(config.embed_dim, added)
        self.image_context = nn.Linear(config.embed_dim, config.image_tokens * context)
        self.project_encodings = nn.Linear(config.text_width, context)
        self.norm_encodings = nn.LayerNorm(context)
        self.text = Transformer(context, config.text_depth, config.text_heads) if config.text_depth else None
        self.guidance_embed = TimestepEmbedding(config.unet.channels[0], added) if config.guided else None
        if self.guidance_embed is not None:
            for parameter in self.guidance_embed.linear_2.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self,
        x_t: Float[Tensor, "b 3 h w"],
        t: Shaped[Tensor, " b"],
        image_embed: Float[Tensor, "b d"],
        image_mask: Bool[Tensor, " b"],
        text_embed: Float[Tensor, "b d"],
        text_encodings: Float[Tensor, "b n d_text"],
        text_mask: Bool[Tensor, "b n"],
        guidance: Float[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b c_out h w"]:
        """Predict from a noised picture; rows whose `image_mask` is False get the learned null embedding.

        A caption is left out by giving the empty caption's embedding, encodings and mask. `guidance` is each
        row's guidance scale (1: off), given to guided decoders and to no others.
        """
        assert (guidance is None) == (self.guidance_embed is None)
        text_embed, image_embed = (self.config.embed_scale * embed for embed in (text_embed, image_embed))
        image_embed = torch.where(image_mask[:, None], image_embed, self.null_image_embed)
        added = self.add_text(text_embed) + self.add_image(image_embed)
        if self.guidance_embed is not None and guidance is not None:
            added = added + self.guidance_embed(GUIDANCE_UNIT * guidance)
        image_context = rearrange(
            self.image_context(image_embed), "b (d n) -> b n d", n=self.config.image_tokens
        )
        text_context = self.norm_encodings(self.project_encodings(text_encodings))
        if self.text is not None:
            text_context = self.text(text_context, text_mask)
        context = torch.cat([image_context, text_context], dim=1)
        mask = torch.nn.functional.pad(text_mask, (self.config.image_tokens, 0), value=True)
        return self.unet(x_t, t, added, context, mask)


def guided_copy(decoder: Decoder) -> Decoder:
    """Return a trainable copy that takes the guidance scale, and at first predicts the same at every scale.

    A decoder that takes the scale already is copied as it is.
    """
    copy = Decoder(replace(decoder.config, guided=True))
    copy.load_state_dict({**copy.state_dict(), **decoder.state_dict()})
    return copy
