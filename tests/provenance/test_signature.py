import numpy as np
import pytest
from PIL import Image, ImageColor

from unclip.provenance.signature import TILES, with_signature

COLOURS = [ImageColor.getrgb(colour) for colour in TILES.values()]


def changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    return (np.asarray(before) != np.asarray(after)).any(axis=-1)


def test_tiles_are_sixteen_pixels_wide_at_1024() -> None:
    image = Image.new("RGB", (1024, 1024), "green")
    signed = with_signature(image)
    rows, columns = np.nonzero(changed(image, signed))
    assert len(rows) == 5 * 16 * 16
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1024 - 48, 1023, 1024 - 48, 1023)
    for (column, row), colour in TILES.items():
        assert signed.getpixel((1023 - 16 * column, 1023 - 16 * row)) == ImageColor.getrgb(colour)
        assert signed.getpixel((1008 - 16 * column, 1008 - 16 * row)) == ImageColor.getrgb(colour)


@pytest.mark.parametrize(
    ("size", "side"), [((64, 64), 1), ((256, 256), 4), ((512, 2048), 8), ((1792, 1024), 16)]
)
def test_tiles_are_in_proportion_to_the_shorter_side(size: tuple[int, int], side: int) -> None:
    image = Image.new("RGB", size, "green")
    assert changed(image, with_signature(image)).sum() == 5 * side**2


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (9, 2)])
def test_a_tiny_picture_has_what_fits(size: tuple[int, int]) -> None:
    signed = with_signature(Image.new("RGB", size, "green"))
    assert signed.size == size
    assert signed.getpixel((size[0] - 1, size[1] - 1)) == ImageColor.getrgb(TILES[0, 0])


def test_the_same_picture_is_signed_alike_and_stays_as_it_was() -> None:
    image = Image.linear_gradient("L").convert("RGB")
    before = image.tobytes()
    assert with_signature(image).tobytes() == with_signature(image).tobytes() != before
    assert image.tobytes() == before


def test_transparency_stays_but_for_the_tiles() -> None:
    image = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    signed = with_signature(image)
    assert signed.mode == "RGBA"
    assert np.count_nonzero(np.asarray(signed)[..., 3]) == 5 * 2 * 2


@pytest.mark.parametrize("ground", ["black", "white", "#808080"])
def test_some_tiles_stand_out_on_every_ground(ground: str) -> None:
    far = [np.abs(np.subtract(colour, ImageColor.getrgb(ground))).sum() > 200 for colour in COLOURS]
    assert sum(far) >= 2


def test_the_colours_are_nobody_else_s() -> None:
    """OpenAI's strip is yellow, turquoise, green, red and blue: hues from 0 to 240; ours end before green."""
    hues = [Image.new("RGB", (1, 1), colour).convert("HSV").getpixel((0, 0))[0] for colour in COLOURS]  # pyright: ignore
    assert not [hue for hue in hues if 40 < hue < 180]
