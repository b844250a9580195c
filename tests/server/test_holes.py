import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unclip.server.errors import ApiError
from unclip.server.holes import MaskMode, has_hole, with_hole

SIDE = 16
WHERE = (slice(4, 8), slice(6, 12))  # rows and columns of the hole


def picture(size: int = SIDE) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    return Image.fromarray(pixels)


def transparent(image: Image.Image, where: tuple[slice, slice] = WHERE, to: int = 0) -> Image.Image:
    alpha = np.full((image.height, image.width), 255, np.uint8)
    alpha[where] = to
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(alpha))
    return image


def white(where: tuple[slice, slice] = WHERE, value: int = 255) -> Image.Image:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[where] = value
    return Image.fromarray(mask)


def hole_of(image: Image.Image) -> np.ndarray:
    """Where a result is to be painted; its alpha is nothing but 0 and 255."""
    assert image.mode == "RGBA"
    alpha = np.asarray(image)[..., 3]
    assert set(np.unique(alpha)) <= {0, 255}
    return alpha == 0


def rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


EXPECTED = np.zeros((SIDE, SIDE), bool)
EXPECTED[WHERE] = True


@pytest.mark.parametrize(
    ("image", "mask", "mode"),
    [
        (transparent(picture()), None, "alpha"),
        (picture(), transparent(Image.new("RGB", (SIDE, SIDE))), "alpha"),
        (picture(), transparent(Image.new("RGB", (SIDE, SIDE), "white")), "alpha"),  # colours say nothing
        (picture().convert("RGBA"), transparent(picture()), "alpha"),
        (picture(), white(), "white"),
        (picture(), white().convert("RGB"), "white"),
        (picture(), white().convert("RGBA"), "white"),
        (picture(), white(value=128), "white"),
        (transparent(picture()), None, "white"),
    ],
)
def test_a_hole_is_where_mask_or_picture_says(
    image: Image.Image, mask: Image.Image | None, mode: MaskMode
) -> None:
    found = with_hole(image, mask, mode, SIDE)
    assert (hole_of(found) == EXPECTED).all()


@pytest.mark.parametrize("mode", ["alpha", "white"])
def test_the_holes_of_mask_and_picture_are_both_painted(mode: MaskMode) -> None:
    other = (slice(12, 14), slice(0, 3))
    mask = white(other) if mode == "white" else transparent(picture(), other)
    expected = EXPECTED.copy()
    expected[other] = True
    assert (hole_of(with_hole(transparent(picture()), mask, mode, SIDE)) == expected).all()


@pytest.mark.parametrize("hidden", [0, 255])
def test_at_the_same_size_no_pixel_outside_the_hole_changes(hidden: int) -> None:
    image = transparent(picture(), (slice(0, 2), slice(0, 2)), to=hidden)
    found = with_hole(image, transparent(picture()), "alpha", SIDE)
    assert (rgb(found) == rgb(picture())).all()


@pytest.mark.parametrize("to", [1, 128, 254])
def test_half_transparent_pixels_are_no_hole(to: int) -> None:
    with pytest.raises(ApiError, match="nothing to edit"):
        with_hole(transparent(picture(), to=to), None, "alpha", SIDE)
    assert not has_hole(transparent(picture(), to=to))
    assert has_hole(transparent(picture()))
    assert not has_hole(picture())


@pytest.mark.parametrize(
    ("image", "mask", "mode", "param"),
    [
        (picture(), None, "alpha", "image"),
        (picture().convert("RGBA"), None, "alpha", "image"),
        (picture(), picture().convert("RGBA"), "alpha", "mask"),
        (picture(), white(value=127), "white", "mask"),
    ],
)
def test_where_there_is_nothing_to_paint_is_an_error(
    image: Image.Image, mask: Image.Image | None, mode: MaskMode, param: str
) -> None:
    with pytest.raises(ApiError, match="nothing to edit: neither image nor mask") as refused:
        with_hole(image, mask, mode, SIDE)
    assert (refused.value.error["code"], refused.value.error["param"]) == ("invalid_image", param)


def test_a_mask_without_alpha_says_nothing() -> None:
    with pytest.raises(
        ApiError, match="Invalid mask image format - the mask has no alpha channel"
    ) as refused:
        with_hole(transparent(picture()), white().convert("RGB"), "alpha", SIDE)
    assert refused.value.error["param"] == "mask"


@pytest.mark.parametrize("size", [(SIDE, SIDE + 1), (2 * SIDE, 2 * SIDE)])
def test_a_mask_is_as_large_as_its_picture(size: tuple[int, int]) -> None:
    mask = transparent(Image.new("RGB", size))
    with pytest.raises(ApiError, match=rf"mask size {size[0]}x{size[1]} must match image size 16x16"):
        with_hole(picture(), mask, "alpha", SIDE)


@pytest.mark.parametrize("side", [7, 8, 15, 17, 31, 32, 64])
def test_a_hole_is_resized_with_its_picture_and_not_lost(side: int) -> None:
    found = with_hole(transparent(picture()), None, "alpha", side)
    assert found.size == (side, side)
    hole = hole_of(found)
    scaled = np.asarray(Image.fromarray(EXPECTED).resize((side, side), Image.Resampling.NEAREST))
    assert hole[scaled].all()
    assert not hole.all()


@given(
    st.integers(5, 40),
    st.lists(st.tuples(st.integers(0, SIDE - 1), st.integers(0, SIDE - 1)), min_size=1, max_size=6),
)
def test_nothing_of_a_hole_bleeds_out_of_it(side: int, pixels: list[tuple[int, int]]) -> None:
    """What is under the hole, such as the black of an eraser, must not be seen at its edge."""
    results = list[Image.Image]()
    for under in (0, 255):
        colours, alpha = rgb(picture()).copy(), np.full((SIDE, SIDE), 255, np.uint8)
        for at in pixels:
            colours[at], alpha[at] = under, 0
        image = Image.fromarray(np.dstack([colours, alpha]))
        results.append(with_hole(image, None, "alpha", side))
    holes = [hole_of(result) for result in results]
    assert (holes[0] == holes[1]).all()
    assert (rgb(results[0]) == rgb(results[1]))[~holes[0]].all()


def test_one_pixel_is_a_hole_at_any_size() -> None:
    image = transparent(picture(256), (slice(100, 101), slice(33, 34)))
    for side in (16, 1024):
        assert hole_of(with_hole(image, None, "alpha", side)).any()
