"""The stages of every task: text encoding, prior, decoder, upsampler, each ready to be driven."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from unclip.diffusion.driver import Denoising
from unclip.diffusion.guides import (
    Conditions,
    Guide,
    clamp,
    classifier_free,
    conditional,
    dynamic_threshold,
)
from unclip.diffusion.noise import NoiseOf, seeded_noise, seeded_uniform
from unclip.diffusion.process import Process
from unclip.diffusion.samplers import SAMPLERS, Noise, Sampler, analytic, moment_at
from unclip.diffusion.schedule import Schedule, respace
from unclip.diffusion.tokens import Logits, draw_tokens
from unclip.errors import RequestError
from unclip.models.clip import Clip
from unclip.models.decoder import Decoder
from unclip.models.prior import Prior
from unclip.models.prior_ar import PriorAr
from unclip.models.upsampler import Upsampler
from unclip.pipelines.checks import check_guidance, check_share
from unclip.system import SamplingDefaults, Stage, System
from unclip.text.tokenizer import Tokenizer, Tokens


@torch.no_grad()
def encode_text(clip: Clip, tokenizer: Tokenizer, captions: Sequence[str]) -> Conditions:
    """Return text_embed, text_encodings and text_mask of captions; "" is the absent caption."""
    tokens = tokenizer(captions)
    # What follows the longest caption is padding; steps of 8 leave compilers few shapes.
    length = min(-(-int(tokens.mask.sum(dim=1).max()) // 8) * 8, tokenizer.context_length)
    return _encoded(clip, tokens, length)


@torch.no_grad()
def encode_text_padded(clip: Clip, tokenizer: Tokenizer, captions: Sequence[str]) -> Conditions:
    """Return the same with all of the padding, and each caption encoded alone, as diffusers does.

    No network looks at padding, but sums are rounded otherwise with it, and in other company.
    """
    each = {text: _encoded(clip, tokenizer([text]), tokenizer.context_length) for text in set(captions)}
    return {name: torch.cat([each[text][name] for text in captions]) for name in each[captions[0]]}


def _encoded(clip: Clip, tokens: Tokens, length: int) -> Conditions:
    device = clip.logit_scale.device
    mask = tokens.mask[:, :length].to(device)
    embed, encodings = clip.encode_text(tokens.tokens[:, :length].to(device), mask)
    return {"text_embed": embed, "text_encodings": encodings, "text_mask": mask}


def encode_text_and_empty(
    clip: Clip,
    tokenizer: Tokenizer,
    captions: Sequence[str],
    negative: str = "",
    padded: bool = False,
) -> tuple[Conditions, Conditions]:
    """Return the conditions of captions, and as many rows of what guidance leads away from, equally long.

    That is a `negative` caption, or the absent one.
    """
    encode = encode_text_padded if padded else encode_text
    both = encode(clip, tokenizer, [*captions, negative])
    text = {name: rows[:-1] for name, rows in both.items()}
    return text, {name: rows[-1:].expand_as(text[name]) for name, rows in both.items()}


def settings(stage: Stage[Any], **asked: Any) -> SamplingDefaults:
    """Return the stage's defaults with what the request asks for (None: the default) in their place.

    Raises RequestError for an unknown sampler, steps that the schedule cannot be walked in, and numbers out
    of their range.
    """
    chosen = replace(stage.defaults, **{name: value for name, value in asked.items() if value is not None})
    sampler_of(stage, chosen.sampler)
    respace(stage.process.schedule, chosen.num_steps, chosen.spacing)
    check_guidance("guidance_scale", chosen.guidance_scale)
    if (interval := chosen.guidance_interval) is not None and interval[0] > interval[1]:
        raise RequestError(f"guidance_interval must rise, not go from {interval[0]} to {interval[1]}")
    check_share("guidance_rescale", float(chosen.guidance_rescale))
    check_share("dynamic_threshold", chosen.dynamic_threshold)
    if chosen.dynamic_threshold == 0:
        raise RequestError(
            "dynamic_threshold must be above 0: it is the share of values that are not cut off"
        )
    return chosen


def sampler_of(stage: Stage[Any], name: str) -> Sampler:
    """Return a sampler by its name. Raises RequestError for an unknown one, and for one not measured for."""
    if name == "analytic":
        if not stage.eps_moments:
            raise RequestError(
                "sampler 'analytic' needs moments that this stage was not measured for: measure a prior's"
                " with `unclip model analytic`"
            )
        steps = stage.process.config.num_train_steps
        return partial(analytic, moments=lambda t: moment_at(stage.eps_moments, t, steps))
    if name not in SAMPLERS:
        raise RequestError(f"sampler {name!r} is not one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def stage_schedule(stage: Stage[Any], chosen: SamplingDefaults) -> Schedule:
    """Return the timesteps that a stage is sampled at."""
    return respace(stage.process.schedule, chosen.num_steps, chosen.spacing)


def denoising(
    name: str, stage: Stage[Any], chosen: SamplingDefaults, schedule: Schedule, noise: Noise, guide: Guide
) -> Denoising:
    """Make a stage ready to be driven from pure noise."""
    sampling = sampler_of(stage, chosen.sampler)(schedule, noise(), noise)
    return Denoising(name, schedule.num_steps, stage.network, sampling, guide)


def in_range(stage: Stage[Any], chosen: SamplingDefaults, guide: Guide) -> Guide:
    """Keep x0 in the range of the stage's process, by the threshold that is chosen."""
    if chosen.dynamic_threshold is not None:
        return dynamic_threshold(stage.process, guide, float(chosen.dynamic_threshold))
    return clamp(stage.process, guide)


def prior(
    stage: Stage[Prior],
    chosen: SamplingDefaults,
    text: Conditions,
    empty: Conditions,
    seeds: Sequence[int],
    candidates: int,
    noise_of: NoiseOf = seeded_noise,
) -> Denoising:
    """Draw `candidates` whitened image embeddings for each seed; they come out side by side."""
    device = text["text_embed"].device
    draw = noise_of(seeds, "prior", (candidates, stage.network.config.embed_dim), device)
    rows, without = _repeated(text, candidates), _repeated(empty, candidates)
    guide = in_range(stage, chosen, classifier_free(stage.process, rows, without, chosen.guidance_scale))
    schedule = stage_schedule(stage, chosen)
    return denoising("prior", stage, chosen, schedule, lambda: rearrange(draw(), "b k d -> (b k) d"), guide)


def prior_ar(
    network: PriorAr,
    text: Conditions,
    empty: Conditions,
    seeds: Sequence[int],
    candidates: int,
    guidance_scale: float = 1.0,
) -> Denoising:
    """Draw the tokens of `candidates` image embeddings for each seed; they come out side by side."""
    draw = seeded_uniform(seeds, "prior_ar", (candidates,), text["text_embed"].device)
    rows, without = _repeated(text, candidates), _repeated(empty, candidates)
    guide = classifier_free(Logits(), rows, without, guidance_scale)
    count = network.config.num_tokens
    return Denoising("prior", count, network, draw_tokens(lambda: draw().flatten(), count), guide)


def _repeated(conditions: Conditions, times: int) -> Conditions:
    return {name: repeat(tensor, "b ... -> (b k) ...", k=times) for name, tensor in conditions.items()}


def nearest_to_text(embeds: Float[Tensor, "bk d"], text_embed: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Of each seed's candidates keep the one whose embedding has the largest product with the text's.

    Source: Ramesh et al. 2022, section 2.2.
    """
    candidates = rearrange(embeds, "(b k) d -> b k d", b=len(text_embed))
    best = (candidates * text_embed[:, None]).sum(dim=-1).argmax(dim=1)
    return candidates[torch.arange(len(best), device=best.device), best]


def decoder(
    stage: Stage[Decoder],
    chosen: SamplingDefaults,
    image_embed: Float[Tensor, "b d"],
    text: Conditions,
    empty: Conditions,
    seeds: Sequence[int],
    noise_of: NoiseOf = seeded_noise,
) -> Denoising:
    """Draw the smallest picture, guided away from neither embedding nor caption."""
    noise = decoder_noise(stage, seeds, image_embed.device, noise_of)
    given, without = decoder_conditions(image_embed, text, empty)
    guide = in_range(stage, chosen, chosen_decoder_guide(stage, chosen, given, without))
    return denoising("decoder", stage, chosen, stage_schedule(stage, chosen), noise, guide)


def decoder_of_embeds(
    system: System,
    stage: Stage[Decoder],
    chosen: SamplingDefaults,
    image_embed: Float[Tensor, "b d"],
    seeds: Sequence[int],
    noise_of: NoiseOf = seeded_noise,
    padded: bool = False,
) -> Denoising:
    """Draw the smallest picture of an image embedding alone, without a caption."""
    none = [""] * len(image_embed)
    text, empty = encode_text_and_empty(system.clip, system.tokenizer, none, padded=padded)
    return decoder(stage, chosen, image_embed, text, empty, seeds, noise_of)


def decoder_noise(
    stage: Stage[Decoder], seeds: Sequence[int], device: torch.device, noise_of: NoiseOf = seeded_noise
) -> Noise:
    """Return the source of the noise that pictures of these seeds are drawn from."""
    size = stage.network.config.image_size
    return noise_of(seeds, "decoder", (3, size, size), device)


def decoder_conditions(
    image_embed: Float[Tensor, "b d"], text: Conditions, empty: Conditions
) -> tuple[Conditions, Conditions]:
    """Return the decoder's conditions with embedding and caption, and with neither."""
    present = torch.ones(len(image_embed), dtype=torch.bool, device=image_embed.device)
    given = {"image_embed": image_embed, "image_mask": present, **text}
    return given, {"image_embed": image_embed, "image_mask": ~present, **empty}


def decoder_guide(
    network: Decoder,
    process: Process,
    given: Conditions,
    without: Conditions,
    scale: float,
    interval: tuple[int, int] | None = None,
    rescale: float = 0.0,
) -> Guide:
    """Guide by the scale: with a second row, or with one row where the network takes the scale itself."""
    if not network.config.guided:
        return classifier_free(process, given, without, scale, interval, rescale)
    guidance = torch.full((len(given["image_embed"]),), float(scale), device=given["image_embed"].device)
    return conditional(process, {**given, "guidance": guidance})


def chosen_decoder_guide(
    stage: Stage[Decoder], chosen: SamplingDefaults, given: Conditions, without: Conditions
) -> Guide:
    """Guide a decoder as its settings say, x0 not yet kept in range."""
    interval, rescale = chosen.guidance_interval, float(chosen.guidance_rescale)
    return decoder_guide(
        stage.network, stage.process, given, without, chosen.guidance_scale, interval, rescale
    )


def upsampler(
    stage: Stage[Upsampler],
    chosen: SamplingDefaults,
    low_res: Float[Tensor, "b 3 h w"],
    seeds: Sequence[int],
    noise_of: NoiseOf = seeded_noise,
) -> Denoising:
    """Draw the picture at four times the side of `low_res`."""
    guide = in_range(stage, chosen, conditional(stage.process, {"low_res": low_res}))
    noise = upsampler_noise(stage, seeds, low_res.device, noise_of)
    return denoising(upsampler_name(stage), stage, chosen, stage_schedule(stage, chosen), noise, guide)


def upsampler_name(stage: Stage[Upsampler]) -> str:
    """Return what an upsampler is called, by the size it draws."""
    return f"upsampler{stage.network.config.image_size}"


def upsampler_noise(
    stage: Stage[Upsampler], seeds: Sequence[int], device: torch.device, noise_of: NoiseOf = seeded_noise
) -> Noise:
    """Return the source of the noise that pictures of these seeds are enlarged with."""
    size = stage.network.config.image_size
    return noise_of(seeds, upsampler_name(stage), (3, size, size), device)


def enlarged(
    system: System,
    images: Float[Tensor, "b 3 h w"],
    size: int | None,
    seeds: Sequence[int],
    steps: int | None = None,
    noise_of: NoiseOf = seeded_noise,
) -> Generator[Denoising, Tensor, Tensor]:
    """Run upsamplers, each in `steps` or its own, until the size is reached; returns images in [-1, 1]."""
    for stage in upsamplers_to(system, size):
        images = yield upsampler(stage, settings(stage, num_steps=steps), images, seeds, noise_of)
    return images.clamp(-1, 1)


def upsamplers_to(system: System, size: int | None) -> list[Stage[Upsampler]]:
    """Return the upsamplers that lead to a size. Raises RequestError if it is none of the system's."""
    side = system.check_size(size)
    return [stage for stage in system.upsamplers if stage.network.config.image_size <= side]
