"""What a sentence or a picture shows, by the model's own CLIP: concepts that an operator wants to hear of."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from unclip.engine.concept_file import Concept, read_concepts
from unclip.errors import RequestError
from unclip.imagefiles import to_rgb
from unclip.images import from_pil
from unclip.pipelines.given import embed
from unclip.pipelines.stages import encode_text
from unclip.system import System
from unclip.text.prompts import unknown_words

MOST_SQUARES = 8  # that a long picture is looked at in
_AT_ONCE = 256  # sentences


class Concepts:
    """The concepts of a file, ready to be looked for.

    The margin of a text or picture is its cosine to the nearest sentence of a concept, less that to the
    nearest of its anchors. It shows the concept if the margin reaches the concept's threshold.

    Raises RequestError if the model cannot look for them: its CLIP has no image tower, it has never seen one
    of the words, or the thresholds are another model's.
    """

    def __init__(self, system: System, concepts: Sequence[Concept]) -> None:
        for concept in concepts:
            _check(system, concept)
        self._system = system
        self._concepts = concepts
        sentences = {text: None for concept in concepts for text in (*concept.sentences, *concept.anchors)}
        places = {text: place for place, text in enumerate(sentences)}
        self._sentences = self._encoded(list(sentences))
        self._places = [
            ([places[text] for text in concept.sentences], [places[text] for text in concept.anchors])
            for concept in concepts
        ]

    @classmethod
    def of(cls, system: System, path: Path) -> "Concepts":
        """Read a file of concepts for a model. Raises RequestError for a file or model that will not do."""
        return cls(system, read_concepts(path))

    def text(self, prompt: str) -> tuple[str, ...]:
        """Return the names of the concepts that a sentence shows, as far as the model reads it."""
        margins = self.text_margins([prompt])[0].tolist()
        return self._names(margins, [concept.prompt for concept in self._concepts])

    def images(self, pictures: Float[Tensor, "b 3 h w"]) -> list[tuple[str, ...]]:
        """Return those that each picture in [-1, 1] shows."""
        thresholds = [concept.picture for concept in self._concepts]
        return [self._names(margins, thresholds) for margins in self.image_margins(pictures).tolist()]

    def given(self, picture: Image.Image) -> tuple[str, ...]:
        """Return those that a picture of any size and mode shows, transparent parts over white."""
        size = self._system.clip.config.image_size
        scale = min(1.0, size / min(picture.size))
        reduced = tuple(max(1, round(scale * side)) for side in picture.size)
        small = to_rgb(picture).resize((reduced[0], reduced[1]), Image.Resampling.BICUBIC)
        return self.images(from_pil([small]))[0]

    @torch.no_grad()
    def text_margins(self, prompts: Sequence[str]) -> Float[Tensor, "b k"]:
        """Return the margins of sentences to all concepts."""
        return self._margins(self._encoded(prompts))

    @torch.no_grad()
    def image_margins(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k"]:
        """Return the margins of pictures in [-1, 1]: of one that is not square, the most of its squares."""
        squares = _squares(pictures)
        embeds = embed(self._system, torch.cat(squares)).float()
        margins = self._margins(F.normalize(embeds, dim=-1))
        return margins.unflatten(0, (len(squares), len(pictures))).amax(dim=0)

    def _margins(self, embeds: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        likeness = embeds @ self._sentences.T
        return torch.stack(
            [likeness[:, own].amax(dim=1) - likeness[:, others].amax(dim=1) for own, others in self._places],
            dim=1,
        )

    def _encoded(self, sentences: Sequence[str]) -> Float[Tensor, "b d"]:
        clip, tokenizer = self._system.clip, self._system.tokenizer
        parts = [sentences[first : first + _AT_ONCE] for first in range(0, len(sentences), _AT_ONCE)]
        embeds = [encode_text(clip, tokenizer, part)["text_embed"].float() for part in parts]
        return F.normalize(torch.cat(embeds), dim=-1)

    def _names(self, margins: Sequence[float], thresholds: Sequence[float]) -> tuple[str, ...]:
        rows = zip(self._concepts, margins, thresholds, strict=True)
        return tuple(concept.name for concept, margin, threshold in rows if margin >= threshold)


def best_threshold(margins: Float[Tensor, " b"], shown: Bool[Tensor, " b"]) -> float:
    """Return the threshold of the highest F1 on labelled margins, midway to the next one below it."""
    assert shown.any(), "there must be something to find"
    ordered, order = margins.sort(descending=True)
    right = shown.to(order.device)[order].cumsum(0)
    f1 = 2 * right / (torch.arange(1, len(right) + 1, device=right.device) + shown.sum())
    best = int(f1.argmax())
    return ordered[best : best + 2].mean().item()


def _squares(pictures: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 3 s s"]]:
    """Cut long pictures into squares, evenly spread from end to end, which overlap to leave nothing out."""
    height, width = pictures.shape[-2:]
    side, long = min(height, width), max(height, width)
    count = min(math.ceil(long / side), MOST_SQUARES)
    starts = [round(k * (long - side) / max(1, count - 1)) for k in range(count)]
    return [pictures.narrow(-1 if width > height else -2, start, side) for start in starts]


def _check(system: System, concept: Concept) -> None:
    name, card = concept.name, system.card
    if not system.clip.config.image_size:
        raise RequestError(
            f"concept {name!r} cannot be looked for: {card.name} has no image tower; take the file of"
            " concepts away, or give a model that has one"
        )
    if concept.model not in (None, card.name):
        raise RequestError(
            f"concept {name!r} has thresholds of {concept.model}, not of {card.name}: measure them with that"
        )
    strangers = (
        unknown_words(" ".join((*concept.sentences, *concept.anchors)), card.words) if card.words else {}
    )
    if strangers:
        raise RequestError(
            f"concept {name!r} cannot be looked for: {card.name} has never seen {', '.join(strangers)};"
            " say it in words that it knows"
        )
