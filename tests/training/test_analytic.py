"""Moments of the predicted noise, where they are known in closed form, and the model that keeps them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from unclip.checkpoints.store import load_system, save_system
from unclip.data.example import Example, Pictures
from unclip.diffusion.process import Process, ProcessConfig
from unclip.errors import DataError, RequestError
from unclip.images import to_tensor
from unclip.models.prior import Prior
from unclip.system import Stage, System
from unclip.training import analytic
from unclip.training.analytic import measure_moments, write_measured
from unclip.training.conditions import TextConditions

PROCESS = Process(ProcessConfig(num_train_steps=100, x0_limit=5.0))
COUNT = 160


class Reds:
    """Reds of every strength (see `Pictures`), each asked for once."""

    def __init__(self) -> None:
        self.asked = list[int]()

    def example(self, index: int, size: int) -> Example:
        self.asked.append(index)
        image = torch.zeros(size, size, 3, dtype=torch.uint8)
        image[: size // 2, :, 0] = index
        return Example(image.numpy(), "a red cube" if index % 2 else "a blue apple on a table")

    def crop(self, index: int, size: int, window: int) -> Any:
        raise AssertionError

    def caption(self, index: int) -> str:
        raise AssertionError


def saying(system: System, answer: Callable[..., Tensor], process: Process = PROCESS) -> Stage[Prior]:
    """A prior that answers by a function."""
    assert system.prior is not None
    prior = Prior(system.prior.network.config).eval()
    prior.clip_std.fill_(0.25)  # of 16 numbers whose squares add up to 1
    prior.forward = answer
    return Stage(prior, process, system.prior.defaults)


def embeddings(stage: Stage[Prior], conditions: TextConditions) -> Tensor:
    images = torch.stack([to_tensor(Reds().example(index, 64).image) for index in range(COUNT)])
    return stage.network.whiten(conditions.image(images))


def alpha_bars(points: int) -> Tensor:
    steps = [round(point * 99 / (points - 1)) for point in range(points)]
    return torch.tensor([PROCESS.schedule.alpha_bar(t) for t in steps])


def test_a_prior_that_knows_predicts_the_noise_itself(system: System, conditions: TextConditions) -> None:
    x0 = embeddings(saying(system, lambda *_: x0), conditions)[: analytic.ROWS]
    knows = saying(system, lambda x_t, t, **_: x0)
    assert x0.abs().max() < 5
    assert measure_moments(knows, conditions, Reds(), len(x0), 7) == pytest.approx([1] * 7, abs=1e-4)


@pytest.mark.parametrize(("said", "taken"), [(0.0, 0.0), (2.0, 2.0), (100.0, 5.0)])
def test_what_a_prior_gets_wrong_is_added_and_x0_is_clamped(
    system: System, conditions: TextConditions, said: float, taken: float
) -> None:
    """eps = noise + sqrt(alpha_bar / (1 - alpha_bar)) (x0 - x0 as predicted)."""
    stubborn = saying(system, lambda x_t, t, **_: torch.full_like(x_t, said))
    wrong = (embeddings(stubborn, conditions) - taken).square().mean()
    added = alpha_bars(9) / (1 - alpha_bars(9)) * wrong
    found = torch.tensor(measure_moments(stubborn, conditions, Reds(), COUNT, 9))
    four_sigma = 4 * (4 * added / (16 * COUNT)).sqrt() + 1e-5 * added  # of twice its product with noise
    assert ((found - 1 - added).abs() < four_sigma + 1e-6).all()
    assert four_sigma[-1] < 1e-3  # surer than the mean square of so few draws can be


def test_a_shrinking_prior_predicts_less_than_the_noise(system: System, conditions: TextConditions) -> None:
    """The exact prior of whitened data without captions: eps = sqrt(1 - alpha_bar) x_t."""

    def shrinking(x_t: Tensor, t: Tensor, **_: Tensor) -> Tensor:
        return PROCESS.scales(t, x_t)[0] * x_t

    prior = saying(system, shrinking)
    alpha_bar, square = alpha_bars(9), embeddings(prior, conditions).square().mean()
    assert square == pytest.approx(1)
    expected = (1 - alpha_bar) * (alpha_bar * square + 1 - alpha_bar)
    found = measure_moments(prior, conditions, Reds(), COUNT, 9)
    assert found == pytest.approx(expected.tolist(), abs=0.15)


def test_the_prior_is_told_timesteps_and_captions_of_the_first_pictures(
    system: System, conditions: TextConditions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analytic, "ROWS", 3)
    seen, said, pictures = list[tuple[int, int, int]](), list[tuple[str, int, int]](), Reds()
    length = [conditions.text([caption])["text_mask"].sum().item() for caption in ("a red cube", "")]
    assert length[0] > length[1]

    def answer(x_t: Tensor, t: Tensor, text_mask: Tensor, **_: Tensor) -> Tensor:
        seen.append((len(x_t), int(t.unique()), int(text_mask.sum(dim=1).min())))
        return torch.zeros_like(x_t)

    measure_moments(saying(system, answer), conditions, pictures, 5, 3, lambda *part: said.append(part))
    assert [(rows, t) for rows, t, _ in seen] == [(3, 0), (2, 0), (3, 50), (2, 50), (3, 99), (2, 99)]
    assert all(tokens >= length[0] for *_, tokens in seen)
    assert pictures.asked == [0, 1, 2, 3, 4]
    timesteps = [("timesteps", done, 3) for done in (1, 2, 3)]
    assert said == [("pictures", 3, 5), ("pictures", 5, 5), *timesteps]


def test_measuring_again_gives_the_same(system: System, conditions: TextConditions) -> None:
    assert system.prior is not None
    pictures: Pictures = Reds()
    first, again = (measure_moments(system.prior, conditions, pictures, 9, 3) for _ in range(2))
    assert first == again


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_measured_model_differs_in_the_moments_alone(system: System, tmp_path: Path) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    save_system(model, system, int8=True)
    (model / "CREDITS.txt").write_text("whose art it was")
    write_measured(model, out, (0.5, 1.0))
    before, after = files(model), files(out)
    old, new = (json.loads(contents.pop("system.json")) for contents in (before, after))
    assert before == after
    new["stages"]["prior"]["eps_moments"] = []
    assert old == new
    prior = load_system(out).prior
    assert prior is not None
    assert prior.eps_moments == (0.5, 1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


def test_what_is_there_is_not_written_over(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is there already"):
        write_measured(model_folder, tmp_path, (1.0,))
    assert not list(tmp_path.iterdir())


def test_a_model_without_prior_is_refused(system: System, tmp_path: Path) -> None:
    save_system(tmp_path / "model", replace(system, prior=None))
    with pytest.raises(RequestError, match="has no prior"):
        write_measured(tmp_path / "model", tmp_path / "out", (1.0,))


def test_a_copy_that_fails_leaves_nothing(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        target.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(DataError, match="No space left"):
        write_measured(model_folder, tmp_path / "out", (1.0,))
    assert not list(tmp_path.iterdir())
