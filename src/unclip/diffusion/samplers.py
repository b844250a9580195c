"""Samplers: each asks for predictions, is answered, and returns the clean sample.

A sampler is one plain generator over a schedule: it yields `Query(x_t, t)`, is sent a `Prediction`, and walks
through `schedule.timesteps`. Where those rise again, it is noised that far again without a query (see
`schedule.resampled`). It knows neither network nor guidance nor batch.
"""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
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
Deviation = Callable[[Schedule, int, int, Prediction], float | Tensor]  # of a step from t to t_next


def _steps(schedule: Schedule) -> Iterator[tuple[int, int]]:
    """Pairs of a timestep and the one that follows it; -1 is the clean sample."""
    return pairwise([*schedule.timesteps, -1])


def _noised_again(schedule: Schedule, x_t: Tensor, t: int, t_next: int, noise: Noise) -> Tensor:
    """Go back from `t` to the noisier `t_next`."""
    kept = schedule.alpha_bar(t_next) / schedule.alpha_bar(t)
    return math.sqrt(kept) * x_t + math.sqrt(1 - kept) * noise()


def _ancestral(schedule: Schedule, x_t: Tensor, noise: Noise, deviation: Deviation) -> Sampling:
    """Draw each step around the posterior's mean. Source: Ho et al. 2020, algorithm 2 and equation 7."""
    for t, t_next in _steps(schedule):
        if t_next > t:
            x_t = _noised_again(schedule, x_t, t, t_next, noise)
            continue
        prediction = yield Query(x_t, t)
        posterior = schedule.posterior(t, t_next)
        x_t = posterior.x0 * prediction.x0 + posterior.x_t * x_t
        if t_next >= 0:
            x_t = x_t + deviation(schedule, t, t_next, prediction) * noise()
    return x_t


def ddpm(schedule: Schedule, x_t: Tensor, noise: Noise) -> Sampling:
    """Draw each step from the posterior, with the predicted variance if there is one.

    Source: Ho et al. 2020, algorithm 2; steps between respaced timesteps and their learned variance as in
    Nichol & Dhariwal 2021, section 4.
    """
    return _ancestral(schedule, x_t, noise, _learned_deviation)


def _learned_deviation(schedule: Schedule, t: int, t_next: int, prediction: Prediction) -> float | Tensor:
    """Deviation of the lower variance, or of where the prediction says between the two, in log space."""
    posterior, mix = schedule.posterior(t, t_next), prediction.variance_mix
    if mix is None:
        return posterior.deviation
    return (0.5 * (mix * posterior.log_beta + (1 - mix) * posterior.log_variance)).exp()


def ddim(schedule: Schedule, x_t: Tensor, noise: Noise, eta: float = 0.0) -> Sampling:
    """Step along the predicted noise; `eta` in [0, 1] sets how much of it is drawn anew (1: as much as DDPM).

    Source: Song et al. 2021, equations 12 and 16.
    """
    for t, t_next in _steps(schedule):
        if t_next > t:
            x_t = _noised_again(schedule, x_t, t, t_next, noise)
            continue
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
    previous_x0: Tensor | None = None
    previous_h = math.inf
    for t, t_next in _steps(schedule):
        if t_next > t:
            x_t, previous_x0 = _noised_again(schedule, x_t, t, t_next, noise), None
            continue
        prediction = yield Query(x_t, t)
        h = (schedule.log_snr(t_next) - schedule.log_snr(t)) / 2  # step in lambda = ln(alpha / sigma)
        x0 = prediction.x0
        if previous_x0 is not None and t_next >= 0:
            x0 = x0 + (h / previous_h / 2) * (x0 - previous_x0)
        now, then = schedule.alpha_bar(t), schedule.alpha_bar(t_next)
        x_t = math.sqrt((1 - then) / (1 - now)) * x_t - math.sqrt(then) * math.expm1(-h) * x0
        previous_x0, previous_h = prediction.x0, h
    return x_t


def ddim_inversion(schedule: Schedule, x0: Tensor, refinements: int = 0) -> Sampling:
    """Walk from the clean sample up to the noise that `ddim` with eta = 0 takes to it.

    A step up is the solution x of x = sqrt(then / now) x_t + (sqrt(1 - then) - sqrt((1 - now) then / now))
    eps(x), found by iteration: the eps of the step before gives the first guess, and every query, 1 +
    `refinements` a step, a better one. Returns x_T.
    Source: Dhariwal & Nichol 2021, appendix F; the iteration, Pan et al. 2023 (arXiv 2309.04907).
    """
    x_t, eps = x0, torch.zeros_like(x0)
    for t, t_next in pairwise([-1, *reversed(schedule.timesteps)]):
        now, then = schedule.alpha_bar(t), schedule.alpha_bar(t_next)
        start = math.sqrt(then / now) * x_t
        by_eps = math.sqrt(1 - then) - math.sqrt((1 - now) * then / now)
        for _ in range(1 + refinements):
            prediction = yield Query(start + by_eps * eps, t_next)
            eps = prediction.eps
        x_t = start + by_eps * eps
    return x_t


def glance(x_t: Tensor, t: int) -> Sampling:
    """Ask once and return the x0 predicted there."""
    prediction = yield Query(x_t, t)
    return prediction.x0


SAMPLERS: dict[str, Sampler] = {"ddpm": ddpm, "ddim": ddim, "dpm++": dpm_solver_pp}


def analytic(
    schedule: Schedule,
    x_t: Tensor,
    noise: Noise,
    moments: Callable[[int], float],
    x0_variance: float = 1.0,
) -> Sampling:
    """Draw each step as `ddpm` does, with the variance that the mean square of the predicted noise tells.

    sigma^2 = lambda^2 + (sqrt((1 - now) / alpha) - sqrt(1 - then - lambda^2))^2 (1 - moment), where now and
    then are alpha_bar before and after the step, alpha = now / then, and lambda^2 is the posterior's
    variance. `moments` gives E||eps||^2 / d at a timestep; from 1 on, sigma is that of `ddpm`. `x0_variance`
    is the largest variance that x0 can have, given x_t: 1 for pictures in [-1, 1] and for what is whitened.
    Source: Bao et al. 2022, theorem 1, and theorem 2 for the bound.
    """

    def deviation(schedule: Schedule, t: int, t_next: int, prediction: Prediction) -> float:
        del prediction
        now, posterior = schedule.alpha_bar(t), schedule.posterior(t, t_next)
        moment = min(max(moments(t), 0.0), 1.0)
        # Of x0, given x_t. Where little of x0 is left, an error of the moment grows a thousandfold.
        variance = min((1 - moment) * (1 - now) / now, x0_variance)
        return math.sqrt(posterior.deviation**2 + posterior.x0**2 * variance)

    return _ancestral(schedule, x_t, noise, deviation)


def moment_at(moments: Sequence[float], t: int, num_train_steps: int) -> float:
    """Return the moment at timestep `t`, between `moments` at timesteps spread evenly from 0 to the last."""
    place = t / max(num_train_steps - 1, 1) * (len(moments) - 1)
    left = min(int(place), max(len(moments) - 2, 0))
    share = place - left
    return moments[left] if share == 0 else (1 - share) * moments[left] + share * moments[left + 1]
