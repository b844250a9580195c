"""What the tests of training share: squares to learn from, and orders for the tiny preset."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import UInt8

from unclip import presets
from unclip.data.example import Example
from unclip.system import System
from unclip.training import begin, distillation, loop, prior_ar, tasks
from unclip.training.begin import Order
from unclip.training.conditions import TextConditions
from unclip.training.config import TrainConfig

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


@dataclass(frozen=True)
class Squares:
    """Squares of four colours somewhere on grey (see `Pictures`)."""

    def example(self, index: int, size: int) -> Example:
        return Example(self.crop(index, size, size), self.caption(index))

    def crop(self, index: int, size: int, window: int) -> UInt8[np.ndarray, "window window 3"]:
        rng = np.random.default_rng(index)
        image = np.full((window, window, 3), 128, dtype=np.uint8)
        top, left = rng.integers(0, window // 2, 2)
        image[top : top + window // 2, left : left + window // 2] = COLOURS[self._colour(index)]
        return image

    def caption(self, index: int) -> str:
        return f"a {self._colour(index)} square"

    def _colour(self, index: int) -> str:
        return list(COLOURS)[np.random.default_rng(index).integers(4)]


def order(component: str, run: Path, clip: Path | None = None, dropout: float = 0.0, **train: Any) -> Order:
    """Order four steps of a tiny network on squares, a line of metrics every second one."""
    shapes = presets.tiny()
    if dropout:
        network = getattr(shapes, component)
        network = replace(network, unet=replace(network.unet, dropout=dropout))
        shapes = replace(shapes, **{component: network})
    settings = {"images": 32, "batch_size": 8, "learning_rate": 1e-3, "image_size": 64, "warmup_images": 16}
    config = TrainConfig(**{**settings, "log_steps": 2, **train})
    return Order(component, run, Squares(), "squares", shapes, config, clip)


def be_brief(patch: Callable[[object, str, int], None]) -> None:
    """Read few captions and pictures before the first step, and draw small sheets."""
    patch(begin, "CAPTIONS", 50)
    patch(tasks, "WHITENED_ON", 64)
    patch(prior_ar, "FITTED_ON", 64)
    patch(tasks, "SHEET_STEPS", 2)
    patch(distillation, "SHEET_STEPS", 2)
    patch(loop, "SHEET_BATCH", 4)


def train(order: Order, **trainer: Any) -> None:
    for _ in begin.begin(order, **trainer).train():
        pass


def curve(order: Order) -> list[float]:
    """Train, and return the losses of the log."""
    return [report.loss for report in begin.begin(order).train()]


def contents(run: Path) -> dict[str, bytes]:
    """Everything a run keeps but the clock, the weights as their manifests' hashes."""
    kept = ("config.json", "words.json", "metrics.jsonl", "manifest.json", "tokenizer.json")
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.name in kept}


@pytest.fixture(autouse=True, scope="package")
def _brief() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        be_brief(patch.setattr)
        yield


@pytest.fixture(scope="package")
def clip_run(_brief: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of CLIP for others to stand on; tests must not change it."""
    run = tmp_path_factory.mktemp("runs") / "clip"
    train(order("clip", run))
    return run


@pytest.fixture(name="order")
def _order(tmp_path: Path, clip_run: Path) -> Callable[..., Order]:
    def make(component: str, run: str = "run", **settings: Any) -> Order:
        stands_on = clip_run if component in ("prior", "prior_ar", "decoder") else None
        return order(component, tmp_path / run, stands_on, **settings)

    return make


@pytest.fixture(name="contents")
def _contents() -> Callable[[Path], dict[str, bytes]]:
    return contents


@pytest.fixture(name="curve")
def _curve() -> Callable[[Order], list[float]]:
    return curve


@pytest.fixture(name="train")
def _train() -> Callable[..., None]:
    return train


@pytest.fixture(scope="session")
def conditions(system: System) -> TextConditions:
    """The tiny system's CLIP and tokenizer."""
    return TextConditions(system.clip, system.tokenizer)
