"""Kolmogorov-Smirnov and AUC against hand-computed values and known cases."""

import math

import pytest
import torch

from unclip.evaluation.ranks import auc, kolmogorov_q, kolmogorov_smirnov


def normal(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_gap_is_the_one_computed_by_hand() -> None:
    # From 1 up to 1.5 half of x is passed and none of y; from 2 on it is 3/4 and 1/3.
    x, y = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([1.5, 2.5, 3.5])
    gap, p = kolmogorov_smirnov(x, y)
    assert gap == 0.5
    assert kolmogorov_smirnov(y, x) == (gap, p)
    assert p == pytest.approx(kolmogorov_q(math.sqrt(12 / 7) * gap))


def test_ties_count_on_both_sides() -> None:
    assert kolmogorov_smirnov(torch.tensor([1.0, 1.0, 2.0]), torch.tensor([1.0, 1.0, 2.0])) == (0.0, 1.0)
    gap, _ = kolmogorov_smirnov(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 2.0]))
    assert gap == 0.5


def test_kolmogorovs_q_is_that_of_the_tables() -> None:
    # Smirnov 1948: 5 % at 1.3581, 1 % at 1.6276; and both ends.
    assert kolmogorov_q(1.3581) == pytest.approx(0.05, abs=1e-5)
    assert kolmogorov_q(1.6276) == pytest.approx(0.01, abs=1e-5)
    assert kolmogorov_q(0.0) == 1.0
    assert kolmogorov_q(0.2) == pytest.approx(1.0)
    assert kolmogorov_q(6.0) < 1e-30


def test_p_values_of_one_distribution_are_uniform_and_of_two_are_small() -> None:
    same = [kolmogorov_smirnov(normal(150, 2 * i), normal(150, 2 * i + 1))[1] for i in range(200)]
    assert sum(p < 0.1 for p in same) / len(same) == pytest.approx(0.1, abs=0.06)
    assert kolmogorov_smirnov(normal(500, 0), normal(500, 1) + 1)[1] < 1e-12


def test_auc_of_one_distribution_is_a_half_of_separated_ones_one_and_ties_count_half() -> None:
    same = auc(normal(300, 0), normal(300, 1))
    assert same.mean == pytest.approx(0.5, abs=0.05)
    assert same.low < 0.5 < same.high
    apart = auc(torch.arange(5.0), torch.arange(5.0) + 10)
    assert (apart.mean, apart.low, apart.high) == pytest.approx((1, 1, 1))
    assert auc(torch.arange(5.0) + 10, torch.arange(5.0)).mean == 0
    assert auc(torch.ones(4), torch.ones(3)).mean == 0.5
    assert auc(torch.tensor([0.0, 1.0]), torch.tensor([1.0])).mean == 0.75


def test_the_interval_of_the_auc_is_that_of_its_normal_approximation() -> None:
    n = 200
    found = auc(normal(n, 0), normal(n, 1) + 0.5)
    a = found.mean  # Hanley & McNeil 1982
    q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
    deviation = math.sqrt((a * (1 - a) + (n - 1) * (q1 + q2 - 2 * a**2)) / n**2)
    assert found.low == pytest.approx(a - 1.96 * deviation, abs=0.015)
    assert found.high == pytest.approx(a + 1.96 * deviation, abs=0.015)
