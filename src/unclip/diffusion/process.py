"""The diffusion process: noising, what a network's output means, the posterior, and the training losses.

    x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) noise
    v = sqrt(alpha_bar_t) noise - sqrt(1 - alpha_bar_t) x0

Source: Ho et al. 2020; v from Salimans & Ho 2022.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unclip.diffusion.schedule import SCHEDULES, Schedule

PredictionType = Literal["x0", "eps", "v"]
VarianceType = Literal["fixed", "learned_range"]
SnrRange = tuple[float, float]


@dataclass(frozen=True)
class ProcessConfig:
    """How one stage diffuses."""

    schedule: Literal["cosine", "cosine_float32", "linear"] = "cosine"
    num_train_steps: int = 1000
    prediction: PredictionType = "x0"
    variance: VarianceType = "fixed"
    x0_limit: float = 1.0  # sampling clamps x0 to [-x0_limit, x0_limit]


@dataclass(frozen=True)
class Prediction:
    """What a network says of one x_t: the clean sample, the noise, and the variance if that is learned.

    `variance_mix` in [0, 1] moves the log variance from the posterior's (0) to beta's (1);
    Nichol & Dhariwal 2021, equation 15.
    """

    x0: Tensor
    eps: Tensor
    variance_mix: Tensor | None = None


class Process:
    """A schedule together with the meaning of the network's output."""

    def __init__(self, config: ProcessConfig):
        self.config = config
        self.schedule: Schedule = SCHEDULES[config.schedule](config.num_train_steps)

    @cached_property
    def _alphas_cumprod(self) -> Tensor:
        return torch.from_numpy(self.schedule.alphas_cumprod)

    def scales(self, t: Int[Tensor, " b"], like: Float[Tensor, " b *x"]) -> tuple[Tensor, Tensor]:
        """Return sqrt(alpha_bar) and sqrt(1 - alpha_bar) per row, shaped to multiply `like`.

        1 and 0 at t = -1, the clean sample.
        """
        alpha_bar = torch.where(t < 0, 1.0, self._alphas_cumprod.to(t.device)[t])
        alpha_bar = alpha_bar.view(-1, *[1] * (like.ndim - 1))
        return alpha_bar.sqrt().to(like.dtype), (1 - alpha_bar).sqrt().to(like.dtype)

    def q_sample(
        self, x0: Float[Tensor, " b *x"], t: Int[Tensor, " b"], noise: Float[Tensor, " b *x"]
    ) -> Float[Tensor, " b *x"]:
        """Noise clean samples to timestep `t`."""
        signal, sigma = self.scales(t, x0)
        return signal * x0 + sigma * noise

    def target(
        self, x0: Float[Tensor, " b *x"], t: Int[Tensor, " b"], noise: Float[Tensor, " b *x"]
    ) -> Float[Tensor, " b *x"]:
        """Return what the network is asked to output."""
        match self.config.prediction:
            case "x0":
                return x0
            case "eps":
                return noise
            case "v":
                signal, sigma = self.scales(t, x0)
                return signal * noise - sigma * x0

    def predict(
        self, output: Float[Tensor, "b ..."], x_t: Float[Tensor, " b *x"], t: Int[Tensor, " b"]
    ) -> Prediction:
        """Read the network's output at x_t; with a learned variance it has twice the channels."""
        mix = None
        if self.config.variance == "learned_range":
            output, mix = output.chunk(2, dim=1)
            mix = (mix + 1) / 2
        signal, sigma = self.scales(t, x_t)
        match self.config.prediction:
            case "x0":
                return Prediction(output, (x_t - signal * output) / sigma, mix)
            case "eps":
                return Prediction((x_t - sigma * output) / signal, output, mix)
            case "v":
                return Prediction(signal * x_t - sigma * output, sigma * x_t + signal * output, mix)

    def clamped(
        self, prediction: Prediction, x_t: Float[Tensor, " b *x"], t: Int[Tensor, " b"]
    ) -> Prediction:
        """Clamp x0 to its range and derive eps again, so that both still describe x_t."""
        limit = self.config.x0_limit
        return self.completed(prediction.x0.clamp(-limit, limit), x_t, t, prediction.variance_mix)

    def completed(
        self,
        x0: Float[Tensor, " b *x"],
        x_t: Float[Tensor, " b *x"],
        t: Int[Tensor, " b"],
        variance_mix: Tensor | None = None,
    ) -> Prediction:
        """Return x0 with the eps that makes both describe x_t."""
        signal, sigma = self.scales(t, x_t)
        return Prediction(x0, (x_t - signal * x0) / sigma, variance_mix)

    def ddim_step(self, prediction: Prediction, t_next: Int[Tensor, " b"]) -> Float[Tensor, "b ..."]:
        """Return where each row lands at its `t_next` (-1: the clean sample) by a step along its prediction.

        Source: Song et al. 2021, equation 12 with eta = 0.
        """
        return self.q_sample(prediction.x0, t_next, prediction.eps)

    def ddim_origin(
        self,
        x_t: Float[Tensor, " b *x"],
        t: Int[Tensor, " b"],
        landed: Float[Tensor, " b *x"],
        t_next: Int[Tensor, " b"],
    ) -> Float[Tensor, " b *x"]:
        """Return the x0 whose `ddim_step` leads from x_t at `t` to `landed` at `t_next` < t.

        Source: Salimans & Ho 2022, algorithm 2.
        """
        signal, sigma = self.scales(t, x_t)
        signal_next, sigma_next = self.scales(t_next, x_t)
        left = sigma_next / sigma  # of the noise
        return (landed - left * x_t) / (signal_next - left * signal)

    def loss(
        self,
        output: Float[Tensor, "b ..."],
        x0: Float[Tensor, " b *x"],
        x_t: Float[Tensor, " b *x"],
        t: Int[Tensor, " b"],
        noise: Float[Tensor, " b *x"],
        snr_range: SnrRange | None = None,
    ) -> Float[Tensor, " b"]:
        """Return each row's loss: squared error, plus the variational bound where the variance is learned.

        `snr_range` (low, high) weighs the squared error of x0 by the SNR, kept within that range and
        written for the predicted quantity; None weighs all rows alike. (0, gamma) is min-SNR (Hang et al.
        2023), (1, inf) the truncated SNR (Salimans & Ho 2022); a low end above 0 is what teaches the
        network to listen to its conditions where there is little else to go by. The bound weighs 1e-3
        times the number of steps and does not move the mean (Nichol & Dhariwal 2021, section 3.1).
        """
        learned = self.config.variance == "learned_range"
        main, variance = output.chunk(2, dim=1) if learned else (output, None)
        error = (main - self.target(x0, t, noise)).square().flatten(1).mean(1)
        loss = error if snr_range is None else error * self._weight(t, snr_range).to(error)
        if variance is not None:
            frozen_mean = torch.cat([main.detach(), variance], dim=1)
            loss = loss + 1e-3 * len(self.schedule.betas) * self.bound(frozen_mean, x0, x_t, t)
        return loss

    def _weight(self, t: Int[Tensor, " b"], snr_range: SnrRange) -> Float[Tensor, " b"]:
        alpha_bar = self._alphas_cumprod.to(t.device)[t]
        snr = alpha_bar / (1 - alpha_bar)
        match self.config.prediction:
            case "x0":
                return snr.clamp(*snr_range)
            case "eps":
                return snr.clamp(*snr_range) / snr
            case "v":
                return snr.clamp(*snr_range) / (snr + 1)

    def bound(
        self,
        output: Float[Tensor, "b ..."],
        x0: Float[Tensor, " b *x"],
        x_t: Float[Tensor, " b *x"],
        t: Int[Tensor, " b"],
    ) -> Float[Tensor, " b"]:
        """Return the variational bound's term at `t` in bits per dimension.

        KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)), and at t = 0 the negative log likelihood of 8-bit pixels
        in [-1, 1]. Source: Ho et al. 2020, equations 5 and 13.
        """
        prediction = self.predict(output, x_t, t)
        assert prediction.variance_mix is not None
        coefficients = PosteriorTable.of(self.schedule).rows(t, x_t)
        true_mean = coefficients.x0 * x0 + coefficients.x_t * x_t
        mean = coefficients.x0 * prediction.x0 + coefficients.x_t * x_t
        low, high = coefficients.log_variance, coefficients.log_beta
        log_variance = low + (high - low) * prediction.variance_mix
        kl = 0.5 * (log_variance - low + (low - log_variance).exp() - 1)
        kl = kl + 0.5 * (true_mean - mean).square() * (-log_variance).exp()
        nll = -discretized_log_likelihood(x0, mean, 0.5 * log_variance)
        first = (t == 0).view(-1, *[1] * (x0.ndim - 1))
        return torch.where(first, nll, kl).flatten(1).mean(1) / math.log(2)


@dataclass(frozen=True)
class PosteriorTable:
    """q(x_{t-1} | x_t, x0) per timestep: the factors of x0 and x_t in its mean, and log variances."""

    x0: Tensor
    x_t: Tensor
    log_variance: Tensor
    log_beta: Tensor

    @classmethod
    def of(cls, schedule: Schedule) -> "PosteriorTable":
        """Tabulate the posterior of every timestep. Source: Ho et al. 2020, equation 7."""
        betas, after = schedule.betas, schedule.alphas_cumprod
        before = np.append(1.0, after[:-1])
        variance = betas * (1 - before) / (1 - after)
        # At t = 0 the variance is 0; its log takes the value at t = 1 (Nichol & Dhariwal 2021).
        log_variance = np.log(np.append(variance[1], variance[1:]))
        columns = (
            betas * np.sqrt(before) / (1 - after),
            np.sqrt(1 - betas) * (1 - before) / (1 - after),
            log_variance,
            np.log(betas),
        )
        return cls(*(torch.from_numpy(column) for column in columns))

    def rows(self, t: Int[Tensor, " b"], like: Float[Tensor, " b *x"]) -> "PosteriorTable":
        """Pick the entries of each row's timestep, shaped to multiply `like`."""
        shape = (-1, *[1] * (like.ndim - 1))
        columns = (self.x0, self.x_t, self.log_variance, self.log_beta)
        return PosteriorTable(*(column.to(t.device)[t].view(shape).to(like.dtype) for column in columns))


def discretized_log_likelihood(
    x: Float[Tensor, "*x"], mean: Float[Tensor, "*x"], log_std: Float[Tensor, "*x"]
) -> Float[Tensor, "*x"]:
    """Log probability that a Gaussian falls into the 8-bit bin of `x`; the end bins reach to infinity."""
    normal = torch.distributions.Normal(mean, log_std.exp())
    upper = torch.where(x > 0.999, 1.0, normal.cdf(x + 1 / 255))
    lower = torch.where(x < -0.999, 0.0, normal.cdf(x - 1 / 255))
    return (upper - lower).clamp(min=1e-12).log()
