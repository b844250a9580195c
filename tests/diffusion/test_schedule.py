import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unclip.diffusion.schedule import (
    SCHEDULES,
    Schedule,
    cosine,
    cosine_float32,
    linear,
    resampled,
    respace,
)
from unclip.errors import RequestError


def test_cosine_is_the_closed_form_up_to_its_cap() -> None:
    schedule = cosine()
    alpha_bar = [math.cos((s / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for s in range(1001)]
    np.testing.assert_allclose(
        schedule.alphas_cumprod[:-1], np.array(alpha_bar[1:-1]) / alpha_bar[0], rtol=1e-9
    )
    assert schedule.betas[0] == pytest.approx(1 - alpha_bar[1] / alpha_bar[0], rel=1e-12)
    assert schedule.betas[-1] == 0.999  # the closed form ends at 1
    assert (schedule.betas[:-1] < 0.999).all()


def test_linear_rises_evenly_between_its_ends() -> None:
    betas = linear().betas
    assert (betas[0], betas[-1]) == (1e-4, 0.02)
    np.testing.assert_allclose(np.diff(betas), 0.0199 / 999, rtol=1e-9)


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
def test_signal_falls_from_nearly_all_to_nearly_none(make: Callable[[int], Schedule]) -> None:
    schedule = make(1000)
    assert (np.diff(schedule.alphas_cumprod) < 0).all()
    assert 0.999 < schedule.alphas_cumprod[0] < 1
    assert 0 < schedule.alphas_cumprod[-1] < 1e-4


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
def test_fewer_steps_lose_the_signal_alike(make: Callable[[int], Schedule]) -> None:
    fine, coarse = make(1000), make(250)
    at_same_times = fine.alphas_cumprod[3::4]
    np.testing.assert_allclose(coarse.alphas_cumprod[:240], at_same_times[:240], atol=0.01)


def test_before_the_first_timestep_comes_the_clean_sample() -> None:
    schedule = cosine()
    assert schedule.alpha_bar(-1) == 1
    assert schedule.log_snr(-1) == math.inf
    alpha_bar = schedule.alpha_bar(300)
    assert math.exp(schedule.log_snr(300)) == pytest.approx(alpha_bar / (1 - alpha_bar))


def test_respacing_to_all_steps_changes_nothing() -> None:
    assert respace(cosine(), 1000).timesteps == cosine().timesteps == tuple(range(999, -1, -1))


@pytest.mark.parametrize(
    ("num_steps", "timesteps"),
    [
        (1, [999]),
        (2, [999, 0]),
        (7, [999, 832, 666, 500, 333, 166, 0]),
        (25, [999, 957, 916, 874, 832]),
    ],
)
def test_spacing_is_karlos(num_steps: int, timesteps: list[int]) -> None:
    visited = list(respace(cosine(), num_steps).timesteps)
    assert visited[: len(timesteps)] == timesteps
    assert num_steps == 1 or visited[-1] == 0
    assert num_steps != 25 or visited[-2] == 42


@given(st.integers(2, 400).flatmap(lambda last: st.tuples(st.just(last), st.integers(2, last))))
def test_respaced_timesteps_fall_from_the_noisiest_to_zero(sizes: tuple[int, int]) -> None:
    num_train_steps, num_steps = sizes
    visited = respace(linear(num_train_steps), num_steps).timesteps
    assert (visited[0], visited[-1], len(visited)) == (num_train_steps - 1, 0, num_steps)
    assert (np.diff(visited) < 0).all()


@pytest.mark.parametrize(
    ("num_steps", "timesteps"),
    [(1, (999,)), (2, (999, 499)), (3, (999, 666, 332)), (4, (999, 749, 499, 249))],
)
def test_trailing_steps_are_equally_long_to_the_clean_picture(
    num_steps: int, timesteps: tuple[int, ...]
) -> None:
    assert respace(cosine(), num_steps, "trailing").timesteps == timesteps
    assert respace(cosine(), 1000, "trailing").timesteps == cosine().timesteps


@pytest.mark.parametrize("num_steps", [-1, 0, 1001])
def test_a_number_of_steps_out_of_range_is_refused(num_steps: int) -> None:
    with pytest.raises(RequestError, match=f"between 1 and 1000, not {num_steps}"):
        respace(cosine(), num_steps)


FALLING = st.lists(st.integers(0, 999), min_size=1, max_size=30, unique=True).map(
    lambda visited: tuple(sorted(visited, reverse=True))
)


@given(FALLING)
def test_a_falling_schedule_asks_at_each_of_its_timesteps(timesteps: tuple[int, ...]) -> None:
    assert replace(cosine(), timesteps=timesteps).num_steps == len(timesteps)


@pytest.mark.parametrize(
    ("timesteps", "num_steps"), [((9, 5, 9, 5), 3), ((9, 5, 7, 3, 0), 4), ((5, 9), 1), ((3, 5, 9, 0), 2)]
)
def test_a_timestep_that_a_higher_one_follows_is_not_asked_at(
    timesteps: tuple[int, ...], num_steps: int
) -> None:
    assert replace(cosine(), timesteps=timesteps).num_steps == num_steps


@pytest.mark.parametrize(
    ("jump", "times", "timesteps"),
    [
        (2, 2, (9, 7, 5, 9, 7, 5, 3, 1, 5, 3, 1)),
        (3, 2, (9, 7, 5, 3, 9, 7, 5, 3, 1, 3, 1)),
        (1, 3, (9, 7, 9, 7, 9, 7, 5, 7, 5, 7, 5, 3, 5, 3, 5, 3, 1, 3, 1, 3, 1)),
        (4, 3, (9, 7, 5, 3, 1, 9, 7, 5, 3, 1, 9, 7, 5, 3, 1)),
        (99, 2, (9, 7, 5, 3, 1, 9, 7, 5, 3, 1)),
    ],
)
def test_each_stretch_is_walked_again_from_its_start(
    jump: int, times: int, timesteps: tuple[int, ...]
) -> None:
    falling = replace(cosine(), timesteps=(9, 7, 5, 3, 1))
    assert resampled(falling, jump, times).timesteps == timesteps


@given(FALLING, st.integers(1, 10), st.integers(1, 4))
def test_resampling_asks_so_many_times_at_every_step_but_the_last(
    timesteps: tuple[int, ...], jump: int, times: int
) -> None:
    falling = replace(cosine(), timesteps=timesteps)
    again = resampled(falling, jump, times)
    assert again.num_steps == times * (len(timesteps) - 1) + 1
    assert again.timesteps[0] == timesteps[0]
    assert again.timesteps[-1] == timesteps[-1]
    assert resampled(falling, jump, 1).timesteps == timesteps


def test_float32_tables_are_those_of_unclip_schedulers() -> None:
    """UnCLIPScheduler of huggingface/diffusers 0.42.1: betas[0], alphas_cumprod[749] and [999]."""
    schedule = cosine_float32()
    assert schedule.betas.dtype == schedule.alphas_cumprod.dtype == np.float32
    assert schedule.betas[0] == np.float32(4.128422369831242e-05)
    assert schedule.alphas_cumprod[749] == np.float32(0.1442721039056778)
    assert schedule.alphas_cumprod[999] == np.float32(2.4287349909002387e-09)
    np.testing.assert_allclose(schedule.alphas_cumprod, cosine().alphas_cumprod, rtol=1e-4)


def test_deviations_are_those_of_unclip_schedulers() -> None:
    """tests/schedulers/test_scheduler_unclip.py of huggingface/diffusers @58eb52c, both kinds of variance."""
    schedule = cosine_float32()
    assert schedule.posterior(487, 486).deviation == pytest.approx(0.0549625, abs=1e-5)
    assert schedule.posterior(999, 998).deviation == pytest.approx(0.9994987, abs=1e-5)
    for t, expected in ((1, -10.1712790), (487, -5.7998052), (999, -0.0010011)):
        posterior = schedule.posterior(t, t - 1)
        mix = (0.5 + 1) / 2
        assert mix * posterior.log_beta + (1 - mix) * posterior.log_variance == pytest.approx(
            expected, abs=1e-5
        )


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize(("t", "t_next"), [(999, 998), (999, 500), (500, 499), (500, 20), (1, 0)])
def test_a_step_back_is_the_posterior(make: Callable[[int], Schedule], t: int, t_next: int) -> None:
    """Ho et al. 2020, equation 7, by the rule of Bayes: precisions add, means weigh by them."""
    schedule = make(1000)
    posterior = schedule.posterior(t, t_next)
    now, then = schedule.alpha_bar(t), schedule.alpha_bar(t_next)
    beta = 1 - now / then
    precision = (1 - beta) / beta + 1 / (1 - then)
    rough = 1e-9 if schedule.betas.dtype == np.float64 else 5e-3
    assert posterior.deviation**2 == pytest.approx(1 / precision, rel=rough)
    assert posterior.x0 == pytest.approx(math.sqrt(then) / (1 - then) / precision, rel=rough)
    assert posterior.x_t == pytest.approx(math.sqrt(1 - beta) / beta / precision, rel=rough, abs=2e-4)


def test_the_last_step_back_is_the_clean_sample() -> None:
    posterior = cosine().posterior(0, -1)
    assert (posterior.x0, posterior.x_t) == (pytest.approx(1), 0)
