"""Batches as a pure function of the step, drawn in this process or in workers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unclip.data.example import Example
from unclip.images import to_tensor

Draw = Callable[[int], Example]  # the example of an index


@dataclass(frozen=True)
class Batch:
    """Pictures with their captions, and what else their examples know of them."""

    images: UInt8[Tensor, "b h w 3"]
    captions: list[str]
    truths: list[Any] = field(default_factory=list[Any])

    def pixels(self, device: torch.device) -> Float[Tensor, "b 3 h w"]:
        """Return the pictures in [-1, 1] on a device."""
        return to_tensor(self.images.to(device, non_blocking=True))

    def __len__(self) -> int:
        return len(self.captions)

    def part(self, i: int, of: int) -> "Batch":
        """Return the i-th of `of` equal parts."""
        size = len(self) // of
        return self._slice(slice(i * size, (i + 1) * size))

    def first(self, count: int) -> "Batch":
        """Return the first `count` pictures, or all if there are fewer."""
        return self._slice(slice(count))

    def _slice(self, rows: slice) -> "Batch":
        return Batch(self.images[rows], self.captions[rows], self.truths[rows])


class Steps(Dataset[Batch]):
    """The batch of every step: indices step * batch_size and those that follow."""

    def __init__(self, draw: Draw, batch_size: int):
        self.draw = draw
        self.batch_size = batch_size

    def __getitem__(self, step: int) -> Batch:
        """Draw the batch of a step."""
        start = step * self.batch_size
        examples = [self.draw(index) for index in range(start, start + self.batch_size)]
        return Batch(
            torch.from_numpy(np.stack([example.image for example in examples])),
            [example.caption for example in examples],
            [example.truth for example in examples],
        )


def _one_thread(worker: int) -> None:
    del worker
    torch.set_num_threads(1)


def batches(draw: Draw, batch_size: int, steps: range, workers: int) -> Iterator[Batch]:
    """Yield the batches of `steps`, prefetched by worker processes unless `workers` is 0."""
    options: dict[str, Any] = {}
    if workers:
        options = {"multiprocessing_context": "spawn", "prefetch_factor": 4, "worker_init_fn": _one_thread}
    return iter(
        DataLoader(
            Steps(draw, batch_size),
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            **options,
        )
    )
