"""Generation as users call it: all at once, or a step at a time."""

from collections.abc import Generator, Iterator

from PIL import Image
from torch import Tensor

from unclip.diffusion.driver import Plan, Step, drive
from unclip.images import to_pil
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.system import System


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


def steps(model: System, prompt: str, **settings: int | float | str | None) -> Generation:
    """Begin to draw pictures of a sentence; `settings` are the other fields of `TextToImage`.

    Raises RequestError, at the first step, for a request that cannot be run.
    """
    return Generation(text_to_image(model, TextToImage(prompt, **settings)))  # pyright: ignore[reportArgumentType]


def generate(model: System, prompt: str, **settings: int | float | str | None) -> list[Image.Image]:
    """Draw pictures of a sentence; `settings` are the other fields of `TextToImage`.

    Raises RequestError for a request that cannot be run.
    """
    return steps(model, prompt, **settings).images
