"""Whether a decoder knows the pictures that it was trained on from others of their kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unclip.data.example import Example, Pictures
from unclip.diffusion.guides import Conditions
from unclip.diffusion.noise import seeded_noise
from unclip.evaluation.metrics import Interval
from unclip.evaluation.ranks import auc
from unclip.images import to_tensor
from unclip.models.decoder import Decoder
from unclip.system import Stage

TIMES = (0.1, 0.3, 0.5, 0.7)  # as shares of the training timesteps
BATCH = 16


@runtime_checkable  # for the checks of types in tests
class Reader(Protocol):
    """Turns captions and pictures into a decoder's conditions (see `TextConditions`)."""

    def text(self, captions: Sequence[str]) -> Conditions:
        """Return text_embed, text_encodings and text_mask of captions."""
        ...

    def image(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Return image embeddings."""
        ...


@dataclass(frozen=True)
class Membership:
    """How well the loss tells training pictures from held-out ones: 0.5 not at all, 1 without error.

    overall: by the mean over timesteps, each loss as a share of the mean loss at its timestep.
    """

    pictures: tuple[int, int]  # of training, held out
    timesteps: tuple[int, ...]
    by_timestep: tuple[Interval, ...]
    overall: Interval


def losses(
    stage: Stage[Decoder], reader: Reader, pictures: Pictures, count: int, say: Callable[[int], None]
) -> Float[Tensor, "n k"]:
    """Return the squared error of x0, of pictures 0 to `count` at every timestep of `timesteps`.

    The noise is a function of the picture's index and the timestep. `say` hears how many pictures are done.
    """
    size, rows = stage.network.config.image_size, list[Tensor]()
    for start in range(0, count, BATCH):
        indices = range(start, min(start + BATCH, count))
        examples = [pictures.example(index, size) for index in indices]
        rows.append(_losses(stage, reader, examples, indices))
        say(indices.stop)
    return torch.cat(rows)


def timesteps(stage: Stage[Decoder]) -> tuple[int, ...]:
    """Return the timesteps that losses are taken at."""
    return tuple(int(time * len(stage.process.schedule.betas)) for time in TIMES)


@torch.no_grad()
def _losses(
    stage: Stage[Decoder], reader: Reader, examples: Sequence[Example], indices: range
) -> Float[Tensor, "b k"]:
    device = next(stage.network.parameters()).device
    x0 = to_tensor(np.stack([example.image for example in examples])).to(device)
    text = reader.text([example.caption for example in examples])
    present = torch.ones(len(x0), dtype=torch.bool, device=device)
    given = {"image_embed": reader.image(x0), "image_mask": present, **text}
    noise = seeded_noise(indices, "membership", tuple(x0.shape[1:]), device)
    columns = list[Tensor]()
    for timestep in timesteps(stage):
        t = torch.full((len(x0),), timestep, device=device)
        x_t = stage.process.q_sample(x0, t, noise())
        guess = stage.process.predict(stage.network(x_t, t, **given).float(), x_t, t).x0
        columns.append((guess - x0).square().flatten(1).mean(dim=1))
    return torch.stack(columns, dim=1).cpu()


def membership(
    trained: Float[Tensor, "n k"], heldout: Float[Tensor, "m k"], timesteps: tuple[int, ...]
) -> Membership:
    """Compare the losses of pictures that a decoder was trained on with those of others.

    Source: Yeom et al. 2018 (arXiv 1709.01604), the attack by the loss; Carlini et al. 2023, section 5.2.
    """
    usual = torch.cat([trained, heldout]).mean(dim=0)
    return Membership(
        (len(trained), len(heldout)),
        timesteps,
        tuple(auc(one, other) for one, other in zip(trained.T, heldout.T, strict=True)),
        auc((trained / usual).mean(dim=1), (heldout / usual).mean(dim=1)),
    )
