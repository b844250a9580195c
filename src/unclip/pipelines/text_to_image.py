"""From a sentence to pictures."""

from dataclasses import asdict, dataclass, replace
from typing import get_args

from unclip.diffusion.driver import Plan
from unclip.errors import RequestError
from unclip.models.decoder import Decoder
from unclip.models.prior import Prior
from unclip.pipelines import stages
from unclip.system import Quality, SamplingDefaults, Stage, System
from unclip.text.prompts import check_prompt

LARGEST_SEED = 2**63 - 1
DRAFT_STEPS = 2  # of a distilled decoder


@dataclass(frozen=True)
class TextToImage:
    """One request; None leaves a setting to the model."""

    prompt: str
    n: int = 1
    seed: int = 0  # picture k is drawn from seed + k
    size: int = 256  # pixels a side
    steps: int | None = None  # of the decoder
    guidance_scale: float | None = None  # of the decoder; 1: off
    prior_guidance_scale: float | None = None
    sampler: str | None = None  # of the decoder: a key of diffusion.samplers.SAMPLERS
    candidates: int = 2  # image embeddings drawn by the prior, of which the one nearest the text is kept
    quality: Quality | None = None  # which decoder draws, and in how many steps unless `steps` says it


def checked(system: System, request: TextToImage) -> TextToImage:
    """Return the request as it will be run. Raises RequestError for what cannot be."""
    for name in ("n", "candidates"):
        if getattr(request, name) < 1:
            raise RequestError(f"{name} must be at least 1, not {getattr(request, name)}")
    if not 0 <= request.seed <= LARGEST_SEED - request.n:
        raise RequestError(f"seed must be between 0 and {LARGEST_SEED - request.n}, not {request.seed}")
    for name in ("guidance_scale", "prior_guidance_scale"):
        if (scale := getattr(request, name)) is not None and not 0 <= scale <= 100:
            raise RequestError(f"{name} must be between 0 and 100, not {scale}")
    if (quality := request.quality) is not None and quality not in get_args(Quality):
        raise RequestError(f"quality {quality!r} is not one of {', '.join(get_args(Quality))}")
    _settings(system, request)
    system.check_size(request.size)
    return replace(request, prompt=check_prompt(request.prompt, system.tokenizer))


def _quality(system: System, request: TextToImage) -> Quality:
    return request.quality or system.default_quality


def is_distilled(system: System, request: TextToImage) -> bool:
    """Tell whether the distilled decoder draws the request: below the best quality, where there is one."""
    return _quality(system, request) != "best" and system.distilled is not None


def _stages(system: System, request: TextToImage) -> tuple[Stage[Prior], Stage[Decoder]]:
    decoder = system.distilled if is_distilled(system, request) else system.decoder
    if system.prior is None or decoder is None:
        raise RequestError("a sentence needs a prior and a decoder: load the model with both")
    return system.prior, decoder


def _settings(system: System, request: TextToImage) -> tuple[SamplingDefaults, SamplingDefaults]:
    """Return how prior and decoder are sampled."""
    prior, decoder = _stages(system, request)
    sampler = decoder.defaults.sampler
    if is_distilled(system, request) and request.sampler not in (None, sampler):
        raise RequestError(
            f"the distilled decoder learned the steps of sampler {sampler}, not {request.sampler}:"
            " leave the sampler out or ask for quality best"
        )
    asked = {"num_steps": request.steps, "guidance_scale": request.guidance_scale, "sampler": request.sampler}
    return (
        stages.settings(prior, guidance_scale=request.prior_guidance_scale),
        stages.settings(replace(decoder, defaults=_decoder_defaults(system, request, decoder)), **asked),
    )


def _decoder_defaults(system: System, request: TextToImage, decoder: Stage[Decoder]) -> SamplingDefaults:
    if _quality(system, request) != "draft":
        return decoder.defaults
    all_steps = decoder.defaults.num_steps
    few = min(DRAFT_STEPS, all_steps) if is_distilled(system, request) else max(1, all_steps // 2)
    return replace(decoder.defaults, num_steps=few)


def resolved(system: System, request: TextToImage) -> dict[str, str | int | float]:
    """Return the request with the model's defaults filled in, as it goes into a picture's metadata."""
    prior, decoder = _settings(system, request)
    return {
        **asdict(request),
        "quality": _quality(system, request),
        "steps": decoder.num_steps,
        "guidance_scale": decoder.guidance_scale,
        "prior_guidance_scale": prior.guidance_scale,
        "sampler": decoder.sampler,
    }


def text_to_image(system: System, request: TextToImage) -> Plan:
    """Plan the pictures of a request: prior, decoder, then upsamplers until the size is reached.

    Returns images b 3 size size in [-1, 1]. Raises RequestError for a request that cannot be run.
    Source: Ramesh et al. 2022, section 2.
    """
    request = checked(system, request)
    prior, decoder = _stages(system, request)
    prior_settings, decoder_settings = _settings(system, request)
    seeds = [request.seed + k for k in range(request.n)]
    text, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, [request.prompt] * request.n)

    sample = yield stages.prior(prior, prior_settings, text, empty, seeds, request.candidates)
    image_embed = stages.nearest_to_text(prior, sample, text["text_embed"])
    images = yield stages.decoder(decoder, decoder_settings, image_embed, text, empty, seeds)
    for upsampler in system.upsamplers:
        if upsampler.network.config.image_size <= request.size:
            images = yield stages.upsampler(upsampler, stages.settings(upsampler), images, seeds)
    return images.clamp(-1, 1)
