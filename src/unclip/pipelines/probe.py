"""What a part of the image embedding says: pictures of its leading principal components."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from PIL import Image

from unclip.diffusion.driver import Plan
from unclip.errors import RequestError
from unclip.models.pca import Pca
from unclip.pipelines import stages
from unclip.pipelines.checks import check_guidance, seeds
from unclip.pipelines.given import embed, seen_size, squares
from unclip.pipelines.inversion import STEPS, decode, decoder_of, noise_latent, schedule_of
from unclip.system import System

PAPER = (20, 30, 40, 80, 120, 160, 200, 320)  # components; Ramesh et al. 2022, figure 7


@dataclass(frozen=True)
class Probe:
    """One request; the picture is cut to its middle square."""

    image: Image.Image
    components: tuple[int, ...] | None = None  # of each picture; None: the paper's, and all
    seed: int = 0  # of the noise, the same in all pictures
    size: int | None = None  # pixels a side; None: the default of the model, 256 for most
    guidance_scale: float | None = None  # 1 is off; None: the model's
    decoder_steps: int = STEPS


def basis(system: System) -> Pca:
    """Return the principal components that come with the model. Raises RequestError if none do."""
    if system.prior_ar is None:
        raise RequestError(
            "the model has no principal components: they come with an autoregressive prior, or from pictures"
            " that are named with --data"
        )
    return system.prior_ar.pca


def components_of(system: System, request: Probe) -> tuple[int, ...]:
    """Return how many components each picture is drawn from. Raises RequestError for none or too many."""
    most = system.clip.config.embed_dim
    asked = request.components or (*(k for k in PAPER if k < most), most)
    for k in asked:
        if not 1 <= k <= most:
            raise RequestError(f"components must be between 1 and {most}, not {k}")
    return asked


def check_probe(system: System, request: Probe) -> Probe:
    """Return the request, the model's settings in place of None. Raises RequestError if it cannot be run."""
    counts = components_of(system, request)
    seeds(request.seed, 1)
    check_guidance("guidance_scale", request.guidance_scale)
    size = system.check_size(request.size)
    stage = decoder_of(system)
    schedule_of(stage, request.decoder_steps)
    scale = stage.defaults.guidance_scale if request.guidance_scale is None else request.guidance_scale
    return replace(request, components=counts, size=size, guidance_scale=scale)


def probe(system: System, request: Probe, pca: Pca | None = None) -> Plan:
    """Plan a picture for each number of components, by DDIM from one noise; `pca` None is the model's own.

    Returns images b 3 size size in [-1, 1]. Raises RequestError for a request that cannot be run.
    Source: Ramesh et al. 2022, section 4 and figure 7.
    """
    request = check_probe(system, request)
    assert request.components is not None
    assert request.guidance_scale is not None
    pca = pca or basis(system)
    whole = embed(system, squares([request.image], seen_size(system)))
    embeds = torch.cat([pca.reconstruct(pca.project(whole, k)) for k in request.components])
    if system.clip.config.normalize:
        embeds = F.normalize(embeds, dim=-1)
    drawn = [request.seed] * len(embeds)
    latent = noise_latent(system, embeds, drawn)
    images = yield decode(system, latent, drawn, 0.0, request.decoder_steps, request.guidance_scale)
    return (yield from stages.enlarged(system, images, request.size, drawn))
