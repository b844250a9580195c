"""What the autoregressive prior learns: the next token of an image embedding."""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn

from unclip.diffusion.driver import Denoising, finish, run
from unclip.diffusion.guides import Conditions, conditional
from unclip.diffusion.tokens import Logits, draw_tokens
from unclip.models.prior_ar import PriorAr
from unclip.training.batches import Batch, Steps
from unclip.training.conditions import TextConditions
from unclip.training.tasks import WholePictures, chance, device_of

FITTED_ON = 20_000  # pictures: about twenty to a bucket
PROBED = 16  # pictures whose embeddings are drawn


@dataclass(frozen=True)
class PriorArTask(WholePictures):
    """Cross-entropy of all tokens. Source: Ramesh et al. 2022, section 2.2.

    A caption left out still says what it would have in the first token, its product with the picture: what
    guidance compares are the likely embeddings of one product, with and without the caption.
    """

    conditions: TextConditions
    text_drop: float = 0.1

    def prepare(self, network: nn.Module, steps: Steps) -> None:
        """Set components and buckets, unless the weights came with theirs and would misread others."""
        prior = cast(PriorAr, network)
        if prior.fitted:
            return
        batches = (steps[step] for step in range(-(-FITTED_ON // steps.batch_size)))
        pairs = [self._embeds(network, batch) for batch in batches]
        prior.fit(*(torch.cat(embeds) for embeds in zip(*pairs, strict=True)))

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean cross-entropy of a token, in nats."""
        drop = chance(len(batch), self.text_drop, generator)
        tokens = self._tokens(network, *self._embeds(network, batch))
        return self._cross_entropy(network, tokens, self.conditions.dropped(batch.captions, drop))

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        """Tell what the components keep, how much the loss rises with other captions, and what is drawn.

        The cosines are those of drawn embeddings to the true ones, and to those of other captions.
        """
        prior, true = cast(PriorAr, network), self._embeds(network, batch)
        tokens = self._tokens(network, *true)
        text = self.conditions.text(batch.captions)
        other = {name: rows.roll(1, dims=0) for name, rows in text.items()}
        by_text, by_other = (self._cross_entropy(network, tokens, given).item() for given in (text, other))
        first = {name: rows[:PROBED] for name, rows in text.items()}
        drawn, image_embed = self._drawn(network, first, generator), true[0][:PROBED]
        return {
            "kept_variance": prior.pca.kept_variance(prior.config.components),
            "text_gap": by_other - by_text,
            "cosine": F.cosine_similarity(drawn, image_embed).mean().item(),
            "cosine_shuffled": F.cosine_similarity(drawn, image_embed.roll(1, dims=0)).mean().item(),
        }

    def sheet(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Nothing to see."""
        del network, batch
        return []

    def _embeds(self, network: nn.Module, batch: Batch) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """Return the embeddings of pictures and captions."""
        device = device_of(network)
        with torch.autocast(device.type, enabled=False):  # bfloat16 is coarser than the buckets
            image_embed = self.conditions.image(batch.pixels(device))
            return image_embed, self.conditions.text(batch.captions)["text_embed"]

    def _tokens(self, network: nn.Module, image_embed: Tensor, text_embed: Tensor) -> Int64[Tensor, "b n"]:
        # Compiled networks come wrapped, hence no isinstance.
        return cast(PriorAr, network).quantise(image_embed, text_embed)

    def _cross_entropy(self, network: nn.Module, tokens: Int64[Tensor, "b n"], text: Conditions) -> Tensor:
        logits = cast(PriorAr, network).logits(tokens, **text)
        return F.cross_entropy(logits.float().flatten(0, 1), tokens.flatten())

    def _drawn(self, network: nn.Module, text: Conditions, generator: Generator) -> Float[Tensor, "b d"]:
        prior, rows = cast(PriorAr, network), len(text["text_embed"])
        count, device = prior.config.num_tokens, device_of(network)
        sampling = draw_tokens(lambda: torch.rand(rows, generator=generator, device=device), count)
        guide = conditional(Logits(), text)
        return prior.dequantise(finish(run(Denoising("prior_ar", count, network, sampling, guide))))
