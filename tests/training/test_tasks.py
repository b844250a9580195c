import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor, nn

from unclip.data.example import Example
from unclip.diffusion.noise import generator
from unclip.diffusion.process import Process, ProcessConfig
from unclip.models.prior import Prior
from unclip.system import System
from unclip.text.tokenizer import Tokenizer
from unclip.training.batches import Batch, Steps
from unclip.training.conditions import TextConditions
from unclip.training.degradations import degraded
from unclip.training.tasks import (
    ClipTask,
    DecoderTask,
    PriorTask,
    random_timesteps,
)
from unclip.training.upsampling import UpsamplerTask, blurred, psnr, reduced

CPU = torch.device("cpu")
PROCESS = Process(ProcessConfig())
CAPTIONS = ["a red cube", "a blue cube", "a red apple", "a blue apple"]


class Stub(nn.Module):
    """A network that answers by a function and remembers what it was asked last."""

    def __init__(self, answer: Callable[..., Tensor]):
        super().__init__()
        self.answer = answer
        self.device = nn.Parameter(torch.zeros(()))  # tells tasks where it is

    def forward(self, x: Tensor, *inputs: Tensor, **conditions: Tensor) -> Tensor:
        self.inputs, self.conditions = (x, *inputs), conditions
        return self.answer(x, *inputs, **conditions)


def silent(x_t: Tensor, t: Tensor, **conditions: Tensor) -> Tensor:
    del t, conditions
    return torch.zeros_like(x_t)


def random_batch(count: int, size: int = 64, captions: list[str] = CAPTIONS) -> Batch:
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return Batch(torch.from_numpy(pixels), [captions[i % len(captions)] for i in range(count)])


def seeded() -> torch.Generator:
    return generator(CPU, "test")


def share(of: Tensor) -> float:
    return of.float().mean().item()


def four_sigma(probability: float, count: int) -> float:
    return 4 * math.sqrt(probability * (1 - probability) / count)


# CLIP


def logits(*rows: list[float]) -> Stub:
    table = torch.tensor(rows, dtype=torch.float32, requires_grad=True)
    stub = Stub(lambda *_: table)
    stub.table = table
    return stub


def test_matching_every_caption_costs_nothing(tokenizer: Tokenizer) -> None:
    loss = ClipTask(tokenizer).loss(logits([90, 0, 0], [0, 90, 0], [0, 0, 90]), random_batch(3), seeded())
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_telling_nothing_costs_the_logarithm_of_the_batch(tokenizer: Tokenizer) -> None:
    loss = ClipTask(tokenizer).loss(logits(*[[0.0] * 4] * 4), random_batch(4), seeded())
    assert loss.item() == pytest.approx(math.log(4))


@pytest.mark.parametrize("rows", [([90, 0], [90, 180]), ([90, 90], [0, 180])])
def test_both_directions_count(tokenizer: Tokenizer, rows: tuple[list[float], ...]) -> None:
    """One direction is matched, and half of the other is told nothing."""
    loss = ClipTask(tokenizer).loss(logits(*rows), random_batch(2), seeded())
    assert loss.item() == pytest.approx(math.log(2) / 4)


def test_equal_captions_are_equally_right(tokenizer: Tokenizer) -> None:
    task, batch = ClipTask(tokenizer), random_batch(3, captions=["a red cube", "a blue cube", "a  RED cube"])
    network = logits([90, 0, 90], [0, 90, 0], [90, 0, 90])
    task.loss(network, batch, seeded()).backward()
    assert network.table.grad.abs().max() < 1e-6  # none pushes the other away
    assert task.probe(network, batch, seeded()) == {"accuracy": 1.0}
    assert task.probe(logits([0, 0, 9], [0, 0, 9], [9, 0, 0]), batch, seeded()) == {
        "accuracy": pytest.approx(2 / 3)
    }


def test_padding_is_cut_off(tokenizer: Tokenizer) -> None:
    network = logits([0, 0], [0, 0])
    ClipTask(tokenizer).loss(network, random_batch(2, captions=["a red cube", "a"]), seeded())
    _, ids, mask = network.inputs
    assert ids.shape == mask.shape == (2, tokenizer.count("a red cube"))
    assert mask.sum(dim=1).tolist() == [tokenizer.count("a red cube"), tokenizer.count("a")]


# Prior


@pytest.fixture
def prior(system: System) -> Prior:
    assert system.prior is not None
    return Prior(system.prior.network.config)


@pytest.fixture
def prior_task(conditions: TextConditions) -> PriorTask:
    return PriorTask(conditions, PROCESS)


def steps() -> Steps:
    batch = random_batch(64)
    return Steps(lambda i: Example(batch.images[i].numpy(), batch.captions[i]), 16)


def test_the_prior_is_fitted_to_whitened_embeddings(prior: Prior, prior_task: PriorTask) -> None:
    prior_task.prepare(prior, steps())
    pixels = torch.cat([steps()[step].pixels(CPU) for step in range(4)])
    white = prior.whiten(prior_task.conditions.image(pixels))
    torch.testing.assert_close(white.mean(dim=0), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(white.std(dim=0), torch.ones(16), atol=1e-3, rtol=0)


def answering(prior: Prior, answer: Callable[..., Tensor]) -> Stub:
    stub = Stub(answer)
    stub.whiten, stub.unwhiten = prior.whiten, prior.unwhiten
    return stub


def test_a_silent_prior_loses_the_variance_of_what_it_predicts(prior: Prior, prior_task: PriorTask) -> None:
    prior_task.prepare(prior, steps())
    batch = random_batch(64)
    white = prior.whiten(prior_task.conditions.image(batch.pixels(CPU)))
    loss = prior_task.loss(answering(prior, silent), batch, seeded())
    assert loss.item() == pytest.approx(white.square().mean().item(), rel=1e-5)


def test_a_prior_that_knows_has_cosine_one(prior: Prior, prior_task: PriorTask) -> None:
    batch = random_batch(8)
    true = prior.whiten(prior_task.conditions.image(batch.pixels(CPU)))
    measured = prior_task.probe(answering(prior, lambda *_, **__: true), batch, seeded())
    assert measured["cosine"] == pytest.approx(1)
    assert measured["cosine_shuffled"] < measured["cosine"]


def is_empty(conditions: TextConditions, text_mask: Tensor) -> Tensor:
    """Tell the rows of the absent caption."""
    return text_mask.sum(dim=1) == conditions.text([""])["text_mask"].sum()


def test_the_prior_drops_captions_at_its_rate(prior: Prior, prior_task: PriorTask) -> None:
    network = answering(prior, silent)
    prior_task.loss(network, random_batch(1000, size=16), seeded())
    dropped = is_empty(prior_task.conditions, network.conditions["text_mask"])
    assert share(dropped) == pytest.approx(0.1, abs=four_sigma(0.1, 1000))


# Decoder


@pytest.fixture
def decoder_task(conditions: TextConditions) -> DecoderTask:
    return DecoderTask(conditions, PROCESS, snr_range=None)


def test_the_decoder_drops_each_condition_at_its_rate_alone(decoder_task: DecoderTask) -> None:
    network = Stub(silent)
    decoder_task.loss(network, random_batch(2000, size=16), seeded())
    image = ~network.conditions["image_mask"]
    text = is_empty(decoder_task.conditions, network.conditions["text_mask"])
    assert share(image) == pytest.approx(0.2, abs=four_sigma(0.2, 2000))
    assert share(text) == pytest.approx(0.15, abs=four_sigma(0.15, 2000))
    assert share(image & text) == pytest.approx(0.2 * 0.15, abs=four_sigma(0.2 * 0.15, 2000))


def test_a_silent_decoder_has_no_gaps(decoder_task: DecoderTask) -> None:
    batch = random_batch(4)
    measured = decoder_task.probe(Stub(silent), batch, seeded())
    loss = pytest.approx(batch.pixels(CPU).square().mean().item())
    assert measured == {"loss_text": loss, "text_gap": 0.0, "loss_image": loss, "image_gap": 0.0}


@pytest.mark.parametrize("heard", ["text", "image"])
def test_a_decoder_that_hears_one_condition_has_its_gap(decoder_task: DecoderTask, heard: str) -> None:
    """The stub draws the picture whose embedding it is given, and nothing else."""
    batch = random_batch(4)
    pixels = batch.pixels(CPU)
    text = decoder_task.conditions.text(batch.captions)["text_embed"]
    known = {"text": text, "image": decoder_task.conditions.image(pixels)}[heard]

    def answer(x_t: Tensor, t: Tensor, image_mask: Tensor, **given: Tensor) -> Tensor:
        distance, nearest = torch.cdist(given[f"{heard}_embed"], known).min(dim=1)
        told = distance < 1e-4 if heard == "text" else image_mask
        return torch.where(told[:, None, None, None], pixels[nearest], 0)

    measured = decoder_task.probe(Stub(answer), batch, seeded())
    other = {"text": "image", "image": "text"}[heard]
    assert measured[f"loss_{heard}"] == pytest.approx(0, abs=1e-9)
    assert measured[f"{heard}_gap"] > 0.1
    assert measured[f"loss_{other}"] > 0.1
    assert measured[f"{other}_gap"] == pytest.approx(0, abs=1e-6)


def test_a_sheet_has_originals_then_both_conditions_then_the_caption_alone(
    decoder_task: DecoderTask, system: System
) -> None:
    assert system.decoder is not None
    batch = random_batch(2)
    other = Batch(batch.images.flip(1), batch.captions)
    sheets = [decoder_task.sheet(system.decoder.network, each) for each in (batch, other)]
    assert torch.equal(sheets[0][0], batch.pixels(CPU))
    assert [tuple(row.shape) for row in sheets[0]] == [(2, 3, 64, 64)] * 3
    assert all(row.abs().max() <= 1 for row in sheets[0])
    assert not torch.equal(sheets[0][1], sheets[1][1])
    assert torch.equal(sheets[0][2], sheets[1][2])


# Upsamplers


def upsampler_task(
    snr_range: tuple[float, float] | None = None, pure_noise_share: float = 0.3
) -> UpsamplerTask:
    return UpsamplerTask(PROCESS, 256, snr_range, pure_noise_share)


class Crops:
    def example(self, index: int, size: int) -> Example:
        raise AssertionError("upsamplers learn from crops")

    def crop(self, index: int, size: int, window: int) -> UInt8[np.ndarray, "window window 3"]:
        assert (index, size) == (7, 256)
        return np.full((window, window, 3), 9, dtype=np.uint8)

    def caption(self, index: int) -> str:
        raise AssertionError("upsamplers read no captions")


def test_an_upsampler_is_shown_crops_of_the_target_size() -> None:
    example = upsampler_task().draw(Crops(), 7, 32)
    assert example.image.shape == (32, 32, 3)


def test_low_resolution_is_blurred_half_of_the_time_in_its_range() -> None:
    impulses = torch.zeros(2000, 3, 5, 5)
    impulses[:, :, 2, 2] = 1e4  # so large that the noise does not matter
    peaks = upsampler_task().corrupted(impulses, seeded())[:, 0, 2, 2] / 1e4
    is_blurred = peaks < 0.99
    assert share(is_blurred) == pytest.approx(0.5, abs=four_sigma(0.5, 2000))
    centre = [1 / (1 + 2 * math.exp(-0.5 / sigma**2)) for sigma in (0.8, 0.4)]
    assert centre[0] ** 2 - 1e-3 < peaks.min() < peaks[is_blurred].max() < centre[1] ** 2 + 1e-3
    assert peaks[~is_blurred] == pytest.approx(1, abs=1e-3)


def test_low_resolution_gets_noise_of_up_to_a_tenth() -> None:
    grey = torch.full((500, 3, 32, 32), 0.5)
    levels = (upsampler_task().corrupted(grey, seeded()) - grey).flatten(1).std(dim=1)
    assert 0 <= levels.min() < 0.005
    assert 0.095 < levels.max() < 0.105
    assert levels.mean() == pytest.approx(0.05, abs=0.005)


def test_by_bsr_the_small_pictures_are_degraded_and_nothing_else() -> None:
    task, batch = replace(upsampler_task(), degradation="bsr"), random_batch(4, size=16)
    pixels = batch.pixels(CPU)
    assert torch.equal(task.low_res(batch, pixels, seeded()), degraded(pixels, seeded()))
    assert not torch.equal(upsampler_task().low_res(batch, pixels, seeded()), degraded(pixels, seeded()))


def test_a_share_of_rows_is_pure_noise_and_all_see_a_quarter() -> None:
    network = Stub(silent)
    upsampler_task().loss(network, random_batch(1000, size=16), seeded())
    _, t = network.inputs
    assert network.conditions["low_res"].shape == (1000, 3, 4, 4)
    assert share(t == 999) == pytest.approx(0.3 + 0.7 / 1000, abs=four_sigma(0.3, 1000))


def test_rows_of_pure_noise_weigh_as_much_as_the_range_allows() -> None:
    batch = random_batch(8, size=16)
    plain = batch.pixels(CPU).square().mean().item()
    for low in (0.0, 0.3, 1.0):
        loss = upsampler_task((low, 5.0), pure_noise_share=1.0).loss(Stub(silent), batch, seeded())
        assert loss.item() == pytest.approx(low * plain, rel=1e-5, abs=1e-5)


def test_an_upsampler_that_resizes_is_as_good_as_bicubic() -> None:
    def resize(x_t: Tensor, t: Tensor, low_res: Tensor) -> Tensor:
        return F.interpolate(low_res, x_t.shape[-2:], mode="bicubic", antialias=True)

    measured = upsampler_task().probe(Stub(resize), random_batch(2), seeded())
    assert measured["psnr"] == pytest.approx(measured["psnr_bicubic"], rel=1e-4)


def test_a_sheet_of_an_upsampler_has_originals_reduced_and_drawn(system: System) -> None:
    batch = random_batch(2)
    rows = upsampler_task().sheet(system.upsamplers[0].network, batch)
    assert [tuple(row.shape) for row in rows] == [(2, 3, 64, 64)] * 3
    assert torch.equal(rows[0], batch.pixels(CPU))
    assert torch.equal(rows[1][:, :, ::4, ::4], reduced(rows[0]))


# Pictures


def test_blur_is_gaussian_in_both_directions() -> None:
    impulse = torch.zeros(1, 3, 5, 5)
    impulse[:, :, 2, 2] = 1
    sigma = 0.7
    line = torch.exp(-torch.tensor([1.0, 0.0, 1.0]) / (2 * sigma**2))
    line /= line.sum()
    blur = blurred(impulse, torch.full((1, 1, 1, 1), sigma))
    torch.testing.assert_close(blur[0, 0, 1:4, 1:4], line[:, None] * line)


def test_blur_keeps_constants_and_the_mean() -> None:
    sigma = torch.tensor([0.4, 0.8]).view(2, 1, 1, 1)
    pixels = random_batch(2, size=16).pixels(CPU)
    after = blurred(pixels, sigma)
    torch.testing.assert_close(after.mean(dim=(1, 2, 3)), pixels.mean(dim=(1, 2, 3)))
    assert (after.var(dim=(1, 2, 3)) < pixels.var(dim=(1, 2, 3))).all()
    torch.testing.assert_close(blurred(torch.full((2, 3, 4, 4), 0.3), sigma), torch.full((2, 3, 4, 4), 0.3))


def test_psnr_of_a_known_error() -> None:
    x = random_batch(1, size=16).pixels(CPU)
    assert psnr(x, x + 0.2) == pytest.approx(20, abs=1e-3)  # 10 log10(2^2 / 0.2^2)


def test_timesteps_are_spread_over_the_batch_and_favour_noise_as_asked() -> None:
    process, generator = Process(ProcessConfig()), torch.Generator().manual_seed(0)
    even, noisy = (random_timesteps(process, 1_000, generator, power) for power in (1.0, 0.5))
    assert sorted(even.tolist()) == pytest.approx(list(range(1_000)), abs=1)
    assert (noisy > 707).float().mean().item() == pytest.approx(0.5, abs=0.01)
    first = [random_timesteps(process, 4, generator)[0].item() for _ in range(400)]
    assert sum(first) / 400 == pytest.approx(500, abs=50)
    assert 0 <= min(first) < max(first) < 1_000
