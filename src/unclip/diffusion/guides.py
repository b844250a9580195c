"""Guides: what stands between a sampler and a network.

A guide takes a `Query`, yields the `Rows` a network should evaluate, is sent the outputs, and returns one
`Prediction`. Guides compose by taking another guide; none of them hears of batches beyond its own rows.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unclip.diffusion.process import Prediction, Process
from unclip.diffusion.samplers import Query

Conditions = Mapping[str, Tensor]  # by the network's argument name, one row per sample


@dataclass(frozen=True)
class Rows:
    """Inputs of one network call; every row has its own timestep."""

    x_t: Float[Tensor, " b *x"]
    t: Int[Tensor, " b"]
    conditions: Conditions


Guidance = Generator[Rows, Tensor, Prediction]
Guide = Callable[[Query], Guidance]


def _timesteps(query: Query) -> Int[Tensor, " b"]:
    return torch.full((len(query.x_t),), query.t, dtype=torch.int64, device=query.x_t.device)


def conditional(process: Process, conditions: Conditions) -> Guide:
    """Ask the network once, under the conditions."""

    def guide(query: Query) -> Guidance:
        t = _timesteps(query)
        output = yield Rows(query.x_t, t, conditions)
        return process.predict(output, query.x_t, t)

    return guide


def classifier_free(
    process: Process,
    conditions: Conditions,
    unconditional: Conditions,
    scale: float,
    interval: tuple[int, int] | None = None,
) -> Guide:
    """Ask with and without the conditions, and move away from the latter: u + scale (c - u).

    A scale of 1 costs no second row, nor do timesteps outside `interval` (both ends included; None is
    everywhere). The variance is the conditional one's.
    Source: Ho & Salimans 2021; the interval, Kynkaanniemi et al. 2024.
    """
    plain = conditional(process, conditions)
    rows = {name: torch.cat([conditions[name], unconditional[name]]) for name in conditions}

    def guide(query: Query) -> Guidance:
        if scale == 1 or (interval is not None and not interval[0] <= query.t <= interval[1]):
            return (yield from plain(query))
        t = _timesteps(query)
        output = yield Rows(torch.cat([query.x_t, query.x_t]), torch.cat([t, t]), rows)
        with_, without = (process.predict(half, query.x_t, t) for half in output.chunk(2))
        x0 = without.x0 + scale * (with_.x0 - without.x0)
        eps = without.eps + scale * (with_.eps - without.eps)
        return Prediction(x0, eps, with_.variance_mix)

    return guide


def clamp(process: Process, guide: Guide) -> Guide:
    """Keep the predicted x0 within the process's range."""

    def clamped(query: Query) -> Guidance:
        prediction = yield from guide(query)
        return process.clamped(prediction, query.x_t, _timesteps(query))

    return clamped
