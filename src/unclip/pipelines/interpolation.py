"""Between pictures and sentences: the way from one to another, and mixes of several."""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from PIL import Image

from unclip.diffusion.driver import Denoising, Plan
from unclip.errors import RequestError
from unclip.pipelines import stages
from unclip.pipelines.checks import check_count, check_guidance, seeds
from unclip.pipelines.given import embed, seen_size, squares
from unclip.pipelines.inversion import (
    STEPS,
    Latent,
    decode,
    decoder_of,
    faded,
    invert,
    noise_latent,
    schedule_of,
)
from unclip.pipelines.sentences import PriorSettings, check_prior, draw_embeds
from unclip.pipelines.spherical import slerp, spherical_mean
from unclip.system import System
from unclip.text.prompts import check_prompt

Part = Image.Image | str
"""A picture, cut to its middle square, or a sentence."""

NoiseOption = Literal["inverted", "fixed"]


@dataclass(frozen=True)
class Interpolation:
    """One request: pictures along the way from one end to the other, both included."""

    a: Part
    b: Part
    steps: int = 8  # pictures
    noise: NoiseOption = "inverted"  # fixed: all pictures from one noise, so that the ends do not come back
    seed: int = 0  # of the noise of sentences, and of the fixed noise
    size: int | None = None  # pixels a side; None: the default of the model, 256 for most
    guidance_scale: float | None = None  # 1 is off; None: the model's, and off between inverted pictures
    decoder_steps: int = STEPS


@dataclass(frozen=True)
class Mix:
    """One request: pictures of a weighted mean of several parts."""

    parts: tuple[Part, ...]
    weights: tuple[float, ...] | None = None  # in proportion; None: all alike
    n: int = 1
    seed: int = 0  # picture k is drawn from seed + k
    size: int | None = None  # pixels a side; None: the default of the model, 256 for most
    guidance_scale: float | None = None  # 1 is off; None: the model's
    steps: int | None = None  # of the decoder


def check_interpolation(system: System, request: Interpolation) -> Interpolation:
    """Return the request, the model's settings in place of None. Raises RequestError if it cannot be run."""
    if request.steps < 2:
        raise RequestError(f"steps must be at least 2, the two ends, not {request.steps}")
    if request.noise not in get_args(NoiseOption):
        raise RequestError(f"noise {request.noise!r} is not one of {', '.join(get_args(NoiseOption))}")
    seeds(request.seed, 1)
    check_guidance("guidance_scale", request.guidance_scale)
    request = replace(request, size=system.check_size(request.size))
    schedule_of(decoder_of(system), request.decoder_steps)
    _check_parts(system, (request.a, request.b))
    if request.guidance_scale is not None:
        return request
    pictures = any(not isinstance(part, str) for part in (request.a, request.b))
    off = pictures and request.noise == "inverted"
    scale = 1.0 if off else decoder_of(system).defaults.guidance_scale
    return replace(request, guidance_scale=scale)


def check_mix(system: System, request: Mix) -> Mix:
    """Return the request, the model's settings in place of None. Raises RequestError if it cannot be run."""
    check_count("parts", len(request.parts))
    seeds(request.seed, request.n)
    stage = decoder_of(system)
    chosen = stages.settings(stage, num_steps=request.steps, guidance_scale=request.guidance_scale)
    request = replace(request, size=system.check_size(request.size))
    weights = (1.0,) * len(request.parts) if request.weights is None else request.weights
    if len(weights) != len(request.parts):
        raise RequestError(f"{len(weights)} weights for {len(request.parts)} parts: give one for each")
    if not all(0 <= weight < math.inf for weight in weights) or sum(weights) == 0:
        raise RequestError(f"weights {weights} must be 0 or more, and not all 0")
    _check_parts(system, request.parts)
    return replace(request, weights=weights, steps=chosen.num_steps, guidance_scale=chosen.guidance_scale)


def _check_parts(system: System, parts: Sequence[Part]) -> None:
    for part in parts:
        if isinstance(part, str):
            check_prior(system, PriorSettings())
            check_prompt(part, system.tokenizer)


def interpolation(system: System, request: Interpolation) -> Plan:
    """Plan the pictures between two ends, by slerp of their embeddings and of their noise.

    Returns images b 3 size size in [-1, 1]. Raises RequestError for a request that cannot be run.
    Source: Ramesh et al. 2022, section 3.2: both of its options for the noise.
    """
    request = check_interpolation(system, request)
    assert request.guidance_scale is not None
    ends = list[Latent]()
    for part in (request.a, request.b):
        ends.append((yield from _latent(system, part, request)))
    thetas = [k / (request.steps - 1) for k in range(request.steps)]
    latent = _stacked([_between(ends[0], ends[1], theta) for theta in thetas])
    drawn = [request.seed] * request.steps
    images = yield decode(system, latent, drawn, 0.0, request.decoder_steps, request.guidance_scale)
    return (yield from stages.enlarged(system, images, request.size, drawn))


def _latent(system: System, part: Part, request: Interpolation) -> Generator[Denoising, torch.Tensor, Latent]:
    if request.noise == "inverted" and not isinstance(part, str):
        pixels = squares([part], seen_size(system))
        return (yield from invert(system, pixels, request.decoder_steps))
    image_embed = yield from embedded(system, part, request.seed)
    return noise_latent(system, image_embed, [request.seed])


def embedded(system: System, part: Part, seed: int) -> Generator[Denoising, torch.Tensor, torch.Tensor]:
    """Return the image embedding of a part, 1 d: CLIP's of a picture, the prior's of a sentence."""
    if not isinstance(part, str):
        return embed(system, squares([part], seen_size(system)))
    prompt = check_prompt(part, system.tokenizer)
    text, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, [prompt])
    return (yield from draw_embeds(system, text, empty, [seed], PriorSettings()))


def _between(a: Latent, b: Latent, theta: float) -> Latent:
    """Go from one latent to another; halfway there is no detail of either left to keep."""
    error = (1 - theta) * a.error + theta * b.error
    between = Latent(slerp(a.image_embed, b.image_embed, theta), slerp(a.x_T, b.x_T, theta), error)
    return faded(between, abs(1 - 2 * theta))


def _stacked(latents: Sequence[Latent]) -> Latent:
    return Latent(
        torch.cat([latent.image_embed for latent in latents]),
        torch.cat([latent.x_T for latent in latents]),
        torch.cat([latent.error for latent in latents]),
    )


def mix(system: System, request: Mix) -> Plan:
    """Plan pictures of the weighted mean, on the sphere, of the parts' embeddings.

    Returns images b 3 size size in [-1, 1]. Raises RequestError for a request that cannot be run.
    """
    request = check_mix(system, request)
    assert request.weights is not None
    drawn = seeds(request.seed, request.n)
    embeds = list[torch.Tensor]()
    for part in request.parts:
        embeds.append((yield from embedded(system, part, request.seed)))
    mean = spherical_mean([part[0] for part in embeds], request.weights)
    stage, mean = decoder_of(system), mean.expand(request.n, -1)
    chosen = stages.settings(stage, num_steps=request.steps, guidance_scale=request.guidance_scale)
    images = yield stages.decoder_of_embeds(system, stage, chosen, mean, drawn)
    return (yield from stages.enlarged(system, images, request.size, drawn))
