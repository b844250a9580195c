"""What Analytic-DPM needs to know of a trained prior: how large the noise is that it predicts."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Generator, Tensor

from unclip.checkpoints.configs import config_to_json, write_json
from unclip.checkpoints.store import read_system_file
from unclip.data.example import Pictures
from unclip.diffusion.guides import Conditions
from unclip.diffusion.noise import generator
from unclip.errors import RequestError
from unclip.images import to_tensor
from unclip.models.prior import Prior
from unclip.system import Stage
from unclip.training.conditions import TextConditions
from unclip.training.state import writing

ROWS = 64  # of one network call

Rows = list[tuple[Tensor, Conditions]]  # by network calls: whitened embeddings, b d, and their captions
Say = Callable[[str, int, int], None]  # is told a part's name, how much of it is done, and of how much


def measure_moments(
    stage: Stage[Prior],
    conditions: TextConditions,
    pictures: Pictures,
    count: int,
    points: int,
    say: Say = lambda part, done, of: None,
) -> tuple[float, ...]:
    """Return E||eps||^2 / d of the noise predicted at `points` timesteps, spread evenly from 0 to the last.

    Over the first `count` pictures, each with noise of its own at every timestep; the prior is told the
    caption, and its x0 is clamped as in sampling. Source: Bao et al. 2022, section 3.
    """
    rows: Rows = []
    for start in range(0, count, ROWS):
        stop = min(start + ROWS, count)
        rows.append(_rows(stage.network, conditions, pictures, range(start, stop)))
        say("pictures", stop, count)
    last = stage.process.config.num_train_steps - 1
    draw = generator(rows[0][0].device, "moments")
    moments = list[float]()
    for point in range(points):
        moments.append(_moment(stage, rows, round(point / max(points - 1, 1) * last), draw))
        say("timesteps", point + 1, points)
    return tuple(moments)


def _rows(
    prior: Prior, conditions: TextConditions, pictures: Pictures, indices: range
) -> tuple[Tensor, Conditions]:
    examples = [pictures.example(index, conditions.clip.config.image_size) for index in indices]
    device = prior.clip_mean.device
    pixels = torch.cat([to_tensor(example.image[None]) for example in examples]).to(device)
    captions = conditions.text([example.caption for example in examples])
    return prior.whiten(conditions.image(pixels)), captions


@torch.no_grad()
def _moment(stage: Stage[Prior], rows: Rows, t: int, draw: Generator) -> float:
    """Return the moment at one timestep.

    What is averaged is by how much the predicted noise exceeds that drawn, whose mean square is 1: where
    hardly anything but noise is left the two are nearly one, and their difference is far surer than either.
    """
    exceeding = torch.cat(list(_exceeding(stage, rows, t, draw)))
    return 1 + exceeding.mean().item()


def _exceeding(stage: Stage[Prior], rows: Rows, t: int, draw: Generator) -> Iterator[Tensor]:
    process = stage.process
    for x0, captions in rows:
        ts = torch.full((len(x0),), t, device=x0.device)
        noise = torch.randn(x0.shape, generator=draw, device=x0.device)
        x_t = process.q_sample(x0, ts, noise)
        prediction = process.predict(stage.network(x_t, ts, **captions), x_t, ts)
        eps = process.clamped(prediction, x_t, ts).eps
        yield (eps.square() - noise.square()).mean(dim=1)


def write_measured(model: Path, out: Path, moments: tuple[float, ...]) -> None:
    """Copy a model folder, with the moments of its prior: whole or not at all, its weights as they are.

    Raises RequestError if `out` is there already or the model has no prior, CheckpointError if it is no
    model, DataError if it cannot be written.
    """
    check_free(out)
    file = read_system_file(model)
    if "prior" not in file.stages:
        raise RequestError(f"{model} has no prior: choose a model that has one")
    measured = replace(file.stages["prior"], eps_moments=moments)
    file = replace(file, stages={**file.stages, "prior": measured})
    partial = out.with_name(f"{out.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(out):
            shutil.copytree(model, partial)
            write_json(partial / "system.json", config_to_json(file))
            partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_free(out: Path) -> None:
    """Raise RequestError if something is in the place of a new folder."""
    if out.exists():
        raise RequestError(f"{out} is there already: choose another folder")
