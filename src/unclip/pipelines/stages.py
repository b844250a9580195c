"""The stages of every task: text encoding, prior, decoder, upsampler, each ready to be driven."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from unclip.diffusion.driver import Denoising
from unclip.diffusion.guides import Conditions, Guide, clamp, classifier_free, conditional
from unclip.diffusion.noise import seeded_noise
from unclip.diffusion.process import Process
from unclip.diffusion.samplers import SAMPLERS, Noise
from unclip.diffusion.schedule import respace
from unclip.errors import RequestError
from unclip.models.clip import Clip
from unclip.models.decoder import Decoder
from unclip.models.prior import Prior
from unclip.models.upsampler import Upsampler
from unclip.system import SamplingDefaults, Stage
from unclip.text.tokenizer import Tokenizer


@torch.no_grad()
def encode_text(clip: Clip, tokenizer: Tokenizer, captions: Sequence[str]) -> Conditions:
    """Return text_embed, text_encodings and text_mask of captions; "" is the absent caption."""
    tokens = tokenizer(captions)
    # What follows the longest caption is padding; steps of 8 leave compilers few shapes.
    length = min(-(-int(tokens.mask.sum(dim=1).max()) // 8) * 8, tokenizer.context_length)
    device = clip.logit_scale.device
    mask = tokens.mask[:, :length].to(device)
    embed, encodings = clip.encode_text(tokens.tokens[:, :length].to(device), mask)
    return {"text_embed": embed, "text_encodings": encodings, "text_mask": mask}


def encode_text_and_empty(
    clip: Clip, tokenizer: Tokenizer, captions: Sequence[str]
) -> tuple[Conditions, Conditions]:
    """Return the conditions of captions, and as many rows of the absent caption's, of the same length."""
    both = encode_text(clip, tokenizer, [*captions, ""])
    text = {name: rows[:-1] for name, rows in both.items()}
    return text, {name: rows[-1:].expand_as(text[name]) for name, rows in both.items()}


def settings(stage: Stage[Any], **asked: str | int | float | None) -> SamplingDefaults:
    """Return the stage's defaults with what the request asks for (None: the default) in their place.

    Raises RequestError for an unknown sampler, or for steps that the schedule cannot be walked in.
    """
    chosen = replace(stage.defaults, **{name: value for name, value in asked.items() if value is not None})
    if chosen.sampler not in SAMPLERS:
        raise RequestError(f"sampler {chosen.sampler!r} is not one of {', '.join(SAMPLERS)}")
    respace(stage.process.schedule, chosen.num_steps, chosen.spacing)
    return chosen


def _denoising(
    name: str, stage: Stage[Any], chosen: SamplingDefaults, noise: Noise, guide: Guide
) -> Denoising:
    schedule = respace(stage.process.schedule, chosen.num_steps, chosen.spacing)
    sampling = SAMPLERS[chosen.sampler](schedule, noise(), noise)
    return Denoising(name, chosen.num_steps, stage.network, sampling, clamp(stage.process, guide))


def prior(
    stage: Stage[Prior],
    chosen: SamplingDefaults,
    text: Conditions,
    empty: Conditions,
    seeds: Sequence[int],
    candidates: int,
) -> Denoising:
    """Draw `candidates` whitened image embeddings for each seed; they come out side by side."""
    device = text["text_embed"].device
    draw = seeded_noise(seeds, "prior", (candidates, stage.network.config.embed_dim), device)
    rows = {name: repeat(tensor, "b ... -> (b k) ...", k=candidates) for name, tensor in text.items()}
    without = {name: repeat(tensor, "b ... -> (b k) ...", k=candidates) for name, tensor in empty.items()}
    guide = classifier_free(stage.process, rows, without, chosen.guidance_scale)
    return _denoising("prior", stage, chosen, lambda: rearrange(draw(), "b k d -> (b k) d"), guide)


def nearest_to_text(
    stage: Stage[Prior], sample: Float[Tensor, "bk d"], text_embed: Float[Tensor, "b d"]
) -> Float[Tensor, "b d"]:
    """Of each seed's candidates keep the one whose embedding has the largest product with the text's.

    Source: Ramesh et al. 2022, section 2.2.
    """
    embeds = rearrange(stage.network.unwhiten(sample), "(b k) d -> b k d", b=len(text_embed))
    best = (embeds * text_embed[:, None]).sum(dim=-1).argmax(dim=1)
    return embeds[torch.arange(len(best), device=best.device), best]


def decoder(
    stage: Stage[Decoder],
    chosen: SamplingDefaults,
    image_embed: Float[Tensor, "b d"],
    text: Conditions,
    empty: Conditions,
    seeds: Sequence[int],
) -> Denoising:
    """Draw the smallest picture, guided away from neither embedding nor caption."""
    size = stage.network.config.image_size
    noise = seeded_noise(seeds, "decoder", (3, size, size), image_embed.device)
    given, without = decoder_conditions(image_embed, text, empty)
    guide = decoder_guide(stage.network, stage.process, given, without, chosen.guidance_scale)
    return _denoising("decoder", stage, chosen, noise, guide)


def decoder_conditions(
    image_embed: Float[Tensor, "b d"], text: Conditions, empty: Conditions
) -> tuple[Conditions, Conditions]:
    """Return the decoder's conditions with embedding and caption, and with neither."""
    present = torch.ones(len(image_embed), dtype=torch.bool, device=image_embed.device)
    given = {"image_embed": image_embed, "image_mask": present, **text}
    return given, {"image_embed": image_embed, "image_mask": ~present, **empty}


def decoder_guide(
    network: Decoder, process: Process, given: Conditions, without: Conditions, scale: float
) -> Guide:
    """Guide by the scale: with a second row, or with one row where the network takes the scale itself."""
    if not network.config.guided:
        return classifier_free(process, given, without, scale)
    guidance = torch.full((len(given["image_embed"]),), float(scale), device=given["image_embed"].device)
    return conditional(process, {**given, "guidance": guidance})


def upsampler(
    stage: Stage[Upsampler],
    chosen: SamplingDefaults,
    low_res: Float[Tensor, "b 3 h w"],
    seeds: Sequence[int],
) -> Denoising:
    """Draw the picture at four times the side of `low_res`."""
    size = stage.network.config.image_size
    noise = seeded_noise(seeds, f"upsampler{size}", (3, size, size), low_res.device)
    guide = conditional(stage.process, {"low_res": low_res})
    return _denoising(f"upsampler{size}", stage, chosen, noise, guide)
