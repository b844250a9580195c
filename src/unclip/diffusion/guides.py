"""Guides: what stands between a sampler and a network.

A guide takes a `Query`, yields the `Rows` a network should evaluate, is sent the outputs, and returns one
`Prediction`. Guides compose by taking another guide; none of them hears of batches beyond its own rows.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from unclip.diffusion.process import Prediction, Process
from unclip.diffusion.samplers import Noise, Query

Conditions = Mapping[str, Tensor]  # by the network's argument name, one row per sample


@dataclass(frozen=True)
class Rows:
    """Inputs of one network call; every row has its own timestep."""

    x_t: Shaped[Tensor, " b *x"]
    t: Int[Tensor, " b"]
    conditions: Conditions


Guidance = Generator[Rows, Tensor, Prediction]
Guide = Callable[[Query], Guidance]


@runtime_checkable  # for the checks of types in tests
class Meaning(Protocol):
    """What tells a network's output for a prediction: a `Process`, or `Logits` of tokens."""

    def predict(self, output: Tensor, x_t: Tensor, t: Tensor) -> Prediction:
        """Read the network's output at x_t."""
        ...

    def completed(self, x0: Tensor, x_t: Tensor, t: Tensor, variance_mix: Tensor | None = None) -> Prediction:
        """Return x0 as a prediction at x_t."""
        ...


def _timesteps(query: Query) -> Int[Tensor, " b"]:
    return torch.full((len(query.x_t),), query.t, dtype=torch.int64, device=query.x_t.device)


def conditional(process: Meaning, conditions: Conditions) -> Guide:
    """Ask the network once, under the conditions."""

    def guide(query: Query) -> Guidance:
        t = _timesteps(query)
        output = yield Rows(query.x_t, t, conditions)
        return process.predict(output, query.x_t, t)

    return guide


def classifier_free(
    process: Meaning,
    conditions: Conditions,
    unconditional: Conditions,
    scale: float,
    interval: tuple[int, int] | None = None,
    rescale: float = 0.0,
) -> Guide:
    """Ask with and without the conditions, and move away from the latter: u + scale (c - u).

    A scale of 1 costs no second row, nor do timesteps outside `interval` (both ends included; None is
    everywhere). The variance is the conditional one's. `rescale` in [0, 1] takes the guided x0, which a
    scale above 1 spreads, that far back to the standard deviation of the conditional one.
    Source: Ho & Salimans 2021; the interval, Kynkaanniemi et al. 2024; rescaling, Lin et al. 2024, section
    3.4.
    """
    plain = conditional(process, conditions)
    rows = {name: torch.cat([unconditional[name], conditions[name]]) for name in conditions}

    def guide(query: Query) -> Guidance:
        if scale == 1 or (interval is not None and not interval[0] <= query.t <= interval[1]):
            return (yield from plain(query))
        t = _timesteps(query)
        output = yield Rows(torch.cat([query.x_t, query.x_t]), torch.cat([t, t]), rows)
        without, with_ = output.chunk(2)
        # Moved before it is read: where there is hardly any signal, x0 is eps times many thousands.
        guided = process.predict(without + scale * (with_ - without), query.x_t, t)
        plainly = process.predict(with_, query.x_t, t)
        if rescale == 0:
            return Prediction(guided.x0, guided.eps, plainly.variance_mix)
        x0 = _rescaled(guided.x0, plainly.x0, rescale)
        return process.completed(x0, query.x_t, t, plainly.variance_mix)

    return guide


def _rescaled(
    x0: Float[Tensor, " b *x"], like: Float[Tensor, " b *x"], rescale: float
) -> Float[Tensor, " b *x"]:
    """Scale each row of x0 towards the standard deviation of the same row of `like`: all the way at 1."""
    deviation, wanted = (rows.flatten(1).std(dim=1, correction=0) for rows in (x0, like))
    ratio = (wanted + 1e-6) / (deviation + 1e-6)  # a flat row stays as it is
    return x0 * (1 - rescale + rescale * ratio).view(-1, *[1] * (x0.ndim - 1))


def clamp(process: Process, guide: Guide) -> Guide:
    """Keep the predicted x0 within the process's range."""

    def clamped(query: Query) -> Guidance:
        prediction = yield from guide(query)
        return process.clamped(prediction, query.x_t, _timesteps(query))

    return clamped


def dynamic_threshold(process: Process, guide: Guide, percentile: float) -> Guide:
    """Keep the predicted x0 within the process's range, as `clamp` does, without saturating it.

    s = max(limit, the quantile of |x0| at `percentile`, in (0, 1]), per row; x0 is clamped to [-s, s] and
    multiplied by limit / s. At 1 nothing is cut off. Source: Saharia et al. 2022, section 2.3.
    """

    def thresholded(query: Query) -> Guidance:
        prediction = yield from guide(query)
        x0 = _thresholded(prediction.x0, process.config.x0_limit, percentile)
        return process.completed(x0, query.x_t, _timesteps(query), prediction.variance_mix)

    return thresholded


def _thresholded(x0: Float[Tensor, " b *x"], limit: float, percentile: float) -> Float[Tensor, " b *x"]:
    s = x0.flatten(1).abs().float().quantile(percentile, dim=1).clamp(min=limit)
    s = s.to(x0.dtype).view(-1, *[1] * (x0.ndim - 1))
    return x0.clamp(-s, s) * (limit / s)


def fused(process: Process, guide: Guide, error: Float[Tensor, " b"]) -> Guide:
    """Weigh the predicted x0 with x_t, which is an estimate of x0 too, each by its inverse variance.

    x0 <- (error^2 x_t / a + s^2 x0) / (error^2 + s^2), with a and s a the scales of signal and noise, and
    `error` the network's own: the root mean square error of its x0, per row, where there is hardly noise. A
    network that predicts x0 loses fine detail there, and the eps that follows would be many times too large.
    At an error of 0 nothing changes.
    """

    def guided(query: Query) -> Guidance:
        prediction = yield from guide(query)
        t = _timesteps(query)
        signal, sigma = process.scales(t, query.x_t)
        network, noise = error.view(signal.shape).square(), (sigma / signal).square()
        x0 = (network * query.x_t / signal + noise * prediction.x0) / (network + noise)
        return process.completed(x0, query.x_t, t, prediction.variance_mix)

    return guided


def known_region(
    process: Process,
    guide: Guide,
    known: Float[Tensor, " b *x"],
    mask: Bool[Tensor, " b *x"],
    noise: Noise,
) -> Guide:
    """Keep x0 at `known` where `mask` is True, and show the network those parts as noisy as the rest.

    Source: Lugmayr et al. 2022 (RePaint), equation 8.
    """

    def guided(query: Query) -> Guidance:
        t = _timesteps(query)
        x_t = torch.where(mask, process.q_sample(known, t, noise()), query.x_t)
        prediction = yield from guide(Query(x_t, query.t))
        x0 = torch.where(mask, known, prediction.x0)
        return process.completed(x0, query.x_t, t, prediction.variance_mix)

    return guided
