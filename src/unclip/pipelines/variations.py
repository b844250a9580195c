"""From a picture to others of the same content."""

from dataclasses import dataclass, replace

from PIL import Image

from unclip.diffusion.driver import Plan
from unclip.errors import RequestError
from unclip.pipelines import stages
from unclip.pipelines.checks import Rng, check_guidance, check_share, noise_by, seeds
from unclip.pipelines.given import embed, seen_size, squares
from unclip.pipelines.inversion import STEPS, decode, decoder_of, invert, schedule_of
from unclip.system import System


@dataclass(frozen=True)
class Variations:
    """One request; the picture is cut to its middle square."""

    image: Image.Image
    n: int = 1
    seed: int = 0  # picture k is drawn from seed + k
    size: int | None = None  # pixels a side; None: the default of the model, 256 for most
    eta: float = 0.5  # share of each step's noise that is drawn anew; 0 gives the picture back
    fresh: bool = False  # start from new noise instead of the picture's own: alike in content alone
    steps: int | None = None  # of the decoder; where it starts from the picture's noise, of the inversion too
    guidance_scale: float | None = None  # 1 is off; None: off, and the model's own if fresh
    upsampler_steps: int | None = None  # of each upsampler
    rng: Rng = "unclip"  # how noise comes of seeds: see `noise_by`


def check_variations(system: System, request: Variations) -> Variations:
    """Return the request, the model's settings in place of None. Raises RequestError if it cannot be run."""
    stage = decoder_of(system)
    seeds(request.seed, request.n)
    check_share("eta", request.eta)
    check_guidance("guidance_scale", request.guidance_scale)
    request = replace(request, size=system.check_size(request.size))
    noise_by(request.rng)
    if request.rng != "unclip" and not request.fresh:
        raise RequestError("rng diffusers draws fresh variations alone, as its pipeline does: ask for fresh")
    if request.fresh:
        chosen = stages.settings(stage, num_steps=request.steps, guidance_scale=request.guidance_scale)
        return replace(request, steps=chosen.num_steps, guidance_scale=chosen.guidance_scale)
    num_steps = STEPS if request.steps is None else request.steps
    schedule_of(stage, num_steps)
    scale = 1.0 if request.guidance_scale is None else request.guidance_scale
    return replace(request, steps=num_steps, guidance_scale=scale)


def variations(system: System, request: Variations) -> Plan:
    """Plan variations: encode to embedding and noise by inversion, decode with noise of which some is new.

    Returns images b 3 size size in [-1, 1]. Raises RequestError for a request that cannot be run.
    Source: Ramesh et al. 2022, section 3.1.
    """
    request = check_variations(system, request)
    assert request.steps is not None
    assert request.guidance_scale is not None
    stage, drawn, noise_of = decoder_of(system), seeds(request.seed, request.n), noise_by(request.rng)
    image = squares([request.image], seen_size(system)).to(system.device)
    if request.fresh:
        image_embed = embed(system, image).expand(request.n, -1)
        chosen = stages.settings(stage, num_steps=request.steps, guidance_scale=request.guidance_scale)
        images = yield stages.decoder_of_embeds(
            system, stage, chosen, image_embed, drawn, noise_of, padded=request.rng == "diffusers"
        )
    else:
        latent = yield from invert(system, image, request.steps)
        latent = latent.expanded(request.n)
        images = yield decode(system, latent, drawn, request.eta, request.steps, request.guidance_scale)
    return (
        yield from stages.enlarged(system, images, request.size, drawn, request.upsampler_steps, noise_of)
    )
