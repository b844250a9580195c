"""From a picture towards what one sentence has and another has not."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from unclip.diffusion.driver import Plan
from unclip.errors import RequestError
from unclip.pipelines import stages
from unclip.pipelines.checks import check_guidance, check_share, seeds
from unclip.pipelines.given import seen_size, squares
from unclip.pipelines.inversion import STEPS, Latent, decode, decoder_of, invert, schedule_of
from unclip.pipelines.spherical import slerp
from unclip.system import System
from unclip.text.prompts import check_prompt


@dataclass(frozen=True)
class TextDiff:
    """One request; the picture is cut to its middle square."""

    image: Image.Image
    target: str  # what the picture shall become
    source: str = ""  # what it is; nothing: the direction is the target's own
    theta: tuple[float, float] = (0.0, 0.5)  # from and to which share of the way, 0 to 1
    steps: int = 5  # pictures
    seed: int = 0  # of the upsamplers' noise
    size: int | None = None  # pixels a side; None: the default of the model, 256 for most
    guidance_scale: float = 1.0  # 1: off
    decoder_steps: int = STEPS


def check_text_diff(system: System, request: TextDiff) -> TextDiff:
    """Return the request, the model's settings in place of None. Raises RequestError if it cannot be run."""
    if request.steps < 1:
        raise RequestError(f"steps must be at least 1, not {request.steps}")
    for theta in request.theta:
        check_share("theta", theta)
    seeds(request.seed, 1)
    check_guidance("guidance_scale", request.guidance_scale)
    size = system.check_size(request.size)
    schedule_of(decoder_of(system), request.decoder_steps)
    check_prompt(request.target, system.tokenizer, "sentence to go to")
    if request.source:
        check_prompt(request.source, system.tokenizer, "sentence to come from")
    return replace(request, size=size)


def text_diff(system: System, request: TextDiff) -> Plan:
    """Plan pictures on the way from the picture's embedding towards the difference of two sentences.

    z_d = norm(z_t - z_t0), z = slerp(z_i, z_d, theta), the noise fixed to the picture's own. Returns images
    b 3 size size in [-1, 1]. Raises RequestError for a request that cannot be run.
    Source: Ramesh et al. 2022, section 3.3.
    """
    request = check_text_diff(system, request)
    image = squares([request.image], seen_size(system))
    latent = yield from invert(system, image, request.decoder_steps)
    direction = text_direction(system, request.target, request.source)
    thetas = thetas_of(request)
    # As in interpolation, halfway there is nothing left of the picture's own detail.
    kept = torch.tensor([max(0.0, 1 - 2 * theta) for theta in thetas], device=system.device)
    latents = Latent(
        torch.cat([slerp(latent.image_embed, direction, theta) for theta in thetas]),
        latent.x_T.expand(len(thetas), -1, -1, -1),
        latent.error * kept,
    )
    drawn = [request.seed] * len(thetas)
    images = yield decode(system, latents, drawn, 0.0, request.decoder_steps, request.guidance_scale)
    return (yield from stages.enlarged(system, images, request.size, drawn))


def thetas_of(request: TextDiff) -> list[float]:
    """Return how far each picture goes, evenly from the first to the last; a single one goes all the way."""
    first, last = request.theta
    if request.steps == 1:
        return [last]
    return [first + (last - first) * k / (request.steps - 1) for k in range(request.steps)]


def text_direction(system: System, target: str, source: str) -> Float[Tensor, "1 d"]:
    """Return the unit vector from one sentence's embedding to another's; from nothing, the target's own.

    Raises RequestError if the two are the same to the model.
    """
    target = check_prompt(target, system.tokenizer)
    embeds = stages.encode_text(system.clip, system.tokenizer, [target, source.strip()])["text_embed"]
    there, here = embeds[:1], embeds[1:]
    difference = there - here if source.strip() else there
    if difference.norm() < 1e-6 * there.norm():
        raise RequestError(f"{source!r} and {target!r} are the same to the model: give another sentence")
    return F.normalize(difference, dim=-1)
