"""Every task as users call it: all at once, or a step at a time."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeVar

from PIL import Image
from torch import Tensor

from unclip.diffusion.driver import Denoising, Plan, Step, drive, finish, run
from unclip.images import to_pil
from unclip.pipelines.checks import check_share, seeds
from unclip.pipelines.edit import Edit
from unclip.pipelines.edit import edit as plan_edit
from unclip.pipelines.given import seen_size, squares
from unclip.pipelines.interpolation import Interpolation, Mix, Part
from unclip.pipelines.interpolation import interpolation as plan_interpolation
from unclip.pipelines.interpolation import mix as plan_mix
from unclip.pipelines.inversion import STEPS, Latent
from unclip.pipelines.inversion import decode as plan_decoding
from unclip.pipelines.inversion import invert as plan_inversion
from unclip.pipelines.outpaint import Outpaint
from unclip.pipelines.outpaint import outpaint as plan_outpaint
from unclip.pipelines.probe import Probe
from unclip.pipelines.probe import probe as plan_probe
from unclip.pipelines.text_diff import TextDiff
from unclip.pipelines.text_diff import text_diff as plan_text_diff
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.pipelines.variations import Variations
from unclip.pipelines.variations import variations as plan_variations
from unclip.system import System

R = TypeVar("R")


def result(plan: Generator[Denoising, Tensor, R]) -> R:
    """Run every stage that a plan, or a part of one, asks for, and return what it returns."""
    denoising = next(plan)
    while True:
        try:
            denoising = plan.send(finish(run(denoising)))
        except StopIteration as stop:
            return stop.value


class Generation:
    """A request under way: iterate over it for its steps, then take its `images`.

    Stopping the iteration cancels the request.
    """

    def __init__(self, plan: Plan):
        self._steps: Generator[Step, None, Tensor] = drive(plan)
        self._images: list[Image.Image] | None = None

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        try:
            return next(self._steps)
        except StopIteration as stop:
            if stop.value is not None:
                self._images = to_pil(stop.value)
            raise

    @property
    def images(self) -> list[Image.Image]:
        """The finished pictures; runs what steps are left."""
        for _ in self:
            pass
        assert self._images is not None
        return self._images


def steps(model: System, prompt: str, **settings: Any) -> Generation:
    """Begin to draw pictures of a sentence; `settings` are the other fields of `TextToImage`.

    Raises RequestError, at the first step, for a request that cannot be run.
    """
    return Generation(text_to_image(model, TextToImage(prompt, **settings)))


def generate(model: System, prompt: str, **settings: Any) -> list[Image.Image]:
    """Draw pictures of a sentence; `settings` are the other fields of `TextToImage`.

    Raises RequestError for a request that cannot be run.
    """
    return steps(model, prompt, **settings).images


def vary(model: System, image: Image.Image, **settings: Any) -> list[Image.Image]:
    """Draw pictures like a given one; `settings` are the other fields of `Variations`.

    Raises RequestError for a request that cannot be run.
    """
    return Generation(plan_variations(model, Variations(image, **settings))).images


def edit(model: System, image: Image.Image, prompt: str, **settings: Any) -> list[Image.Image]:
    """Paint the holes of a picture as a sentence says; `settings` are the other fields of `Edit`.

    Raises RequestError for a request that cannot be run.
    """
    return Generation(plan_edit(model, Edit(image, prompt, **settings))).images


def outpaint(model: System, image: Image.Image, prompt: str, **settings: Any) -> list[Image.Image]:
    """Go on beyond a picture's edges as a sentence says; `settings` are the other fields of `Outpaint`.

    Raises RequestError for a request that cannot be run.
    """
    return Generation(plan_outpaint(model, Outpaint(image, prompt, **settings))).images


def interpolate(model: System, a: Part, b: Part, **settings: Any) -> list[Image.Image]:
    """Draw the way from one picture or sentence to another; `settings` are other fields of `Interpolation`.

    Raises RequestError for a request that cannot be run.
    """
    return Generation(plan_interpolation(model, Interpolation(a, b, **settings))).images


def mix(model: System, *parts: Part, **settings: Any) -> list[Image.Image]:
    """Draw pictures of what several pictures and sentences have in common; `settings` are fields of `Mix`.

    Raises RequestError for a request that cannot be run.
    """
    return Generation(plan_mix(model, Mix(parts, **settings))).images


def diff(model: System, image: Image.Image, target: str, **settings: Any) -> list[Image.Image]:
    """Change a picture by the difference of two sentences; `settings` are the other fields of `TextDiff`.

    Raises RequestError for a request that cannot be run.
    """
    return Generation(plan_text_diff(model, TextDiff(image, target, **settings))).images


def probe(model: System, image: Image.Image, **settings: Any) -> list[Image.Image]:
    """Draw what leading parts of a picture's embedding say; `settings` are the other fields of `Probe`.

    Raises RequestError for a request that cannot be run.
    """
    return Generation(plan_probe(model, Probe(image, **settings))).images


def invert(model: System, images: Sequence[Image.Image], steps: int = STEPS) -> Latent:
    """Find what the decoder draws pictures from, their middle squares: embeddings and noise, one row each.

    Raises RequestError for steps that the schedule cannot be walked in.
    """
    return result(plan_inversion(model, squares(images, seen_size(model)), steps))


def decode(
    model: System, latent: Latent, eta: float = 0.0, seed: int = 0, steps: int = STEPS
) -> list[Image.Image]:
    """Draw latents at the decoder's size, in the steps they were found in; eta 0 gives the pictures back.

    `eta`, 0 to 1, is the share of each step's noise that is drawn anew, for row k from seed + k. Raises
    RequestError for another eta, seed, or number of steps.
    """
    check_share("eta", eta)
    drawn = seeds(seed, len(latent.error))
    return to_pil(finish(run(plan_decoding(model, latent, drawn, eta, steps))))
