"""From sentences to image embeddings, by either prior."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unclip.diffusion.driver import Denoising
from unclip.diffusion.guides import Conditions
from unclip.diffusion.noise import NoiseOf, seeded_noise
from unclip.errors import RequestError
from unclip.pipelines import stages
from unclip.pipelines.checks import check_count, check_guidance
from unclip.system import SamplingDefaults, System

PriorKind = Literal["diffusion", "ar"]


@dataclass(frozen=True)
class PriorSettings:
    """How image embeddings are drawn; None leaves a setting to the model."""

    kind: PriorKind | None = None
    guidance_scale: float | None = None  # 1: off
    steps: int | None = None  # of the diffusion prior
    sampler: str | None = None  # of the diffusion prior: see SamplingDefaults
    candidates: int = 2  # embeddings drawn for a picture, of which the one nearest the text is kept
    noise_of: NoiseOf = seeded_noise  # of the diffusion prior


def check_prior(system: System, asked: PriorSettings) -> PriorKind:
    """Return which prior draws. Raises RequestError for what it cannot do, and if it is not there."""
    check_count("candidates", asked.candidates)
    check_guidance("prior_guidance_scale", asked.guidance_scale)
    kind = asked.kind or ("ar" if system.prior is None and system.prior_ar is not None else "diffusion")
    if kind not in get_args(PriorKind):
        raise RequestError(f"prior {kind!r} is not one of {', '.join(get_args(PriorKind))}")
    if kind == "diffusion":
        _diffusion_settings(system, asked)
    elif system.prior_ar is None:
        raise RequestError("this model has no autoregressive prior: train one with `unclip train prior-ar`")
    elif asked.steps is not None or asked.sampler is not None:
        raise RequestError(
            "the autoregressive prior draws its tokens one by one: leave steps and sampler out"
        )
    return kind


def prior_resolved(system: System, asked: PriorSettings) -> dict[str, Any]:
    """Return the settings with the model's own filled in, by the names that requests call them."""
    kind = check_prior(system, asked)
    found: dict[str, Any] = {"prior": kind, "candidates": asked.candidates}
    if kind == "ar":
        scale = 1.0 if asked.guidance_scale is None else asked.guidance_scale
        return {**found, "prior_guidance_scale": scale, "prior_steps": None, "prior_sampler": None}
    chosen = _diffusion_settings(system, asked)
    return {
        **found,
        "prior_guidance_scale": chosen.guidance_scale,
        "prior_steps": chosen.num_steps,
        "prior_sampler": chosen.sampler,
    }


def _diffusion_settings(system: System, asked: PriorSettings) -> SamplingDefaults:
    if system.prior is None:
        raise RequestError("a sentence needs a prior and a decoder: load the model with both")
    return stages.settings(
        system.prior, guidance_scale=asked.guidance_scale, num_steps=asked.steps, sampler=asked.sampler
    )


def draw_embeds(
    system: System, text: Conditions, empty: Conditions, seeds: Sequence[int], asked: PriorSettings
) -> Generator[Denoising, Tensor, Float[Tensor, "b d"]]:
    """Draw an image embedding for each caption, away from `empty` where the prior is guided.

    Source: Ramesh et al. 2022, section 2.2.
    """
    kind = check_prior(system, asked)
    if kind == "diffusion":
        assert system.prior is not None
        chosen = _diffusion_settings(system, asked)
        sample = yield stages.prior(
            system.prior, chosen, text, empty, seeds, asked.candidates, asked.noise_of
        )
        embeds = system.prior.network.unwhiten(sample)
    else:
        assert system.prior_ar is not None
        scale = 1.0 if asked.guidance_scale is None else asked.guidance_scale
        tokens = yield stages.prior_ar(system.prior_ar, text, empty, seeds, asked.candidates, scale)
        embeds = system.prior_ar.dequantise(tokens)
        if system.clip.config.normalize:  # the components left out have taken a little of the length
            embeds = F.normalize(embeds, dim=-1)
    return stages.nearest_to_text(embeds, text["text_embed"])
