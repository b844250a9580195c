"""A frozen CLIP, as priors and decoders are told of captions and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unclip.diffusion.guides import Conditions
from unclip.models.clip import Clip
from unclip.pipelines.stages import encode_text
from unclip.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class TextConditions:
    """A frozen CLIP and its tokenizer: captions and pictures to conditions."""

    clip: Clip
    tokenizer: Tokenizer

    def text(self, captions: Sequence[str]) -> Conditions:
        """Return text_embed, text_encodings and text_mask of captions; "" is the absent caption."""
        return encode_text(self.clip, self.tokenizer, captions)

    @torch.no_grad()
    def image(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Return image embeddings."""
        return self.clip.encode_image(pixels)

    def dropped(self, captions: Sequence[str], drop: Bool[Tensor, " b"]) -> Conditions:
        """Return the text conditions with some captions left out."""
        kept = zip(captions, drop.tolist(), strict=True)
        return self.text(["" if gone else caption for caption, gone in kept])
