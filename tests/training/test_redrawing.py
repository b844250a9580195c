"""Small pictures redrawn by a decoder stay where they are, and reach the upsampler in their rows."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from unclip.data.example import Example
from unclip.diffusion.process import Process, ProcessConfig
from unclip.errors import RequestError
from unclip.images import to_tensor
from unclip.models.decoder import Decoder
from unclip.system import System
from unclip.training.batches import Batch, Steps
from unclip.training.begin import Order, begin
from unclip.training.conditions import TextConditions
from unclip.training.degradations import degraded
from unclip.training.redrawing import EVERY, Redrawing, Whole, cropped, redrawn_here
from unclip.training.upsampling import UpsamplerTask, reduced

Make = Callable[..., Order]
PROCESS = Process(ProcessConfig())


class Noise:
    """Pictures without two equal pixels (see `Pictures`)."""

    def example(self, index: int, size: int) -> Example:
        rng = np.random.default_rng(index)
        return Example(rng.integers(0, 256, (size, size, 3), dtype=np.uint8), "")

    def crop(self, index: int, size: int, window: int) -> UInt8[np.ndarray, "window window 3"]:
        return self.example(index, window).image

    def caption(self, index: int) -> str:
        return str(index)


def redrawing(system: System, answer: Callable[..., Tensor]) -> Redrawing:
    """One whose decoder answers by a function."""
    assert system.decoder is not None
    decoder = Decoder(system.decoder.network.config).eval()
    decoder.forward = answer
    return Redrawing(TextConditions(system.clip, system.tokenizer), decoder, PROCESS)


@pytest.mark.parametrize("index", range(5))
def test_a_crop_lies_where_its_window_of_the_reduced_picture_lies(index: int) -> None:
    example = cropped(Noise(), index, size=256, window=32, small=64)
    whole = example.truth
    assert isinstance(whole, Whole)
    assert (example.image.shape, whole.image.shape) == ((32, 32, 3), (64, 64, 3))
    window = whole.window(to_tensor(whole.image))
    expected = F.avg_pool2d(to_tensor(example.image)[None], 4)[0]
    torch.testing.assert_close(window, expected, atol=1.01 / 127.5, rtol=0)


def test_a_decoder_that_knows_the_picture_changes_nothing(system: System) -> None:
    images = to_tensor(np.stack([Noise().example(index, 64).image for index in range(3)]))
    seen = list[Tensor]()

    def knows(x_t: Tensor, t: Tensor, **given: Tensor) -> Tensor:
        seen.extend((x_t, t, given["image_mask"]))
        return images

    again = redrawing(system, knows)(images, torch.Generator().manual_seed(0))
    assert torch.equal(again, images)
    x_t, t, present = seen
    assert not torch.allclose(x_t, images, atol=0.1)
    assert ((t >= 100) & (t < 500)).all()
    assert present.all()


def test_one_row_in_four_is_redrawn_and_the_others_are_as_they_were(system: System) -> None:
    grey = redrawing(system, lambda x_t, t, **given: torch.zeros_like(x_t))
    task = UpsamplerTask(PROCESS, 256, None, redrawing=grey)
    batch = Steps(lambda index: task.draw(Noise(), index, 32), 8)[0]
    pixels = batch.pixels(torch.device("cpu"))
    low_res = grey.put_into(reduced(pixels), batch.truths, torch.Generator().manual_seed(0))
    assert [row for row in range(8) if not low_res[row].any()] == [0, 4]
    assert [redrawn_here(index) for index in range(EVERY + 1)] == [True, *[False] * (EVERY - 1), True]
    rest = [1, 2, 3, 5, 6, 7]
    assert torch.equal(low_res[rest], reduced(pixels)[rest])
    assert low_res.shape == (8, 3, 8, 8)


def test_by_bsr_the_redrawn_rows_are_blurred_and_the_others_degraded(system: System) -> None:
    grey = redrawing(system, lambda x_t, t, **given: torch.zeros_like(x_t))
    task = UpsamplerTask(PROCESS, 256, None, redrawing=grey, degradation="bsr")
    batch = Steps(lambda index: task.draw(Noise(), index, 32), 8)[0]
    pixels = batch.pixels(torch.device("cpu"))
    low_res = task.low_res(batch, pixels, torch.Generator().manual_seed(0))
    expected = degraded(pixels, torch.Generator().manual_seed(0))
    rest = [1, 2, 3, 5, 6, 7]
    assert torch.equal(low_res[rest], expected[rest])
    drawn = low_res[[0, 4]]
    assert 0 < drawn.std() < 0.11  # noise on grey


def test_batches_without_wholes_never_ask_the_decoder(system: System) -> None:
    def refuses(x_t: Tensor, t: Tensor, **given: Tensor) -> Tensor:
        raise AssertionError

    batch = Batch(torch.zeros(2, 32, 32, 3, dtype=torch.uint8), ["", ""], [None, None])
    low_res = reduced(batch.pixels(torch.device("cpu")))
    assert redrawing(system, refuses).put_into(low_res, batch.truths, torch.Generator()) is low_res


def test_a_run_keeps_its_decoder(
    order: Make, train: Callable[..., None], model_folder: Path, contents: Any
) -> None:
    straight = replace(order("upsampler256", "straight"), decoder=model_folder)
    train(straight)
    copy = shutil.copytree(model_folder, straight.run.with_name("model"))
    stopped = replace(order("upsampler256", "stopped"), decoder=copy)
    train(stopped, should_stop=lambda: True)
    shutil.rmtree(copy)
    train(stopped)
    assert contents(stopped.run).items() >= contents(straight.run).items()
    plain = order("upsampler256", "plain")
    train(plain)
    assert contents(plain.run)["metrics.jsonl"] != contents(straight.run)["metrics.jsonl"]


@pytest.mark.parametrize("component", ["clip", "upsampler1024"])
def test_only_what_is_shown_a_decoders_pictures_takes_one(
    order: Make, model_folder: Path, component: str
) -> None:
    asked = replace(order(component), decoder=model_folder)
    with pytest.raises(RequestError, match=f"{component} is not shown what a decoder of 64 px draws"):
        begin(asked)
    assert not asked.run.exists()
