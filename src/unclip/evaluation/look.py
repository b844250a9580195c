"""What the judges make of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unclip.evaluation.judges.detector import resized
from unclip.evaluation.judges.store import Judges
from unclip.evaluation.rules import Sight
from unclip.evaluation.shown import Shown


@dataclass(frozen=True)
class Look:
    """All pictures of a suite as seen; rows are pictures, those of a sentence side by side."""

    sights: Sequence[Sequence[Sight]]  # by sentence
    features: Float[Tensor, "n d"]
    image_embed: Float[Tensor, "n e"]  # by the judges' CLIP, of length 1


def sights(judges: Judges, shown: Shown, sentences: int) -> list[list[Sight]]:
    """Show the detector alone every picture of every sentence."""
    return [judges.detector.see(shown(index)) for index in range(sentences)]


@torch.no_grad()
def look(judges: Judges, shown: Shown, sentences: int) -> Look:
    """Show the judges every picture of every sentence."""
    sights, features, embeds = list[list[Sight]](), list[Tensor](), list[Tensor]()
    for index in range(sentences):
        images = shown(index)
        sights.append(judges.detector.see(images))
        features.append(judges.features(images))
        embeds.append(judges.clip.encode_image(resized(images, judges.clip.config.image_size)))
    return Look(sights, torch.cat(features), torch.cat(embeds))
