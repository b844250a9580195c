"""Noise schedules: how much of the picture is left at every timestep."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float

from unclip.errors import RequestError

Table = Float[np.ndarray, " T"]  # float64, and float32 where that is to be followed
Spacing = Literal["linspace", "trailing"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """Frozen tables over the training timesteps (0 = least noise), and the timesteps that sampling visits."""

    betas: Table
    alphas_cumprod: Table
    timesteps: tuple[int, ...]  # in the order visited, normally falling

    @property
    def num_steps(self) -> int:
        """How often a sampler asks: at every timestep but those that a higher one follows."""
        return sum(t_next < t for t, t_next in pairwise([*self.timesteps, -1]))

    def alpha_bar(self, t: int) -> float:
        """Return the share of signal variance left at `t`; 1 at t = -1, the clean picture."""
        return 1.0 if t < 0 else float(self.alphas_cumprod[t])

    def posterior(self, t: int, t_next: int) -> "Posterior":
        """Return q(x_{t_next} | x_t, x0) for t_next < t, computed in the precision of the tables.

        Source: Ho et al. 2020, equations 6 and 7.
        """
        rounded = self.alphas_cumprod.dtype.type
        one = rounded(1)
        now, then = self.alphas_cumprod[t], self.alphas_cumprod[t_next] if t_next >= 0 else one
        beta = self.betas[t] if t_next == t - 1 else one - now / then  # the same but for rounding
        variance = (one - then) / (one - now) * beta
        log_variance = rounded(math.log(max(variance, 1e-20)))  # the variance is 0 at the clean sample
        return Posterior(
            x0=float(np.sqrt(then) * beta / (one - now)),
            x_t=float(np.sqrt(one - beta) * (one - then) / (one - now)),
            log_variance=float(log_variance),
            log_beta=float(rounded(math.log(beta))),
            deviation=float(rounded(math.exp(log_variance / 2))),
        )

    def log_snr(self, t: int) -> float:
        """Return ln(alpha_bar / (1 - alpha_bar)); infinite at t = -1."""
        alpha_bar = self.alpha_bar(t)
        return math.inf if alpha_bar == 1.0 else math.log(alpha_bar / (1 - alpha_bar))


@dataclass(frozen=True)
class Posterior:
    """A step back: the mean is x0 and x_t times these factors; beta is the variance of the step undone."""

    x0: float
    x_t: float
    log_variance: float
    log_beta: float
    deviation: float  # the root of the variance


def from_betas(betas: Table) -> Schedule:
    """Make a schedule that visits every timestep."""
    return Schedule(betas, np.cumprod(1 - betas), tuple(reversed(range(len(betas)))))


def cosine(num_train_steps: int = 1000) -> Schedule:
    """alpha_bar(s) = cos^2(((s + 0.008) / 1.008) pi / 2), each beta at most 0.999.

    Source: Nichol & Dhariwal 2021, equation 17.
    """
    edges = np.arange(num_train_steps + 1, dtype=np.float64) / num_train_steps
    alpha_bar = np.cos((edges + 0.008) / 1.008 * np.pi / 2) ** 2
    return from_betas(np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999))


def cosine_float32(num_train_steps: int = 1000) -> Schedule:
    """`cosine` as diffusers' UnCLIPScheduler tabulates it, in float32.

    The rounding is seen: 1 - alpha_bar(0) is beta_0 and 5e-4 of it, so that pictures lose so much contrast.
    """
    betas = cosine(num_train_steps).betas.astype(np.float32)
    alphas_cumprod = np.cumprod((1 - betas).astype(np.float64)).astype(np.float32)
    return replace(from_betas(betas), alphas_cumprod=alphas_cumprod)


def linear(num_train_steps: int = 1000) -> Schedule:
    """Betas that rise evenly from 1e-4 to 0.02 over 1,000 steps, and in proportion over fewer or more.

    Source: Ho et al. 2020; the proportion, Nichol & Dhariwal 2021.
    """
    scale = 1000 / num_train_steps
    return from_betas(np.linspace(1e-4 * scale, min(0.02 * scale, 0.999), num_train_steps, dtype=np.float64))


SCHEDULES: dict[str, Callable[[int], Schedule]] = {
    "cosine": cosine,
    "cosine_float32": cosine_float32,
    "linear": linear,
}


def respace(schedule: Schedule, num_steps: int, spacing: Spacing = "linspace") -> Schedule:
    """Visit `num_steps` timesteps spread evenly from the noisiest to 0, or to one step before the clean one.

    "trailing" suits few steps: the last of a "linspace" has hardly any noise left to remove. Raises
    RequestError unless 1 <= num_steps <= the number of training steps. Source: Karlo's spacing; Lin et al.
    2024, table 2.
    """
    last = len(schedule.betas) - 1
    if not 1 <= num_steps <= last + 1:
        raise RequestError(f"steps must be between 1 and {last + 1}, not {num_steps}")
    if spacing == "trailing" or num_steps == 1:
        visited = [round((i + 1) * (last + 1) / num_steps) - 1 for i in range(num_steps)]
    else:
        apart = last / (num_steps - 1)  # divided first: halves are then rounded as Karlo and diffusers do
        visited = [round(i * apart) for i in range(num_steps)]
    return replace(schedule, timesteps=tuple(reversed(visited)))


def resampled(schedule: Schedule, jump: int, times: int) -> Schedule:
    """Walk every `jump` steps of a falling schedule `times` times, noised back in between.

    What is drawn in a hole has so many chances to fit what is known around it. Source: Lugmayr et al. 2022
    (RePaint), section 4.2.
    """
    first, *rest = schedule.timesteps
    visited = [first]
    for start in range(0, len(rest), jump):
        down = rest[start : start + jump]
        visited += down + (times - 1) * [visited[-1], *down]
    return replace(schedule, timesteps=tuple(visited))
