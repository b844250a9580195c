"""Painting the holes of a picture anew, as a sentence says."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image

from unclip.diffusion.driver import Plan
from unclip.errors import RequestError
from unclip.imagefiles import to_rgb
from unclip.images import from_pil
from unclip.pipelines.checks import check_count, seeds
from unclip.pipelines.filling import Painting, decoder_settings, paint
from unclip.pipelines.frames import cover, extent
from unclip.pipelines.sentences import PriorSettings, check_prior
from unclip.system import System
from unclip.text.prompts import check_prompt

CONTEXT = 1.5  # sides of the hole that a frame has at least, where the picture is as large


@dataclass(frozen=True)
class Edit:
    """One request. The hole is where the mask is transparent (alpha 0), or the picture itself is."""

    image: Image.Image
    prompt: str  # what the whole picture shows
    mask: Image.Image | None = None  # of the picture's size, with an alpha channel
    n: int = 1
    seed: int = 0  # picture k is drawn from seed + k
    size: int | None = None  # pixels of the shorter side after resizing; None: as it is
    steps: int | None = None  # of the decoder
    guidance_scale: float | None = None  # of the decoder; 1: off
    resamplings: int = 4  # how often the decoder walks each stretch of its steps, to fit what is around
    sampler: str = "ddpm"  # of the decoder


def check_edit(system: System, request: Edit) -> Bool[np.ndarray, "h w"]:
    """Return which pixels of the picture are known, at its own size.

    Raises RequestError for a request that cannot be run, with what is wrong with the mask.
    """
    seeds(request.seed, request.n)
    check_count("resamplings", request.resamplings)
    check_prior(system, PriorSettings())
    check_prompt(request.prompt, system.tokenizer)
    decoder_settings(system, request.steps, request.guidance_scale, request.sampler)
    if request.size is not None:
        system.check_size(request.size)
    return known_pixels(request.image, request.mask)


def known_pixels(image: Image.Image, mask: Image.Image | None) -> Bool[np.ndarray, "h w"]:
    """Return where a picture is to be kept: everywhere but where mask or picture have alpha 0.

    Raises RequestError for a mask of another size or without alpha, and if there is no hole.
    """
    known = alpha(image) > 0
    if mask is not None:
        if mask.size != image.size:
            raise RequestError(
                f"the mask is {mask.width} x {mask.height} and the picture {image.width} x {image.height}:"
                " give a mask of the picture's size"
            )
        if not mask.has_transparency_data:
            raise RequestError(
                f"the mask has no alpha channel (its mode is {mask.mode}): make it transparent where the"
                " picture shall be painted anew"
            )
        known &= alpha(mask) > 0
    if known.all():
        without = "neither mask nor picture has a" if mask is not None else "the picture has no"
        raise RequestError(
            f"there is no hole: {without} pixel of alpha 0; make transparent what shall be painted anew"
        )
    return known


def alpha(image: Image.Image) -> np.ndarray:
    """Return how opaque each pixel is, 0 to 255."""
    if not image.has_transparency_data:
        return np.full((image.height, image.width), 255, np.uint8)
    return np.asarray(image.convert("RGBA"))[..., 3]


def settled_edit(system: System, request: Edit) -> Edit:
    """Return the request, the model's settings in place of None."""
    chosen = decoder_settings(system, request.steps, request.guidance_scale, request.sampler)
    return replace(request, steps=chosen.num_steps, guidance_scale=chosen.guidance_scale)


def edit(system: System, request: Edit) -> Plan:
    """Plan pictures whose hole is painted anew, all other pixels as they are given.

    Returns images b 3 h w in [-1, 1]. Raises RequestError for a request that cannot be run.
    Source: Lugmayr et al. 2022 (RePaint) at 64 px; known regions are kept by the upsamplers, too.
    """
    known = check_edit(system, request)
    image = to_rgb(request.image)
    if request.size is not None:
        image, known = resized(image, known, request.size)
    drawn = seeds(request.seed, request.n)
    images = from_pil([image]).to(system.device).expand(request.n, -1, -1, -1)
    side = frame_side(known, system.sizes[-1])
    chosen = decoder_settings(system, request.steps, request.guidance_scale, request.sampler)
    prompt = check_prompt(request.prompt, system.tokenizer)
    painting = Painting(prompt, drawn, chosen, request.resamplings, candidates=1)
    mask = torch.from_numpy(known).to(system.device)
    return (yield from paint(system, images, mask, cover(known, side), side, painting))


def resized(
    image: Image.Image, known: Bool[np.ndarray, "h w"], size: int
) -> tuple[Image.Image, Bool[np.ndarray, "h_new w_new"]]:
    """Resize a picture and its known pixels so that the shorter side has `size` pixels.

    Known are those to which nothing in the hole has contributed.
    """
    scale = size / min(image.size)
    new = (round(image.width * scale), round(image.height * scale))
    if new == image.size:
        return image, known
    hole = Image.fromarray((~known).astype(np.float32)).resize(new, Image.Resampling.BICUBIC)
    return image.resize(new, Image.Resampling.BICUBIC), np.asarray(hole) == 0


def frame_side(known: Bool[np.ndarray, "h w"], largest: int) -> int:
    """Return the side of the frames: as large as the picture allows, but no larger than the hole needs.

    A frame larger than `largest`, the largest size that the model paints, loses detail.
    """
    left, top, right, bottom = extent(known)
    needed = round(CONTEXT * max(right - left, bottom - top))
    return min(*known.shape, max(needed, largest))
