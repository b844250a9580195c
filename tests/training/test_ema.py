import pytest
import torch
from torch import nn

from unclip.training.ema import PowerEma, power_exponent


def averaged(values: list[float], sigma_rel: float) -> tuple[PowerEma, float]:
    """Average a network of one number that takes these values, step by step."""
    network = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    average = PowerEma(network, sigma_rel)
    for step, value in enumerate(values, 1):
        nn.init.constant_(network.weight, value)
        average.update(network, step)
    return average, average.tensors["weight"].item()


@pytest.mark.parametrize(("sigma_rel", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_exponents_are_those_of_edm2(sigma_rel: float, gamma: float) -> None:
    """Karras et al. 2024 (arXiv 2312.02696v2), section 3.1."""
    assert power_exponent(sigma_rel) == pytest.approx(gamma, abs=0.01)


def test_the_first_weights_are_copied() -> None:
    assert averaged([3.25], 0.1)[1] == 3.25


def test_a_constant_stays() -> None:
    assert averaged([0.7] * 50, 0.05)[1] == pytest.approx(0.7, rel=1e-12)


@pytest.mark.parametrize("sigma_rel", [0.05, 0.10, 0.25])
def test_a_ramp_has_the_mean_of_its_power_function(sigma_rel: float) -> None:
    """With weight t^gamma on [0, T], the mean of t is T (gamma + 1) / (gamma + 2)."""
    steps = 4000
    average, mean = averaged([t / steps for t in range(1, steps + 1)], sigma_rel)
    assert mean == pytest.approx((average.gamma + 1) / (average.gamma + 2), abs=2e-3)


@pytest.mark.parametrize("sigma_rel", [0.05, 0.10, 0.25])
def test_the_weights_have_the_relative_width(sigma_rel: float) -> None:
    """The standard deviation of the times averaged over, as a share of the whole time."""
    steps = 4000
    times = [t / steps for t in range(1, steps + 1)]
    mean, square = averaged(times, sigma_rel)[1], averaged([t * t for t in times], sigma_rel)[1]
    assert (square - mean**2) ** 0.5 == pytest.approx(sigma_rel, rel=0.01)


def test_buffers_are_averaged_and_given_back() -> None:
    network = nn.Module()
    network.register_buffer("mean", torch.zeros(2))
    average = PowerEma(network, 0.1)
    for step in (1, 2):
        network.get_buffer("mean").fill_(step)
        average.update(network, step)
    average.copy_to(network)
    decay = 0.5 ** (average.gamma + 1)
    assert network.get_buffer("mean").tolist() == pytest.approx([decay + 2 * (1 - decay)] * 2)
