"""Going on beyond a picture's edges."""

from collections.abc import Sequence
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
from unclip.pipelines.edit import alpha, resized
from unclip.pipelines.filling import Painting, decoder_settings, paint
from unclip.pipelines.frames import Place, cover
from unclip.pipelines.sentences import PriorSettings, check_prior
from unclip.system import System
from unclip.text.prompts import check_prompt

LARGEST = 8192  # pixels a side of the whole


@dataclass(frozen=True)
class Outpaint:
    """One request; lengths are in pixels of the picture as resized. Its transparent parts are holes, too."""

    image: Image.Image
    prompt: str  # what the whole picture shows
    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0
    frames: tuple[Place, ...] = ()  # corners, from the picture's own, of squares of its shorter side
    n: int = 1
    seed: int = 0  # picture k is drawn from seed + k
    size: int | None = None  # pixels of the shorter side after resizing; None: as it is
    steps: int | None = None  # of the decoder
    guidance_scale: float | None = None  # of the decoder; 1: off
    resamplings: int = 4  # how often the decoder walks each stretch of its steps, to fit what is around
    candidates: int = 1  # drawn for each frame: the one nearest the sentence by CLIP is kept
    sampler: str = "ddpm"  # of the decoder


@dataclass(frozen=True)
class Layout:
    """The whole canvas, in its own pixels."""

    size: tuple[int, int]  # width and height
    origin: Place  # where the picture's upper left corner lies
    places: tuple[Place, ...]  # of the frames, in the order of painting
    side: int  # of every frame

    def known(self, image: Image.Image) -> Bool[np.ndarray, "h w"]:
        """Return where the picture lies."""
        known = np.zeros(self.size[::-1], dtype=bool)
        x, y = self.origin
        known[y : y + image.height, x : x + image.width] = alpha(image) > 0
        return known


def check_outpaint(system: System, request: Outpaint) -> Layout:
    """Return where everything lies. Raises RequestError for a request that cannot be run."""
    seeds(request.seed, request.n)
    check_count("resamplings", request.resamplings)
    check_count("candidates", request.candidates)
    check_prior(system, PriorSettings())
    check_prompt(request.prompt, system.tokenizer)
    decoder_settings(system, request.steps, request.guidance_scale, request.sampler)
    if request.size is not None:
        system.check_size(request.size)
    return layout(_sized(request))


def _sized(request: Outpaint) -> Outpaint:
    """Return the request with the picture resized, transparent where it is not known."""
    image, known = to_rgb(request.image), alpha(request.image) > 0
    if request.size is not None:
        image, known = resized(image, known, request.size)
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(np.where(known, 255, 0).astype(np.uint8)))
    return replace(request, image=image)


def layout(request: Outpaint) -> Layout:
    """Return the canvas that holds the picture, what is added at its sides, and all frames.

    Frames that are asked for come first; what they leave open is covered by others.
    Raises RequestError if nothing is added, too much is, or a frame does not touch what is there by then.
    """
    width, height = request.image.size
    side = min(width, height)
    for name in ("left", "right", "top", "bottom"):
        if getattr(request, name) < 0:
            raise RequestError(f"{name} must be 0 or more pixels, not {getattr(request, name)}")
    x0 = min(-request.left, *(x for x, _ in request.frames), 0)
    y0 = min(-request.top, *(y for _, y in request.frames), 0)
    x1 = max(width + request.right, *(x + side for x, _ in request.frames), width)
    y1 = max(height + request.bottom, *(y + side for _, y in request.frames), height)
    if (x0, y0, x1, y1) == (0, 0, width, height):
        raise RequestError(
            "nothing to paint: give --left, --right, --top, --bottom or a --frame beyond the edge"
        )
    if max(x1 - x0, y1 - y0) > LARGEST:
        raise RequestError(f"the whole would be {x1 - x0} x {y1 - y0}: at most {LARGEST} pixels a side")
    asked = tuple((x - x0, y - y0) for x, y in request.frames)
    whole = Layout((x1 - x0, y1 - y0), (-x0, -y0), (), side)
    known = _with_frames(whole.known(request.image), asked, side, request.frames)
    rest = () if known.all() else tuple(cover(known, side))
    return Layout(whole.size, whole.origin, asked + rest, side)


def _with_frames(
    known: Bool[np.ndarray, "h w"], places: Sequence[Place], side: int, named: Sequence[Place]
) -> Bool[np.ndarray, "h w"]:
    for (x, y), name in zip(places, named, strict=True):
        window = known[y : y + side, x : x + side]
        if not window.any():
            raise RequestError(
                f"frame {name[0]},{name[1]} does not overlap the picture or a frame before it: move it nearer"
            )
        window[:] = True
    return known


def settled_outpaint(system: System, request: Outpaint) -> Outpaint:
    """Return the request, the model's settings in place of None."""
    chosen = decoder_settings(system, request.steps, request.guidance_scale, request.sampler)
    return replace(request, steps=chosen.num_steps, guidance_scale=chosen.guidance_scale)


def outpaint(system: System, request: Outpaint) -> Plan:
    """Plan pictures that go on beyond the edges of the given one, whose own pixels stay as they are.

    Returns images b 3 h w in [-1, 1]. Raises RequestError for a request that cannot be run.
    """
    where, request = check_outpaint(system, request), _sized(request)
    drawn = seeds(request.seed, request.n)
    known = where.known(request.image)
    x, y = where.origin
    images = torch.zeros(request.n, 3, *known.shape, device=system.device)
    images[..., y : y + request.image.height, x : x + request.image.width] = from_pil([to_rgb(request.image)])
    chosen = decoder_settings(system, request.steps, request.guidance_scale, request.sampler)
    prompt = check_prompt(request.prompt, system.tokenizer)
    painting = Painting(prompt, drawn, chosen, request.resamplings, request.candidates)
    mask = torch.from_numpy(known).to(system.device)
    return (yield from paint(system, images, mask, where.places, where.side, painting))
