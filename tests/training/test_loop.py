import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Generator, Tensor, nn

from unclip.errors import DataError
from unclip.models.unet import UNet
from unclip.nn.transformer import Transformer
from unclip.training.batches import Batch
from unclip.training.begin import Order, begin
from unclip.training.state import load_checkpoint
from unclip.training.tasks import WholePictures

Make = Callable[..., Order]
Train = Callable[..., None]
FOUR = {"batch_size": 4, "images": 16}


def weights(run: Path) -> dict[str, Tensor]:
    return load_checkpoint(max(run.glob("step-*")))["weights"]


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, bool]:
    return {name: torch.equal(tensor, other[name]) for name, tensor in one.items()}


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("component", "settings"),
    [
        ("clip", {"muon_learning_rate": 0.02}),
        ("prior", {"micro_batches": 2}),
        ("prior_ar", {"micro_batches": 2, "precision": "bfloat16"}),
        ("decoder", {**FOUR, "dropout": 0.2, "micro_batches": 2, "snr_range": (0.3, 5.0)}),
        ("decoder", {**FOUR, "dropout": 0.2, "muon_learning_rate": 0.02}),
        ("upsampler256", {**FOUR, "dropout": 0.2, "precision": "bfloat16"}),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    order: Make, train: Train, contents: Callable[[Path], Any], component: str, settings: dict[str, Any]
) -> None:
    straight = order(component, "straight", decay_share=0.5, **settings)
    train(straight)
    broken = order(component, "broken", decay_share=0.5, **settings)
    for _ in range(2):
        torch.rand(5)  # the process's own randomness plays no part
        train(broken, should_stop=lambda: True)
    assert (broken.run / "step-2").exists()
    kept = contents(straight.run)
    assert {"step-4/manifest.json", "metrics.jsonl"} <= kept.keys()
    assert {name: data for name, data in contents(broken.run).items() if "step-2" not in name} == kept


def test_other_seeds_and_batches_give_other_weights(order: Make, train: Train) -> None:
    first, second = order("upsampler256", "first"), order("upsampler256", "second", seed=1)
    train(first)
    train(second)
    assert not torch.equal(
        weights(first.run)["unet.conv_in.weight"], weights(second.run)["unet.conv_in.weight"]
    )


def test_a_finished_run_has_nothing_left_to_do(
    order: Make, train: Train, contents: Callable[[Path], Any]
) -> None:
    finished = order("upsampler256")
    train(finished)
    before = contents(finished.run)
    assert list(begin(finished).train()) == []
    assert contents(finished.run) == before


@dataclass(frozen=True)
class Brightness(WholePictures):
    """A linear network learns the mean of each picture: the loss of a batch is the mean over its rows."""

    scale: float = 1.0

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        del generator
        pixels = batch.pixels(torch.device("cpu"))
        guess = network(pixels[:, :, ::16, ::16].flatten(1))
        return self.scale * (guess - pixels.mean(dim=(1, 2, 3))[:, None]).square().mean()

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        del generator
        return {"batch": float(len(batch)), "training": float(network.training)}

    def sheet(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        pixels = batch.pixels(torch.device("cpu"))
        return [pixels, torch.zeros_like(pixels)]


@pytest.fixture
def linear(order: Make) -> Callable[..., Any]:
    """Trainers of a linear network."""

    def make(run: str, task: Brightness = Brightness(), **train: Any) -> Any:
        trainer = begin(order("upsampler256", run, **train))
        torch.manual_seed(0)
        return replace(trainer, task=task, network=nn.Linear(48, 1))

    return make


def test_micro_batches_have_the_gradient_of_their_batch(linear: Callable[..., Any]) -> None:
    whole, parts = linear("whole"), linear("parts", micro_batches=4)
    for trainer in (whole, parts):
        list(trainer.train())
    for one, other in zip(metrics(whole.run), metrics(parts.run), strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    torch.testing.assert_close(weights(parts.run), weights(whole.run), rtol=1e-5, atol=1e-6)


def test_recomputed_activations_give_the_same_weights(order: Make, train: Train) -> None:
    kept = order("decoder", "kept", dropout=0.2, **FOUR)
    train(kept)
    trainer = begin(order("decoder", "recomputed", dropout=0.2, checkpointing=True, **FOUR))
    list(trainer.train())
    parts = [m for m in trainer.network.modules() if isinstance(m, UNet | Transformer)]
    assert len(parts) == 2
    assert all(part.checkpointing for part in parts)
    assert all(equal(weights(trainer.run), weights(kept.run)).values())


def test_reports_count_images_and_agree_with_the_log(order: Make) -> None:
    trainer = begin(order("upsampler256", images=36))
    reports = list(trainer.train())
    assert [(report.step, report.images) for report in reports] == [(2, 16), (4, 32), (5, 40)]
    assert [{"step": report.step, **report.metrics} for report in reports] == metrics(trainer.run)
    assert all(report.images_per_second > 0 for report in reports)
    assert reports[-1].seconds_left == 0
    assert len((trainer.run / "timing.jsonl").read_text().splitlines()) == 3


def test_a_probe_sees_the_network_without_dropout(linear: Callable[..., Any]) -> None:
    trainer = linear("run")
    list(trainer.train())
    assert [(line["training"], line["batch"]) for line in metrics(trainer.run)] == [(False, 8)] * 2
    assert trainer.network.training


def test_a_run_saves_where_it_is_stopped_and_when_time_has_passed(order: Make, train: Train) -> None:
    stopped = order("upsampler256", "stopped", log_steps=1)
    train(stopped, should_stop=lambda: True)
    assert [path.name for path in stopped.run.glob("step-*")] == ["step-1"]
    often = order("upsampler256", "often", log_steps=1, checkpoint_minutes=0.0)
    train(often)
    assert sorted(path.name for path in often.run.glob("step-*")) == ["step-3", "step-4"]


def test_a_loss_that_is_no_number_is_not_saved(linear: Callable[..., Any]) -> None:
    trainer = linear("run", Brightness(scale=float("inf")))
    with pytest.raises(DataError, match=r"by step 2 the loss is nan .* lower learning rate") as caught:
        list(trainer.train())
    assert "\n" not in str(caught.value)
    assert not list(trainer.run.glob("step-*"))


def test_a_sheet_has_a_row_per_kind_and_leaves_the_weights(linear: Callable[..., Any]) -> None:
    drawn = linear("drawn", sheet_minutes=0.0)
    seldom = linear("seldom")
    for trainer in (drawn, seldom):
        list(trainer.train())
    assert [path.name for path in (seldom.run / "samples").iterdir()] == ["step-4.png"]
    assert len(list((drawn.run / "samples").iterdir())) == 2
    with Image.open(drawn.run / "samples" / "step-4.png") as sheet:
        assert sheet.size == (4 * 64, 2 * 64)
    assert all(equal(weights(drawn.run), weights(seldom.run)).values())


def test_a_sheet_shows_the_widest_average(linear: Callable[..., Any]) -> None:
    trainer, shown = linear("run"), list[Tensor]()

    @dataclass(frozen=True)
    class Shown(Brightness):
        def sheet(self, network: nn.Module, batch: Batch) -> list[Tensor]:
            shown.append(network.state_dict()["weight"].clone())
            return super().sheet(network, batch)

    list(replace(trainer, task=Shown()).train())
    widest = load_checkpoint(trainer.run / "step-4")["ema-0.100"]["weight"]
    assert torch.equal(shown[-1], widest)
    assert not torch.equal(widest, weights(trainer.run)["weight"])
