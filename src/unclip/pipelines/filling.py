"""Painting what is missing from a picture, so that it goes on from what is there."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor

from unclip.diffusion.driver import Denoising
from unclip.diffusion.guides import Conditions, Guide, conditional, known_region
from unclip.diffusion.noise import derived_seed, seeded_noise
from unclip.diffusion.samplers import Noise
from unclip.diffusion.schedule import Schedule, resampled
from unclip.pipelines import stages
from unclip.pipelines.checks import LARGEST_SEED
from unclip.pipelines.frames import Place
from unclip.pipelines.inversion import decoder_of
from unclip.pipelines.seams import feathered
from unclip.pipelines.sentences import PriorSettings, draw_embeds
from unclip.pipelines.text_to_image import best_by_clip
from unclip.system import SamplingDefaults, Stage, System

JUMP = 4  # steps of the decoder that are walked again at a time


@dataclass(frozen=True)
class Painting:
    """How holes are painted."""

    prompt: str
    seeds: Sequence[int]  # one per picture
    decoder: SamplingDefaults
    resamplings: int  # how often each stretch of steps is walked
    candidates: int  # small pictures drawn for each frame: the one nearest the sentence by CLIP is kept


@dataclass(frozen=True)
class _Wanted:
    """What the sentence asks of each small picture."""

    image_embed: Float[Tensor, "b d"]
    text: Conditions
    empty: Conditions


def working_size(system: System, side: int) -> int:
    """Return the size at which a frame is painted: the smallest that is as large, or else the largest."""
    return min((size for size in system.sizes if size >= side), default=system.sizes[-1])


def paint(
    system: System,
    images: Float[Tensor, "b 3 h w"],
    known: Bool[Tensor, "h w"],
    places: Sequence[Place],
    side: int,
    painting: Painting,
) -> Generator[Denoising, Tensor, Tensor]:
    """Paint what is not known of pictures, frame by frame; what is known comes back as it was, to the bit."""
    drawn = [_another(seed, "candidate", k) for seed in painting.seeds for k in range(painting.candidates)]
    prompts = [painting.prompt] * len(drawn)
    text, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, prompts)
    embed = yield from draw_embeds(system, text, empty, drawn, PriorSettings())
    wanted = _Wanted(embed, text, empty)
    images, known = images.clone(), known.clone()
    for number, (x, y) in enumerate(places):
        window = (..., slice(y, y + side), slice(x, x + side))
        frame_seeds = [_another(seed, "frame", number) for seed in drawn]
        frame = _Frame(images[window], known[window])
        images[window] = yield from _painted(system, frame, wanted, painting, frame_seeds)
        known[window] = True
    return images


def _another(seed: int, purpose: str, number: int) -> int:
    return derived_seed(seed, purpose, number) % LARGEST_SEED if number else seed


@dataclass(frozen=True)
class _Frame:
    """A square of pictures of which some pixels are known."""

    images: Float[Tensor, "b 3 side side"]
    known: Bool[Tensor, "side side"]

    def at(self, size: int) -> "_Frame":
        """Resize; a pixel is known where all that it is made of is."""
        if size >= self.known.shape[-1]:
            resized = F.interpolate(self.images, (size, size), mode="nearest-exact")
            known = F.interpolate(self.known[None, None].float(), (size, size), mode="nearest-exact")
        else:
            resized = F.interpolate(self.images, (size, size), mode="area")
            known = F.interpolate(self.known[None, None].float(), (size, size), mode="area")
        return _Frame(resized, known[0, 0] > 1 - 1e-4)

    def repeated(self, times: int) -> "_Frame":
        """Return `times` copies of each picture, side by side."""
        return _Frame(repeat(self.images, "b ... -> (b k) ...", k=times), self.known)


def _painted(
    system: System, frame: _Frame, wanted: _Wanted, painting: Painting, seeds: Sequence[int]
) -> Generator[Denoising, Tensor, Tensor]:
    """Return a frame painted to the full; `seeds` are those of all candidates."""
    small = frame.repeated(painting.candidates)
    drawn = yield _decoder(system, small, wanted, painting, seeds)
    best = best_by_clip(system, drawn, wanted.text["text_embed"], painting.candidates)
    drawn, kept = drawn[best], [seeds[k] for k in best.tolist()]
    side = frame.known.shape[-1]
    for stage in system.upsamplers:
        if stage.network.config.image_size <= working_size(system, side):
            drawn = yield _upsampler(stage, frame, drawn, kept)
    if drawn.shape[-1] != side:
        drawn = F.interpolate(drawn, (side, side), mode="bicubic", antialias=True)
    return feathered(torch.where(frame.known, frame.images, drawn.clamp(-1, 1)), frame.known)


def _decoder(
    system: System, frame: _Frame, wanted: _Wanted, painting: Painting, seeds: Sequence[int]
) -> Denoising:
    stage, chosen = decoder_of(system), painting.decoder
    given, without = stages.decoder_conditions(wanted.image_embed, wanted.text, wanted.empty)
    guide = stages.chosen_decoder_guide(stage, chosen, given, without)
    schedule = resampled(stages.stage_schedule(stage, chosen), JUMP, painting.resamplings)
    noise = stages.decoder_noise(stage, seeds, system.device)
    return _around_known("decoder", stage, chosen, schedule, noise, guide, frame, seeds)


def _upsampler(
    stage: Stage[Any], frame: _Frame, low_res: Float[Tensor, "b 3 h w"], seeds: Sequence[int]
) -> Denoising:
    chosen = stages.settings(stage)
    guide = conditional(stage.process, {"low_res": low_res})
    schedule = stages.stage_schedule(stage, chosen)
    noise = stages.upsampler_noise(stage, seeds, low_res.device)
    name = stages.upsampler_name(stage)
    return _around_known(name, stage, chosen, schedule, noise, guide, frame, seeds)


def _around_known(
    name: str,
    stage: Stage[Any],
    chosen: SamplingDefaults,
    schedule: Schedule,
    noise: Noise,
    guide: Guide,
    frame: _Frame,
    seeds: Sequence[int],
) -> Denoising:
    """Make a stage ready that keeps the known pixels and draws the others."""
    sized = frame.at(stage.network.config.image_size)
    shape = tuple(sized.images.shape[1:])
    other = seeded_noise(seeds, f"known {name}", shape, sized.images.device)
    mask = sized.known.expand(sized.images.shape)
    guide = known_region(stage.process, stages.in_range(stage, chosen, guide), sized.images, mask, other)
    return stages.denoising(name, stage, chosen, schedule, noise, guide)


def decoder_settings(
    system: System, steps: int | None, guidance_scale: float | None, sampler: str
) -> SamplingDefaults:
    """Return how the undistilled decoder paints. Raises RequestError for what it cannot do."""
    return stages.settings(
        decoder_of(system), num_steps=steps, guidance_scale=guidance_scale, sampler=sampler
    )
