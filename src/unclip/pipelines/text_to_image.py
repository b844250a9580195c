"""From a sentence to pictures."""

from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from unclip.diffusion.driver import Plan
from unclip.diffusion.noise import derived_seed
from unclip.errors import RequestError
from unclip.models.decoder import Decoder
from unclip.pipelines import stages
from unclip.pipelines.checks import LARGEST_SEED, Rng, check_count, noise_by, seeds
from unclip.pipelines.given import embed
from unclip.pipelines.sentences import PriorKind, PriorSettings, check_prior, draw_embeds, prior_resolved
from unclip.system import Quality, SamplingDefaults, Stage, System
from unclip.text.prompts import check_prompt

DRAFT_STEPS = 2  # of a distilled decoder


@dataclass(frozen=True)
class TextToImage:
    """One request; None leaves a setting to the model."""

    prompt: str
    n: int = 1
    seed: int = 0  # picture k is drawn from seed + k
    size: int | None = None  # pixels a side; None: the default of the model, 256 for most
    steps: int | None = None  # of the decoder
    guidance_scale: float | None = None  # of the decoder; 1: off
    prior_guidance_scale: float | None = None
    sampler: str | None = None  # of the decoder: a key of diffusion.samplers.SAMPLERS
    candidates: int | None = None  # embeddings drawn by the prior, of which the nearest the text is kept
    quality: Quality | None = None  # which decoder draws, and in how many steps unless `steps` says it
    negative: str | None = None  # a sentence that guidance leads away from; None: from no sentence
    guidance_interval: tuple[int, int] | None = None  # timesteps at which the decoder is guided; None: all
    guidance_rescale: float | None = None  # see diffusion.guides.classifier_free
    dynamic_threshold: float | None = None  # see diffusion.guides.dynamic_threshold
    prior: PriorKind | None = None  # which prior draws the image embedding
    prior_steps: int | None = None
    prior_sampler: str | None = None
    best_of: int = 1  # small pictures drawn for each that is kept: the one nearest the sentence by CLIP
    upsampler_steps: int | None = None  # of each upsampler
    rng: Rng = "unclip"  # how noise comes of seeds: see `noise_by`


def checked(system: System, request: TextToImage) -> TextToImage:
    """Return the request as it will be run. Raises RequestError for what cannot be."""
    check_count("best_of", request.best_of)
    seeds(request.seed, request.n)
    if (quality := request.quality) is not None and quality not in get_args(Quality):
        raise RequestError(f"quality {quality!r} is not one of {', '.join(get_args(Quality))}")
    check_prior(system, _prior_settings(request))
    _decoder_settings(system, request)
    _check_upsamplers(system, request)
    _check_rng(request)
    negative = request.negative
    return replace(
        request,
        prompt=check_prompt(request.prompt, system.tokenizer),
        negative=None if negative is None else check_prompt(negative, system.tokenizer, "negative sentence"),
    )


def _check_upsamplers(system: System, request: TextToImage) -> None:
    for stage in stages.upsamplers_to(system, request.size):
        stages.settings(stage, num_steps=request.upsampler_steps)


def _check_rng(request: TextToImage) -> None:
    noise_by(request.rng)
    if request.rng == "diffusers" and (request.prior == "ar" or _candidates(request) > 1):
        raise RequestError(
            "rng diffusers draws one image embedding a picture, by the diffusion prior, as its pipeline does:"
            " leave prior and candidates out"
        )


def _candidates(request: TextToImage) -> int:
    """Return how many embeddings are drawn for a picture: two, and one where diffusers is followed."""
    if request.candidates is not None:
        return request.candidates
    return 2 if request.rng == "unclip" else 1


def _needs_second_row(request: TextToImage) -> bool:
    """Tell whether guidance must be worked out from two rows, which a distilled decoder has no use for."""
    return any((request.negative is not None, request.guidance_interval, request.guidance_rescale))


def _quality(system: System, request: TextToImage) -> Quality:
    default = system.default_quality
    return request.quality or ("best" if _needs_second_row(request) and system.decoder else default)


def is_distilled(system: System, request: TextToImage) -> bool:
    """Tell whether the distilled decoder draws the request: below the best quality, where there is one."""
    return _quality(system, request) != "best" and system.distilled is not None


def _decoder(system: System, request: TextToImage) -> Stage[Decoder]:
    decoder = system.distilled if is_distilled(system, request) else system.decoder
    if decoder is None:
        raise RequestError("a sentence needs a prior and a decoder: load the model with both")
    return decoder


def _decoder_settings(system: System, request: TextToImage) -> SamplingDefaults:
    decoder = _decoder(system, request)
    if is_distilled(system, request):
        _check_distilled(decoder, request)
    return stages.settings(
        replace(decoder, defaults=_decoder_defaults(system, request, decoder)),
        num_steps=request.steps,
        guidance_scale=request.guidance_scale,
        sampler=request.sampler,
        guidance_interval=request.guidance_interval,
        guidance_rescale=request.guidance_rescale,
        dynamic_threshold=request.dynamic_threshold,
    )


def _check_distilled(decoder: Stage[Decoder], request: TextToImage) -> None:
    sampler = decoder.defaults.sampler
    if request.sampler not in (None, sampler):
        raise RequestError(
            f"the distilled decoder learned the steps of sampler {sampler}, not {request.sampler}:"
            " leave the sampler out or ask for quality best"
        )
    if _needs_second_row(request):
        raise RequestError(
            "the distilled decoder takes the guidance scale alone, and no negative sentence, interval or"
            " rescaling: leave them out or ask for quality best"
        )


def _decoder_defaults(system: System, request: TextToImage, decoder: Stage[Decoder]) -> SamplingDefaults:
    if _quality(system, request) != "draft":
        return decoder.defaults
    all_steps = decoder.defaults.num_steps
    few = min(DRAFT_STEPS, all_steps) if is_distilled(system, request) else max(1, all_steps // 2)
    return replace(decoder.defaults, num_steps=few)


def _prior_settings(request: TextToImage) -> PriorSettings:
    return PriorSettings(
        request.prior,
        request.prior_guidance_scale,
        request.prior_steps,
        request.prior_sampler,
        _candidates(request),
        noise_by(request.rng),
    )


def resolved(system: System, request: TextToImage) -> dict[str, Any]:
    """Return the request with the model's defaults filled in, as it goes into a picture's metadata."""
    decoder = _decoder_settings(system, request)
    return {
        **asdict(request),
        **prior_resolved(system, _prior_settings(request)),
        "size": system.check_size(request.size),
        "quality": _quality(system, request),
        "steps": decoder.num_steps,
        "guidance_scale": decoder.guidance_scale,
        "sampler": decoder.sampler,
        "guidance_interval": decoder.guidance_interval,
        "guidance_rescale": decoder.guidance_rescale,
        "dynamic_threshold": decoder.dynamic_threshold,
        "upsampler_steps": _upsampler_steps(system, request),
    }


def _upsampler_steps(system: System, request: TextToImage) -> int | None:
    """Return the steps of the upsamplers that are used, None where there are none or theirs differ."""
    used = {stage.defaults.num_steps for stage in stages.upsamplers_to(system, request.size)}
    return request.upsampler_steps or (used.pop() if len(used) == 1 else None)


def text_to_image(system: System, request: TextToImage) -> Plan:
    """Plan the pictures of a request: prior, decoder, then upsamplers until the size is reached.

    Returns images b 3 size size in [-1, 1]. Raises RequestError for a request that cannot be run.
    Source: Ramesh et al. 2022, section 2.
    """
    request = checked(system, request)
    drawn = _all_seeds(request)
    prompts = [request.prompt] * len(drawn)
    text, empty = stages.encode_text_and_empty(
        system.clip, system.tokenizer, prompts, request.negative or "", padded=request.rng == "diffusers"
    )
    asked = _prior_settings(request)
    image_embed = yield from draw_embeds(system, text, empty, drawn, asked)
    decoder, chosen = _decoder(system, request), _decoder_settings(system, request)
    images = yield stages.decoder(decoder, chosen, image_embed, text, empty, drawn, asked.noise_of)
    best = best_by_clip(system, images, text["text_embed"], request.best_of)
    kept = [drawn[k] for k in best.tolist()]
    return (
        yield from stages.enlarged(
            system, images[best], request.size, kept, request.upsampler_steps, asked.noise_of
        )
    )


def _all_seeds(request: TextToImage) -> list[int]:
    """Return the seeds of all small pictures, those of one that is kept side by side, its own first."""
    return [
        derived_seed(seed, "best of", k) % LARGEST_SEED if k else seed
        for seed in seeds(request.seed, request.n)
        for k in range(request.best_of)
    ]


def best_by_clip(
    system: System, images: Float[Tensor, "bk 3 h w"], text_embed: Float[Tensor, "bk d"], of: int
) -> Tensor:
    """Of every `of` pictures side by side, return the place of the one nearest its text.

    Source: Ramesh et al. 2021 (DALL-E), section 2.6.
    """
    if of == 1:
        return torch.arange(len(images))
    likeness = torch.nn.functional.cosine_similarity(embed(system, images.clamp(-1, 1)), text_embed, dim=-1)
    return likeness.view(-1, of).argmax(dim=1).cpu() + of * torch.arange(len(images) // of)
