import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from unclip.diffusion.process import (
    PosteriorTable,
    PredictionType,
    Process,
    ProcessConfig,
    discretized_log_likelihood,
)
from unclip.diffusion.samplers import ddim
from unclip.diffusion.schedule import Schedule, cosine, linear

PREDICTIONS: list[PredictionType] = ["x0", "eps", "v"]
LEARNED = Process(ProcessConfig(prediction="eps", variance="learned_range"))
T = torch.tensor([0, 1, 500, 998, 999])


def noised(process: Process, t: Tensor = T) -> tuple[Tensor, Tensor, Tensor]:
    """x0, noise and x_t, in float64."""
    x0, noise = torch.rand(2, len(t), 3, 4, 4, dtype=torch.float64) * 2 - 1
    return x0, noise, process.q_sample(x0, t, noise)


def test_noising_keeps_variance_and_loses_signal() -> None:
    x0, noise = torch.randn(2, 5, 100_000)
    x_t = Process(ProcessConfig()).q_sample(x0, T, noise)
    torch.testing.assert_close(x_t.var(dim=1), torch.ones(5), atol=0.02, rtol=0)
    torch.testing.assert_close(x_t[0], x0[0], atol=0.05, rtol=0)
    torch.testing.assert_close(x_t[-1], noise[-1], atol=0.001, rtol=0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_predicting_the_target_undoes_noising(prediction: PredictionType, schedule: str) -> None:
    process = Process(ProcessConfig(schedule, prediction=prediction))  # pyright: ignore[reportArgumentType]
    x0, noise, x_t = noised(process)
    predicted = process.predict(process.target(x0, T, noise), x_t, T)
    torch.testing.assert_close(predicted.x0, x0, atol=1e-9, rtol=0)
    torch.testing.assert_close(predicted.eps, noise, atol=1e-9, rtol=0)
    assert predicted.variance_mix is None


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_single_precision_is_enough_at_both_ends(prediction: PredictionType) -> None:
    process = Process(ProcessConfig(prediction=prediction))
    x0, noise = torch.rand(2, 2, 1000) * 2 - 1
    ends = torch.tensor([0, 998])
    x_t = process.q_sample(x0, ends, noise)
    predicted = process.predict(process.target(x0, ends, noise), x_t, ends)
    torch.testing.assert_close(predicted.x0, x0, atol=1e-4, rtol=0)
    torch.testing.assert_close(predicted.eps, noise, atol=1e-4, rtol=0)


def test_velocity_is_the_derivative_along_the_angle() -> None:
    process = Process(ProcessConfig(prediction="v"))
    x0, noise, _ = noised(process)
    angle = torch.from_numpy(np.arccos(np.sqrt(process.schedule.alphas_cumprod[T.numpy()])))
    angle = angle.view(-1, 1, 1, 1).requires_grad_()
    x_t = angle.cos() * x0 + angle.sin() * noise
    derivative = torch.stack([torch.autograd.grad(x, angle, retain_graph=True)[0] for x in x_t[:, 0, 0, 0]])
    torch.testing.assert_close(derivative.sum(0).flatten(), process.target(x0, T, noise)[:, 0, 0, 0])


def test_learned_variance_is_read_from_the_second_half() -> None:
    x0, noise, x_t = noised(LEARNED)
    raw = torch.linspace(-1, 1, 5).double().view(5, 1, 1, 1).expand_as(x0)
    predicted = LEARNED.predict(torch.cat([noise, raw], dim=1), x_t, T)
    torch.testing.assert_close(predicted.x0, x0, atol=1e-9, rtol=0)
    assert predicted.variance_mix is not None
    assert predicted.variance_mix[:, 0, 0, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_a_clamped_prediction_still_describes_x_t() -> None:
    process = Process(ProcessConfig(prediction="eps", x0_limit=0.5))
    x0, noise, x_t = noised(process)
    clamped = process.clamped(process.predict(noise, x_t, T), x_t, T)
    torch.testing.assert_close(clamped.x0, x0.clamp(-0.5, 0.5))
    torch.testing.assert_close(process.q_sample(clamped.x0, T, clamped.eps), x_t)


@pytest.mark.parametrize("schedule", [cosine(), linear()], ids=["cosine", "linear"])
def test_posterior_is_bayes_rule(schedule: Schedule) -> None:
    """q(x_{t-1} | x_t, x0) by multiplying the Gaussians q(x_{t-1} | x0) and q(x_t | x_{t-1})."""
    table = PosteriorTable.of(schedule)
    beta, before = schedule.betas[1:], schedule.alphas_cumprod[:-1]
    variance = 1 / (1 / (1 - before) + (1 - beta) / beta)
    np.testing.assert_allclose(table.log_variance[1:], np.log(variance), atol=1e-9)
    np.testing.assert_allclose(table.x0[1:], variance * np.sqrt(before) / (1 - before), rtol=1e-9)
    np.testing.assert_allclose(table.x_t[1:], variance * np.sqrt(1 - beta) / beta, rtol=1e-9)
    assert (table.x0[0].item(), table.x_t[0].item()) == (pytest.approx(1), 0)  # x0 itself
    assert table.log_variance[0] == table.log_variance[1]


def test_variances_are_unclip_schedulers() -> None:
    """huggingface/diffusers @58eb52c, tests/schedulers/test_scheduler_unclip.py: float32, hence 1e-4."""
    table = PosteriorTable.of(cosine())
    std = (0.5 * table.log_variance).exp()
    assert std[487].item() == pytest.approx(0.0549625, abs=1e-5)
    assert std[999].item() == pytest.approx(0.9994987, abs=1e-5)
    mixed = 0.75 * table.log_beta + 0.25 * table.log_variance  # where the network says 0.5
    for t, expected in ((1, -10.1712790), (487, -5.7998052), (999, -0.0010011)):
        assert mixed[t].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("snr_range", [(0.0, 5.0), (0.3, 5.0), (1.0, math.inf)])
def test_the_weight_is_the_same_whatever_is_predicted(snr_range: tuple[float, float]) -> None:
    """The loss is the SNR, kept in its range, times |x0 - predicted x0|^2."""
    t = torch.tensor([0, 10, 500, 900])
    x0, noise, x_t = noised(Process(ProcessConfig()), t)
    guess = x0 + 0.1 * torch.randn_like(x0)
    alpha_bar = torch.from_numpy(cosine().alphas_cumprod)[t]
    error = (x0 - guess).square().flatten(1).mean(1)
    expected = (alpha_bar / (1 - alpha_bar)).clamp(*snr_range) * error
    for prediction in PREDICTIONS:
        process = Process(ProcessConfig(prediction=prediction))
        guessed_noise = Process(ProcessConfig()).predict(guess, x_t, t).eps
        output = process.target(guess, t, guessed_noise)
        torch.testing.assert_close(process.loss(output, x0, x_t, t, noise, snr_range), expected)


def test_without_a_weight_the_loss_is_the_mean_squared_error() -> None:
    process = Process(ProcessConfig(prediction="eps"))
    x0, noise, x_t = noised(process)
    loss = process.loss(noise + 0.5, x0, x_t, T, noise)
    torch.testing.assert_close(loss, torch.full((5,), 0.25, dtype=torch.float64))


def test_the_bound_is_zero_for_an_exact_network() -> None:
    x0, noise, x_t = noised(LEARNED)
    exact = torch.cat([noise, torch.full_like(noise, -1)], dim=1)
    bound = LEARNED.bound(exact, x0, x_t, T)
    torch.testing.assert_close(bound[1:], torch.zeros(4, dtype=torch.float64), atol=1e-9, rtol=0)


def test_the_bound_is_the_divergence_of_two_gaussians() -> None:
    x0, _, x_t = noised(LEARNED)
    output = torch.randn(5, 6, 4, 4, dtype=torch.float64)
    table, predicted = PosteriorTable.of(LEARNED.schedule).rows(T, x0), LEARNED.predict(output, x_t, T)
    assert predicted.variance_mix is not None
    log_variance = torch.lerp(table.log_variance, table.log_beta, predicted.variance_mix)
    true = torch.distributions.Normal(table.x0 * x0 + table.x_t * x_t, (0.5 * table.log_variance).exp())
    guess = torch.distributions.Normal(table.x0 * predicted.x0 + table.x_t * x_t, (0.5 * log_variance).exp())
    bits = torch.distributions.kl_divergence(true, guess).flatten(1).mean(1) / math.log(2)
    torch.testing.assert_close(LEARNED.bound(output, x0, x_t, T)[1:], bits[1:])


def test_at_the_last_step_the_bound_is_the_pixels_likelihood() -> None:
    first = torch.zeros(1, dtype=torch.int64)
    x0 = torch.randint(10, 245, (1, 3, 4, 4)).double() / 127.5 - 1
    noise = torch.randn_like(x0)
    x_t = LEARNED.q_sample(x0, first, noise)
    exact = torch.cat([noise, torch.full_like(noise, -1)], dim=1)
    std = math.exp(0.5 * PosteriorTable.of(LEARNED.schedule).log_variance[0].item())
    bits = -math.log2(math.erf(1 / 255 / std / math.sqrt(2)))  # of a pixel in the middle of its bin
    assert LEARNED.bound(exact, x0, x_t, first).item() == pytest.approx(bits)


def test_the_bound_teaches_the_variance_and_not_the_mean() -> None:
    x0, noise, x_t = noised(LEARNED)
    output = torch.randn(5, 6, 4, 4, dtype=torch.float64, requires_grad=True)
    loss = LEARNED.loss(output, x0, x_t, T, noise).sum()
    mean, variance = torch.autograd.grad(loss, output)[0].chunk(2, dim=1)
    torch.testing.assert_close(mean, 2 * (output[:, :3] - noise) / noise[0].numel())
    assert variance.flatten(1).any(dim=1).all()
    assert variance.isfinite().all()


@pytest.mark.parametrize("mean", [-1.2, -0.3, 0.0, 1.0])
@pytest.mark.parametrize("log_std", [-6.0, -2.0, 1.0])
def test_the_256_bins_share_a_probability_of_one(mean: float, log_std: float) -> None:
    x = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    log_probability = discretized_log_likelihood(x, torch.full_like(x, mean), torch.full_like(x, log_std))
    assert log_probability.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_the_process_is_a_function_of_its_config() -> None:
    config = ProcessConfig("linear", num_train_steps=10)
    np.testing.assert_array_equal(Process(config).schedule.betas, linear(10).betas)
    assert Process(replace(config, schedule="cosine")).schedule.betas[-1] == 0.999


def test_the_clean_sample_has_no_noise() -> None:
    process = Process(ProcessConfig())
    x0, noise = torch.randn(2, 2, 3, 4, 4)
    t = torch.tensor([-1, 999])
    assert torch.equal(process.q_sample(x0, t, noise)[0], x0[0])
    torch.testing.assert_close(process.q_sample(x0, t, noise)[1], noise[1], atol=1e-3, rtol=0)


@pytest.mark.parametrize("t_next", [-1, 0, 499, 998])
def test_a_ddim_step_and_its_origin_undo_each_other(t_next: int) -> None:
    process, t, end = Process(ProcessConfig()), torch.tensor([999, 999]), torch.full((2,), t_next)
    x0, x_t = torch.randn(2, 2, 3, 4, 4, dtype=torch.float64)
    landed = process.ddim_step(process.completed(x0, x_t, t), end)
    torch.testing.assert_close(process.ddim_origin(x_t, t, landed, end), x0)
    if t_next == -1:
        assert torch.equal(landed, x0)


def test_ddim_steps_are_the_samplers() -> None:
    process = Process(ProcessConfig())
    x_t, x0, x0_later = torch.randn(3, 1, 3, 4, 4, dtype=torch.float64)
    t, t_next, end = (torch.tensor([at]) for at in (600, 300, -1))
    sampling = ddim(replace(process.schedule, timesteps=(600, 300)), x_t, lambda: x_t)
    next(sampling)
    first = process.completed(x0, x_t, t)
    query = sampling.send(first)
    torch.testing.assert_close(process.ddim_step(first, t_next), query.x_t)
    with pytest.raises(StopIteration) as stop:
        sampling.send(process.completed(x0_later, query.x_t, t_next))
    torch.testing.assert_close(stop.value.value, x0_later)
    assert torch.equal(process.ddim_step(process.completed(x0_later, query.x_t, t_next), end), x0_later)
