import numpy as np
import pytest
import torch
from PIL import Image

from unclip.images import from_pil, grid, to_pil, to_tensor, to_uint8

EVERY_VALUE = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)


def test_every_value_survives_the_round_trip() -> None:
    assert np.array_equal(to_uint8(to_tensor(EVERY_VALUE)), EVERY_VALUE)


def test_black_is_minus_one_and_white_is_one() -> None:
    images = to_tensor(EVERY_VALUE)
    assert (images.min(), images.max()) == (-1, 1)


def test_channels_come_before_rows_inside() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3), np.uint8)
    images = to_tensor(pixels)
    assert images.shape == (2, 3, 3, 4, 5)
    assert images[1, 2, 0, 3, 4] == pixels[1, 2, 3, 4, 0] / np.float32(127.5) - 1


def test_arrays_and_tensors_give_the_same_images() -> None:
    assert torch.equal(to_tensor(torch.tensor(EVERY_VALUE)), to_tensor(EVERY_VALUE))


def test_what_lies_outside_is_clamped() -> None:
    assert to_uint8(torch.tensor([-1.5, 1.5]).reshape(2, 1, 1, 1)).ravel().tolist() == [0, 255]


def test_pictures_survive_the_round_trip() -> None:
    picture = Image.fromarray(EVERY_VALUE[0])
    assert to_pil(from_pil([picture, picture]))[1].tobytes() == picture.tobytes()


def test_transparent_pictures_become_white() -> None:
    assert from_pil([Image.new("RGBA", (2, 2), (0, 0, 0, 0))]).eq(1).all()


@pytest.mark.parametrize(
    ("count", "columns", "size"), [(1, None, (4, 2)), (5, None, (12, 4)), (5, 1, (4, 10)), (2, 3, (12, 2))]
)
def test_a_grid_has_rows_enough(count: int, columns: int | None, size: tuple[int, int]) -> None:
    assert grid([Image.new("RGB", (4, 2))] * count, columns).size == size


def test_a_grid_is_filled_row_by_row_on_white() -> None:
    sheet = grid([Image.new("RGB", (1, 1), colour) for colour in ("red", "lime", "blue")])
    assert np.asarray(sheet).tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]
