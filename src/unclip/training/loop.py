"""The training loop: resumable to the bit, reporting as it goes."""

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unclip.data.example import Example, Pictures
from unclip.diffusion.noise import derived_seed, generator
from unclip.errors import DataError
from unclip.images import grid, to_pil
from unclip.models.unet import UNet
from unclip.nn.transformer import Transformer
from unclip.training.batches import Batch, Steps, batches
from unclip.training.config import TrainConfig
from unclip.training.ema import PowerEma, average_name
from unclip.training.optim import build_optimizers, optimizer_tensors, restore_optimizers, set_rate
from unclip.training.state import Log, load_checkpoint, newest_checkpoint, save_checkpoint, writing
from unclip.training.tasks import Task

SHEET_BATCH = 12
PROBE_BATCH = 64
Metrics = dict[str, int | float]


@dataclass(frozen=True)
class Progress:
    """What is reported at every line of the log."""

    step: int
    images: int
    loss: float
    images_per_second: float
    seconds_left: float
    metrics: Metrics


@dataclass(frozen=True)
class Examples:
    """The examples of a task by index; workers get a copy."""

    task: Task
    pictures: Pictures
    size: int

    def __call__(self, index: int) -> Example:
        """Draw one example."""
        return self.task.draw(self.pictures, index, self.size)


@dataclass
class State:
    """Everything that changes in training."""

    network: nn.Module
    optimizers: list[torch.optim.Optimizer]
    averages: dict[str, PowerEma]
    step: int = 0

    @classmethod
    def fresh(cls, network: nn.Module, config: TrainConfig) -> "State":
        """Return the state before the first step."""
        averages = {average_name(width): PowerEma(network, width) for width in config.ema}
        return cls(network, build_optimizers(network, config), averages)

    def restore(self, checkpoint: Path) -> None:
        """Take over a checkpoint's weights, averages and optimizer state."""
        files = load_checkpoint(checkpoint)
        self.step = int(checkpoint.name.removeprefix("step-"))
        self.network.load_state_dict(files["weights"])
        for name, average in self.averages.items():
            for key, tensor in files[name].items():
                average.tensors[key].copy_(tensor)
        restore_optimizers(self.network, self.optimizers, files["optimizer"])

    def save(self, run: Path) -> None:
        """Write a checkpoint."""
        files = {
            "weights": self.network.state_dict(),
            "optimizer": optimizer_tensors(self.network, self.optimizers),
            **{name: average.tensors for name, average in self.averages.items()},
        }
        save_checkpoint(run, self.step, files)


@dataclass
class Trainer:
    """One run of one task; `run` names its folder, which holds config, metrics, sheets and checkpoints."""

    task: Task
    network: nn.Module
    pictures: Pictures
    config: TrainConfig
    run: Path
    device: torch.device
    workers: int = 0
    compiled: bool = False
    should_stop: Callable[[], bool] = lambda: False
    warn: Callable[[str], None] = print
    _forward: nn.Module = field(init=False)

    def train(self) -> Generator[Progress, None, None]:
        """Train to the end of the run, or until `should_stop`, from the newest valid checkpoint.

        Yields at every line of the log. What is computed is a function of config and step alone; the clock
        decides only when to save, to draw a sheet, and to stop. Raises DataError if the disk is full.
        """
        config, state = self.config, self.start()
        log, timing = (Log(self.run / f"{name}.jsonl", state.step) for name in ("metrics", "timing"))
        feed = batches(self.examples, config.batch_size, range(state.step, config.steps), self.workers)
        started = saved = drawn = time.monotonic()
        first_step, taken = state.step, list[Tensor]()
        for batch in feed:
            taken.append(self.step(state, batch))
            if state.step % config.log_steps and state.step < config.steps:
                continue
            metrics = self._metrics(state, batch, taken)
            taken.clear()
            log.write(state.step, metrics)
            now = time.monotonic()
            rate = (state.step - first_step) * config.batch_size / (now - started)
            timing.write(state.step, {"seconds": now - started, "images_per_second": rate})
            left = (config.steps - state.step) * config.batch_size / rate
            yield Progress(state.step, state.step * config.batch_size, metrics["loss"], rate, left, metrics)
            done = state.step >= config.steps or self.should_stop()
            if done or now - saved > 60 * config.checkpoint_minutes:
                state.save(self.run)
                saved = now
            if done or now - drawn > 60 * config.sheet_minutes:
                self._sheet(state)
                drawn = now
            if done:
                return

    @property
    def examples(self) -> Examples:
        """What is learnt from."""
        return Examples(self.task, self.pictures, self.config.image_size)

    def start(self) -> State:
        """Return the state of the newest valid checkpoint, or else that before the first step."""
        self.network.to(self.device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
        for module in self.network.modules():
            if isinstance(module, UNet | Transformer):
                module.checkpointing = self.config.checkpointing
        self._forward = torch.compile(self.network) if self.compiled else self.network  # pyright: ignore[reportAttributeAccessIssue]
        checkpoint = newest_checkpoint(self.run, self.warn)
        if checkpoint is None:
            self.task.prepare(self.network, Steps(self.examples, self.config.batch_size))
        state = State.fresh(self.network, self.config)
        if checkpoint is not None:
            state.restore(checkpoint)
        return state

    def _generator(self, *key: object) -> torch.Generator:
        return generator(self.device, self.config.seed, *key)

    def _autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")

    def step(self, state: State, batch: Batch) -> Tensor:
        """Change the weights once; return the loss and the gradient's norm."""
        parts = self.config.micro_batches
        total = torch.zeros((), device=self.device)
        for i in range(parts):
            torch.manual_seed(derived_seed(self.config.seed, state.step, i, "dropout"))
            with self._autocast():
                loss = self.task.loss(self._forward, batch.part(i, parts), self._generator(state.step, i))
            (loss / parts).backward()
            total += loss.detach() / parts
        norm = nn.utils.clip_grad_norm_(state.network.parameters(), self.config.clip_norm)
        set_rate(state.optimizers, self.config.rate(state.step))
        for optimizer in state.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        state.step += 1
        for average in state.averages.values():
            average.update(state.network, state.step)
        return torch.stack([total, norm])

    @torch.no_grad()
    def _metrics(self, state: State, batch: Batch, taken: list[Tensor]) -> Metrics:
        """Average what the steps since the last line gave, and probe the weights on the last batch."""
        loss, norm = torch.stack(taken).mean(dim=0).tolist()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise DataError(
                f"by step {state.step} the loss is {loss} and the gradient's norm {norm}:"
                " begin another run with a lower learning rate"
            )
        state.network.eval()
        with self._autocast():
            measured = self.task.probe(
                state.network, batch.first(PROBE_BATCH), self._generator(state.step, "probe")
            )
        state.network.train()
        seen, rate = state.step * self.config.batch_size, self.config.rate(state.step - 1)
        return {"images": seen, "loss": loss, "gradient_norm": norm, "rate": rate, **measured}

    @torch.no_grad()
    def _sheet(self, state: State) -> None:
        """Draw a sheet with the widest average in place of the weights."""
        if not state.averages:
            return
        weights = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
        list(state.averages.values())[-1].copy_to(state.network)
        state.network.eval()
        # Examples far beyond the run's own.
        rows = self.task.sheet(state.network, Steps(self.examples, SHEET_BATCH)[10**6])
        state.network.train()
        state.network.load_state_dict(weights)
        if rows:
            path = self.run / "samples" / f"step-{state.step}.png"
            with writing(path):
                path.parent.mkdir(exist_ok=True)
                grid([picture for row in rows for picture in to_pil(row)], SHEET_BATCH).save(path)
