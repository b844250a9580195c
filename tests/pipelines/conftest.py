"""Pictures that the tests of tasks share; all are given to the tiny system of tests/conftest.py."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

Draw = Callable[..., Image.Image]


@pytest.fixture(scope="session")
def picture() -> Draw:
    """Smooth colours, a function of the seed; RGB."""

    def draw(seed: int = 0, size: tuple[int, int] = (64, 64)) -> Image.Image:
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)

    return draw


@pytest.fixture(scope="session")
def with_hole() -> Callable[[Image.Image], Image.Image]:
    """The picture, as RGBA, whose middle is transparent."""

    def cut(image: Image.Image) -> Image.Image:
        alpha = np.full((image.height, image.width), 255, np.uint8)
        alpha[image.height // 3 : image.height // 3 * 2, image.width // 3 : image.width // 3 * 2] = 0
        cut = image.convert("RGBA")
        cut.putalpha(Image.fromarray(alpha))
        return cut

    return cut
