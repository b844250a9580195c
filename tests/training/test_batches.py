from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unclip.data.example import Example
from unclip.data.pictures import CaptionedPictures, open_pictures
from unclip.training.batches import Batch, Steps, batches


@pytest.fixture
def pictures(tmp_path: Path) -> CaptionedPictures:
    for index in range(5):
        Image.new("RGB", (8, 8), (50 * index, 0, 0)).save(tmp_path / f"{index}.png")
        (tmp_path / f"{index}.txt").write_text(f"number {index}")
    return open_pictures(tmp_path, 0)


def seen(batch: Batch) -> tuple[list[int], list[str]]:
    return batch.images[:, 0, 0, 0].tolist(), batch.captions


def test_a_step_is_its_indices_in_order(pictures: CaptionedPictures) -> None:
    batch = Steps(partial(pictures.example, size=8), 3)[4]
    examples = [pictures.example(index, 8) for index in (12, 13, 14)]
    assert torch.equal(batch.images, torch.from_numpy(np.stack([example.image for example in examples])))
    assert batch.captions == [example.caption for example in examples]


def test_a_batch_does_not_depend_on_where_the_run_began(pictures: CaptionedPictures) -> None:
    draw = partial(pictures.example, size=8)
    whole = [seen(batch) for batch in batches(draw, 2, range(6), workers=0)]
    assert len(whole) == 6
    assert [seen(batch) for batch in batches(draw, 2, range(4, 6), workers=0)] == whole[4:]


def test_workers_give_the_same_batches(pictures: CaptionedPictures) -> None:
    draw = partial(pictures.example, size=8)
    alone, helped = ([seen(b) for b in batches(draw, 2, range(1, 6), workers)] for workers in (0, 2))
    assert helped == alone


def test_parts_are_the_batch_in_order() -> None:
    draw = [Example(np.full((2, 2, 3), index, dtype=np.uint8), str(index)) for index in range(6)]
    batch = Steps(draw.__getitem__, 6)[0]
    parts = [batch.part(i, 3) for i in range(3)]
    assert [seen(part) for part in parts] == [
        ([0, 1], ["0", "1"]),
        ([2, 3], ["2", "3"]),
        ([4, 5], ["4", "5"]),
    ]


def test_pixels_are_channels_first_from_minus_one_to_one() -> None:
    image = np.zeros((1, 2, 3), dtype=np.uint8)
    image[0, 1] = (255, 51, 204)
    pixels = Steps(lambda _: Example(image, ""), 1)[0].pixels(torch.device("cpu"))
    torch.testing.assert_close(pixels[0, :, 0].T, torch.tensor([[-1.0, -1.0, -1.0], [1.0, -0.6, 0.6]]))
