"""What is shown for each sentence of a suite: a model's drawings, true renders, or the anchors below them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unclip.diffusion.driver import finish, run
from unclip.evaluation.draw import picture_file
from unclip.evaluation.suite import Item
from unclip.imagefiles import read_image
from unclip.images import from_pil, to_tensor
from unclip.models.clip import Clip
from unclip.models.upsampler import Upsampler
from unclip.pipelines.stages import encode_text, settings, upsampler
from unclip.system import Stage
from unclip.text.tokenizer import Tokenizer
from unclip.world import Sprites, World
from unclip.world.render import render

Shown = Callable[[int], Float[Tensor, "k 3 h w"]]
"""The pictures of a sentence, by its index."""


def drawn(folder: Path, per_sentence: int) -> Shown:
    """Show what was drawn into a folder. Raises DataError for a picture that cannot be read."""

    def show(index: int) -> Tensor:
        return from_pil([read_image(picture_file(folder, index, k)) for k in range(per_sentence)])

    return show


def rendered(items: Sequence[Item], sprites: Sprites, per_sentence: int, size: int, seed: int) -> Shown:
    """Show the scenes as the world draws them, with nuisances of their own."""

    def show(index: int) -> Tensor:
        rng = Random(f"{seed}/{index}/rendered")
        scenes = [replace(items[index].scene, nuisance=rng.getrandbits(62)) for _ in range(per_sentence)]
        return to_tensor(np.stack([render(scene, sprites, size) for scene in scenes]))

    return show


def upsampled(shown: Shown, stage: Stage[Upsampler]) -> Shown:
    """Show pictures reduced to a decoder's size and drawn anew by an upsampler."""

    def show(index: int) -> Tensor:
        images, low_size = shown(index), stage.network.config.low_size
        low_res = F.interpolate(images, (low_size, low_size), mode="area")
        return finish(run(upsampler(stage, settings(stage), low_res, range(len(images))))).clamp(-1, 1)

    return show


def retrieved(
    items: Sequence[Item], world: World, captions: int, clip: Clip, tokenizer: Tokenizer, k: int, size: int
) -> Shown:
    """Show the training pictures whose captions are nearest to the sentence: a model that cannot compose."""
    known = text_embeds(clip, tokenizer, [world.caption(index) for index in range(captions)])
    asked = text_embeds(clip, tokenizer, [item.sentence for item in items])
    nearest = (asked @ known.T).topk(k, dim=1).indices

    def show(index: int) -> Tensor:
        return to_tensor(np.stack([world.example(int(i), size).image for i in nearest[index]]))

    return show


def text_embeds(clip: Clip, tokenizer: Tokenizer, sentences: Sequence[str]) -> Float[Tensor, "n d"]:
    """Embed any number of sentences."""
    parts = (sentences[start : start + 256] for start in range(0, len(sentences), 256))
    return torch.cat([encode_text(clip, tokenizer, part)["text_embed"] for part in parts])
