"""Samplers: each asks for predictions, is answered, and returns the clean sample.

A sampler is one plain generator over a schedule: it yields `Query(x_t, t)`, is sent a `Prediction`, and walks
through `schedule.timesteps`. It knows neither network nor guidance nor batch.
"""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from unclip.diffusion.process import Prediction
from unclip.diffusion.schedule import Schedule


@dataclass(frozen=True)
class Query:
    """Asks the guide what x_t, at timestep `t`, is a noised version of."""

    x_t: Tensor
    t: int


Sampling = Generator[Query, Prediction, Tensor]
Noise = Callable[[], Tensor]  # draws standard normal noise of the sample's shape
Sampler = Callable[[Schedule, Tensor, Noise], Sampling]


def _steps(schedule: Schedule) -> Iterator[tuple[int, int]]:
    """Pairs of a timestep and the one that follows it; -1 is the clean sample."""
    return pairwise([*schedule.timesteps, -1])


def ddpm(schedule: Schedule, x_t: Tensor, noise: Noise) -> Sampling:
    """Draw each step from the posterior, with the predicted variance if there is one.

    Source: Ho et al. 2020, algorithm 2; steps between respaced timesteps and their learned variance as in
    Nichol & Dhariwal 2021, section 4.
    """
    for t, t_next in _steps(schedule):
        prediction = yield Query(x_t, t)
        now, then = schedule.alpha_bar(t), schedule.alpha_bar(t_next)
        alpha = now / then
        beta = 1 - alpha
        from_x0, from_x_t = math.sqrt(then) * beta / (1 - now), math.sqrt(alpha) * (1 - then) / (1 - now)
        x_t = from_x0 * prediction.x0 + from_x_t * x_t
        if t_next >= 0:
            x_t = x_t + _std(beta * (1 - then) / (1 - now), beta, prediction.variance_mix) * noise()
    return x_t


def _std(low: float, high: float, mix: Tensor | None) -> float | Tensor:
    """Standard deviation of the lower variance, or of where `mix` says between the two, in log space."""
    if mix is None:
        return math.sqrt(low)
    return (0.5 * (math.log(low) + (math.log(high) - math.log(low)) * mix)).exp()


def ddim(schedule: Schedule, x_t: Tensor, noise: Noise, eta: float = 0.0) -> Sampling:
    """Step along the predicted noise; `eta` in [0, 1] sets how much of it is drawn anew (1: as much as DDPM).

    Source: Song et al. 2021, equations 12 and 16.
    """
    for t, t_next in _steps(schedule):
        prediction = yield Query(x_t, t)
        now, then = schedule.alpha_bar(t), schedule.alpha_bar(t_next)
        sigma = eta * math.sqrt((1 - then) / (1 - now) * (1 - now / then))
        x_t = math.sqrt(then) * prediction.x0 + math.sqrt(1 - then - sigma**2) * prediction.eps
        if sigma > 0:
            x_t = x_t + sigma * noise()
    return x_t


def dpm_solver_pp(schedule: Schedule, x_t: Tensor, noise: Noise) -> Sampling:
    """Second-order multistep solver of the diffusion ODE in x0, the first and last step of first order.

    Source: Lu et al. 2022b, DPM-Solver++(2M), algorithm 2.
    """
    del noise
    previous_x0: Tensor | None = None
    previous_h = math.inf
    for t, t_next in _steps(schedule):
        prediction = yield Query(x_t, t)
        h = (schedule.log_snr(t_next) - schedule.log_snr(t)) / 2  # step in lambda = ln(alpha / sigma)
        x0 = prediction.x0
        if previous_x0 is not None and t_next >= 0:
            x0 = x0 + (h / previous_h / 2) * (x0 - previous_x0)
        now, then = schedule.alpha_bar(t), schedule.alpha_bar(t_next)
        x_t = math.sqrt((1 - then) / (1 - now)) * x_t - math.sqrt(then) * math.expm1(-h) * x0
        previous_x0, previous_h = prediction.x0, h
    return x_t


SAMPLERS: dict[str, Sampler] = {"ddpm": ddpm, "ddim": ddim, "dpm++": dpm_solver_pp}
