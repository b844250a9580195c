import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from unclip.diffusion.process import Prediction
from unclip.diffusion.samplers import (
    SAMPLERS,
    Query,
    Sampler,
    Sampling,
    analytic,
    ddim,
    ddim_inversion,
    ddpm,
    dpm_solver_pp,
    glance,
    moment_at,
)
from unclip.diffusion.schedule import Schedule, cosine, resampled, respace

Network = Callable[[Query], Prediction]
ALL = {
    **SAMPLERS,
    "ddim, eta 1": partial(ddim, eta=1.0),
    "ddim, eta 0.5": partial(ddim, eta=0.5),
    "analytic": partial(analytic, moments=lambda t: 0.9),
}
COSINE = cosine()


def sample(sampling: Sampling, network: Network) -> tuple[Tensor, list[Query]]:
    """The sample, and the queries that led to it."""
    queries = [next(sampling)]
    while True:
        try:
            queries.append(sampling.send(network(queries[-1])))
        except StopIteration as stop:
            return stop.value, queries


def no_noise() -> Tensor:
    raise AssertionError("this sampler draws no noise")


def knows(x0: Tensor, schedule: Schedule = COSINE) -> Network:
    """A network that has seen the only picture there is."""

    def network(query: Query) -> Prediction:
        alpha_bar = schedule.alpha_bar(query.t)
        return Prediction(x0, (query.x_t - math.sqrt(alpha_bar) * x0) / math.sqrt(1 - alpha_bar))

    return network


def gaussian(mean: float, std: float, schedule: Schedule) -> Network:
    """The exact network for data from one Gaussian: x0 is its posterior mean."""

    def network(query: Query) -> Prediction:
        alpha_bar = schedule.alpha_bar(query.t)
        a, variance = math.sqrt(alpha_bar), alpha_bar * std**2 + 1 - alpha_bar
        x0 = mean + std**2 * a / variance * (query.x_t - a * mean)
        return Prediction(x0, (query.x_t - a * x0) / math.sqrt(1 - alpha_bar))

    return network


def wavy(query: Query) -> Prediction:
    """Some smooth network whose x0 and eps belong together."""
    x0 = (query.x_t + query.t / 1000).sin()
    alpha_bar = COSINE.alpha_bar(query.t)
    return Prediction(x0, (query.x_t - math.sqrt(alpha_bar) * x0) / math.sqrt(1 - alpha_bar))


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 25, 1000])
@pytest.mark.parametrize("sampler", ALL.values(), ids=ALL)
def test_a_network_that_knows_the_picture_gets_it(sampler: Sampler, num_steps: int) -> None:
    x0 = normal(2, 3)
    noise = partial(normal, 2, 3)
    found, queries = sample(sampler(respace(COSINE, num_steps), noise(), noise), knows(x0))
    torch.testing.assert_close(found, x0)
    assert len(queries) == num_steps


@pytest.mark.parametrize("sampler", ALL.values(), ids=ALL)
def test_the_visited_timesteps_are_the_schedules(sampler: Sampler) -> None:
    schedule = replace(COSINE, timesteps=(999, 400, 399, 20))
    _, queries = sample(sampler(schedule, normal(2), partial(normal, 2)), wavy)
    assert [query.t for query in queries] == [999, 400, 399, 20]


def test_ddpm_draws_from_the_posterior() -> None:
    """Two steps by hand: to t = 700 by Ho et al. 2020, equation 7, between respaced steps; then to x0."""
    x_t, z, x0 = normal(4), normal(4), normal(4)
    _, queries = sample(ddpm(replace(COSINE, timesteps=(900, 700)), x_t, lambda: z), knows(x0))
    now, then = COSINE.alpha_bar(900), COSINE.alpha_bar(700)
    alpha = now / then
    precision = 1 / (1 - then) + alpha / (1 - alpha)
    mean = (math.sqrt(then) * x0 / (1 - then) + math.sqrt(alpha) * x_t / (1 - alpha)) / precision
    torch.testing.assert_close(queries[1].x_t, mean + z / math.sqrt(precision))


def test_ddpm_draws_no_noise_on_the_last_step() -> None:
    draws = [normal(4) for _ in range(5)]
    sample(ddpm(respace(COSINE, 5), draws.pop(), draws.pop), wavy)
    assert not draws


@pytest.mark.parametrize(("mix", "log_variance"), [(0.0, "posterior"), (1.0, "beta"), (0.5, "between")])
def test_ddpm_uses_the_learned_variance(mix: float, log_variance: str) -> None:
    x_t, x0 = normal(4), normal(4)
    schedule = replace(COSINE, timesteps=(900, 700))

    def network(query: Query) -> Prediction:
        return replace(knows(x0)(query), variance_mix=torch.full_like(x0, mix))

    still, noisy = (
        sample(ddpm(schedule, x_t, lambda noise=noise: noise), network)[1][1].x_t
        for noise in (torch.zeros_like(x_t), torch.ones_like(x_t))
    )
    now, then = COSINE.alpha_bar(900), COSINE.alpha_bar(700)
    beta = 1 - now / then
    posterior = beta * (1 - then) / (1 - now)
    expected = {"posterior": posterior, "beta": beta, "between": math.sqrt(posterior * beta)}[log_variance]
    torch.testing.assert_close((noisy - still).square(), torch.full_like(x_t, expected))


def test_ddim_with_eta_1_is_ddpm() -> None:
    draws = [normal(4) for _ in range(10)]
    schedule = respace(COSINE, 10)
    expected, _ = sample(ddpm(schedule, draws[0], iter(draws[1:]).__next__), wavy)
    found, _ = sample(ddim(schedule, draws[0], iter(draws[1:]).__next__, eta=1.0), wavy)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("sampler", [ddim, dpm_solver_pp])
def test_solvers_of_the_ode_draw_no_noise(sampler: Sampler) -> None:
    x_t = normal(4)
    first, _ = sample(sampler(respace(COSINE, 10), x_t, no_noise), wavy)
    again, _ = sample(sampler(respace(COSINE, 10), x_t, no_noise), wavy)
    assert torch.equal(first, again)


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_dpm_solver_of_first_order_is_ddim(num_steps: int) -> None:
    """Lu et al. 2022b, section 4.1; the first and the last step are of first order."""
    schedule, x_t = respace(COSINE, num_steps), normal(4)
    expected, _ = sample(ddim(schedule, x_t, no_noise), wavy)
    found, _ = sample(dpm_solver_pp(schedule, x_t, no_noise), wavy)
    assert torch.allclose(found, expected) == (num_steps < 3)


def error_at_the_end(sampler: Sampler, num_steps: int) -> float:
    """How far x_t is from the ODE's solution at the last step, on data from N(2, 0.5^2)."""
    first, last = 7200, 800  # of a grid so fine that its timesteps are evenly spaced whatever their number
    timesteps = tuple(range(first, last - 1, (last - first) // num_steps))
    schedule = replace(cosine(8000), timesteps=timesteps)
    mean, std, z = 2.0, 0.5, torch.linspace(-2, 2, 9).double()

    def solution(t: int) -> Tensor:
        alpha_bar = schedule.alpha_bar(t)
        return math.sqrt(alpha_bar) * mean + math.sqrt(alpha_bar * std**2 + 1 - alpha_bar) * z

    _, queries = sample(sampler(schedule, solution(first), no_noise), gaussian(mean, std, schedule))
    assert queries[-1].t == last
    return (queries[-1].x_t - solution(last)).abs().max().item()


@pytest.mark.parametrize(("sampler", "order"), [(ddim, 1), (dpm_solver_pp, 2)])
def test_solvers_converge_at_their_order(sampler: Sampler, order: int) -> None:
    errors = [error_at_the_end(sampler, num_steps) for num_steps in (40, 80, 160)]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.05)


def test_ddpm_draws_from_the_distribution_of_the_data() -> None:
    noise = partial(normal, 20_000)
    found, _ = sample(ddpm(respace(COSINE, 200), noise(), noise), gaussian(2.0, 0.5, COSINE))
    assert found.mean().item() == pytest.approx(2.0, abs=0.02)
    assert found.std().item() == pytest.approx(0.5, abs=0.02)


def gaussian_moments(std: float, schedule: Schedule) -> Callable[[int], float]:
    """The mean square of eps as `gaussian` predicts it."""

    def moment(t: int) -> float:
        alpha_bar = schedule.alpha_bar(t)
        return (1 - alpha_bar) / (alpha_bar * std**2 + 1 - alpha_bar)

    return moment


@pytest.mark.parametrize("moment", [1.0, 1.7])
def test_analytic_without_anything_to_add_is_ddpm(moment: float) -> None:
    draws = [normal(4) for _ in range(10)]
    schedule = respace(COSINE, 10)
    expected, _ = sample(ddpm(schedule, draws[0], iter(draws[1:]).__next__), wavy)
    found, _ = sample(analytic(schedule, draws[0], iter(draws[1:]).__next__, lambda t: moment), wavy)
    assert torch.equal(found, expected)


def test_analytic_draws_no_noise_on_the_last_step() -> None:
    draws = [normal(4) for _ in range(5)]
    sample(analytic(respace(COSINE, 5), draws.pop(), draws.pop, lambda t: 0.5), wavy)
    assert not draws


def added_variance(
    t: int, t_next: int, moment: float, x0_variance: float = math.inf
) -> tuple[float, float, float]:
    """What `analytic` draws from t to t_next beyond the mean, with now and then."""
    schedule, x_t = replace(COSINE, timesteps=(t, t_next)), normal(1)
    still, noisy = (
        sample(analytic(schedule, x_t, lambda z=z: z, lambda _: moment, x0_variance), wavy)[1][1].x_t
        for z in (torch.zeros(1).double(), torch.ones(1).double())
    )
    return (noisy - still).square().item(), COSINE.alpha_bar(t), COSINE.alpha_bar(t_next)


@pytest.mark.parametrize(("t", "t_next"), [(999, 700), (700, 699), (400, 20), (20, 0)])
@pytest.mark.parametrize("moment", [0.0, 0.3, 0.9])
def test_the_analytic_variance_is_that_of_the_paper(t: int, t_next: int, moment: float) -> None:
    """Bao et al. 2022, theorem 1, for the forward process of DDPM."""
    found, now, then = added_variance(t, t_next, moment)
    alpha = now / then
    posterior = (1 - then) / (1 - now) * (1 - alpha)
    gain = (math.sqrt((1 - now) / alpha) - math.sqrt(max(1 - then - posterior, 0))) ** 2
    assert found == pytest.approx(posterior + gain * (1 - moment), rel=1e-6)


@pytest.mark.parametrize("moment", [-0.1, 0.0, 0.5, 1.0, 1.1])
def test_the_analytic_variance_keeps_its_bounds(moment: float) -> None:
    """Bao et al. 2022, theorem 2: from the posterior's to beta / alpha, and to what x0's variance gives."""
    found, now, then = added_variance(700, 500, moment)
    alpha = now / then
    posterior = (1 - then) / (1 - now) * (1 - alpha)
    assert posterior * (1 - 1e-9) <= found <= (1 - alpha) / alpha * (1 + 1e-9)
    bounded, *_ = added_variance(700, 500, moment, x0_variance=0.01)
    assert bounded <= posterior + 0.01 * then * ((1 - alpha) / (1 - now)) ** 2 + 1e-9


def variance_at_the_end(
    make: Callable[[Schedule, Tensor, Callable[[], Tensor]], Sampling], steps: int
) -> float:
    """The variance of samples where data have mean 0, deviation 0.5.

    All is linear there: element j answers to the j-th draw alone, and the variance is the sum of squares.
    """
    schedule, draws = respace(COSINE, steps), iter(torch.eye(steps, dtype=torch.float64))
    found, _ = sample(make(schedule, next(draws), draws.__next__), gaussian(0.0, 0.5, COSINE))
    return found.square().sum().item()


@pytest.mark.parametrize("steps", [3, 5, 10])
def test_analytic_reproduces_the_variance_of_gaussian_data_in_few_steps(steps: int) -> None:
    exact = partial(analytic, moments=gaussian_moments(0.5, COSINE))
    assert variance_at_the_end(exact, steps) == pytest.approx(0.25, rel=1e-3)
    assert variance_at_the_end(ddpm, steps) < 0.9 * 0.25


def test_moments_are_read_between_where_they_were_measured() -> None:
    moments = (0.0, 0.5, 0.7)
    assert [moment_at(moments, t, 101) for t in (0, 50, 100)] == [0.0, 0.5, 0.7]
    assert [moment_at(moments, t, 101) for t in (25, 80)] == pytest.approx([0.25, 0.62])
    assert [moment_at((0.3,), t, 101) for t in (0, 60, 100)] == [0.3] * 3
    assert moment_at((0.3, 0.4), 0, 1) == 0.3


# Timesteps that rise again

RISING = replace(COSINE, timesteps=(999, 600, 300, 999, 600, 300, 100, 20, 300, 100, 20))


@pytest.mark.parametrize("sampler", ALL.values(), ids=ALL)
def test_nothing_is_asked_on_the_way_up(sampler: Sampler) -> None:
    x0 = normal(2, 3)
    found, queries = sample(sampler(RISING, normal(2, 3), partial(normal, 2, 3)), knows(x0))
    assert [query.t for query in queries] == [999, 600, 999, 600, 300, 100, 300, 100, 20]
    assert len(queries) == RISING.num_steps
    torch.testing.assert_close(found, x0)


@pytest.mark.parametrize("sampler", ALL.values(), ids=ALL)
def test_what_is_noised_again_has_the_variance_of_its_timestep(sampler: Sampler) -> None:
    """All is linear in the draws where x0 is always 0: the variance is the sum of squares."""
    if sampler is ALL["analytic"]:
        sampler = partial(analytic, moments=lambda t: 1.0)  # x0 is known for certain
    draws = iter(torch.eye(20, dtype=torch.float64))
    x_t, x0 = next(draws), torch.zeros(20, dtype=torch.float64)
    _, queries = sample(sampler(RISING, x_t, draws.__next__), knows(x0))
    for query in queries:
        variance = query.x_t.square().sum().item()
        assert variance == pytest.approx(1 - COSINE.alpha_bar(query.t), rel=1e-6)


@pytest.mark.parametrize("sampler", ALL.values(), ids=ALL)
def test_a_schedule_that_is_walked_once_is_the_plain_one(sampler: Sampler) -> None:
    draws = [normal(4) for _ in range(11)]
    plain = respace(COSINE, 10)
    once, twice = (resampled(plain, 4, times) for times in (1, 2))
    expected, _ = sample(sampler(plain, draws[0], iter(draws[1:]).__next__), wavy)
    found, _ = sample(sampler(once, draws[0], iter(draws[1:]).__next__), wavy)
    assert torch.equal(found, expected)
    other, _ = sample(sampler(twice, draws[0], partial(normal, 4)), wavy)
    assert not torch.allclose(other, expected)


@pytest.mark.parametrize("sampler", [ddim, dpm_solver_pp])
def test_a_solver_begins_anew_where_it_was_noised_again(sampler: Sampler) -> None:
    """What it remembers of the steps before says nothing about the new path."""
    schedule = replace(COSINE, timesteps=(900, 600, 300, 600, 300, 100))
    found, queries = sample(sampler(schedule, normal(4), partial(normal, 4)), wavy)
    again = next(query for query in reversed(queries) if query.t == 600)
    rest = replace(COSINE, timesteps=(600, 300, 100))
    expected, _ = sample(sampler(rest, again.x_t, no_noise), wavy)
    assert torch.equal(found, expected)


def test_ddpm_draws_from_the_distribution_of_the_data_also_when_resampled() -> None:
    noise = partial(normal, 20_000)
    schedule = resampled(respace(COSINE, 200), 40, 2)
    found, _ = sample(ddpm(schedule, noise(), noise), gaussian(2.0, 0.5, COSINE))
    assert found.mean().item() == pytest.approx(2.0, abs=0.03)
    assert found.std().item() == pytest.approx(0.5, abs=0.03)


# Inversion


def error_of_inversion(num_steps: int, refinements: int, last: int = 900) -> float:
    """How far data from N(2, 0.5^2) come back from their noise at timestep `last`."""
    visited = (round(i * last / (num_steps - 1)) for i in range(num_steps))
    schedule = replace(COSINE, timesteps=tuple(visited)[::-1])
    network = gaussian(2.0, 0.5, COSINE)
    x0 = torch.linspace(0, 4, 17).double()
    x_T, queries = sample(ddim_inversion(schedule, x0, refinements), network)
    assert len(queries) == num_steps * (1 + refinements)
    again, _ = sample(ddim(schedule, x_T, no_noise), network)
    return (again - x0).abs().max().item()


@pytest.mark.parametrize(("num_steps", "refinements"), [(3, 200), (10, 50), (50, 12)])
def test_inversion_undoes_ddim_to_the_precision_of_floats(num_steps: int, refinements: int) -> None:
    assert error_of_inversion(num_steps, refinements) < 1e-12


def test_inversion_up_to_pure_noise_comes_back_as_well_as_pictures_need() -> None:
    """The iteration is slow where next to nothing of the picture is left."""
    assert error_of_inversion(50, 0, last=999) < 1e-2
    assert error_of_inversion(50, 1, last=999) < 2e-3


@pytest.mark.parametrize("num_steps", [3, 10, 50])
def test_every_refinement_brings_inversion_nearer(num_steps: int) -> None:
    errors = [error_of_inversion(num_steps, refinements) for refinements in range(6)]
    for coarse, fine in pairwise(errors):
        assert fine < 0.8 * coarse


@pytest.mark.parametrize("refinements", [0, 1, 2])
def test_more_steps_bring_inversion_nearer(refinements: int) -> None:
    errors = [error_of_inversion(num_steps, refinements) for num_steps in (15, 60, 240)]
    for coarse, fine in pairwise(errors):
        assert fine < 0.3 * coarse


def test_inversion_asks_upwards_from_the_least_noise() -> None:
    schedule = replace(COSINE, timesteps=(999, 400, 20))
    x0 = normal(2)
    _, queries = sample(ddim_inversion(schedule, x0), wavy)
    assert [query.t for query in queries] == [20, 400, 999]
    torch.testing.assert_close(queries[0].x_t, math.sqrt(COSINE.alpha_bar(20)) * x0)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.0, 0.3)])
def test_data_become_standard_normal_noise(mean: float, std: float) -> None:
    x0 = mean + std * normal(20_000)
    x_T, _ = sample(ddim_inversion(respace(COSINE, 200), x0, refinements=2), gaussian(mean, std, COSINE))
    assert x_T.mean().item() == pytest.approx(0, abs=0.03)
    assert x_T.std().item() == pytest.approx(1, abs=0.03)


def test_noise_that_ddim_has_drawn_from_is_found_again() -> None:
    schedule, noise = replace(COSINE, timesteps=(900, 700, 500, 300, 100, 0)), normal(5)
    x0, _ = sample(ddim(schedule, noise, no_noise), gaussian(2.0, 0.5, COSINE))
    found, _ = sample(ddim_inversion(schedule, x0, refinements=100), gaussian(2.0, 0.5, COSINE))
    torch.testing.assert_close(found, noise)


def test_a_glance_asks_once_and_returns_what_is_seen() -> None:
    x_t, x0 = normal(2, 3), normal(2, 3)
    found, (query,) = sample(glance(x_t, 70), knows(x0))
    assert torch.equal(found, x0)
    assert torch.equal(query.x_t, x_t)
    assert query.t == 70
