"""Metrics against closed forms and known cases."""

import math

import pytest
import torch

from unclip.evaluation.metrics import (
    bootstrap,
    frechet_distance,
    precision_recall,
    r_precision,
    squared_mmd,
)


def normal(count: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_frechet_distance_of_gaussians_whose_axes_agree_is_that_of_means_and_deviations() -> None:
    x = normal(400, 3, 0)
    x = (x - x.mean(dim=0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T  # moments 0 and I
    scale, shift = torch.tensor([2.0, 0.5, 1.0]).double(), torch.tensor([1.0, 0.0, -2.0]).double()
    expected = shift.square().sum() + (scale - 1).square().sum()
    assert frechet_distance(x, x * scale + shift) == pytest.approx(expected.item(), rel=1e-9)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_does_not_depend_on_axes_or_order() -> None:
    x, y = normal(200, 4, 1), 2 * normal(300, 4, 2) + 1
    turned = torch.linalg.qr(normal(4, 4, 3)).Q
    assert frechet_distance(x @ turned, y @ turned) == pytest.approx(frechet_distance(x, y), rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-9)


def test_mmd_of_one_distribution_is_zero_on_average_and_of_two_is_the_closed_form() -> None:
    d, shift, sigma = 2, 1.5, 1.0
    same = [squared_mmd(normal(80, d, 2 * i), normal(80, d, 2 * i + 1), sigma) for i in range(60)]
    assert abs(sum(same) / len(same)) < 2e-3
    # E k of two normals at a distance: (s^2 / (s^2 + 2))^(d / 2) exp(-distance^2 / (2 (s^2 + 2))).
    factor = (sigma**2 / (sigma**2 + 2)) ** (d / 2)
    expected = 2 * factor * (1 - math.exp(-(d * shift**2) / (2 * (sigma**2 + 2))))
    measured = squared_mmd(normal(1500, d, 7), normal(1500, d, 8) + shift, sigma)
    assert measured == pytest.approx(expected, rel=0.05)


def test_precision_and_recall_tell_too_little_variety_from_wrong_pictures() -> None:
    real = normal(400, 2, 0)
    narrow, wrong = 0.05 * normal(400, 2, 1), normal(400, 2, 2) + 20
    precision, recall = precision_recall(real, narrow)
    assert precision > 0.95
    assert recall < 0.2
    assert precision_recall(real, wrong) == (0.0, 0.0)
    assert precision_recall(real, real) == (1.0, 1.0)


def test_r_precision_is_one_for_the_right_sentences_and_chance_for_random_ones() -> None:
    embeds = torch.nn.functional.normalize(normal(400, 16, 0), dim=1)
    assert r_precision(embeds, embeds, among=20) == 1.0
    other = torch.nn.functional.normalize(normal(400, 16, 1), dim=1)
    assert r_precision(embeds, other, among=20) == pytest.approx(1 / 20, abs=0.035)
    assert r_precision(embeds, -embeds, among=20) == 0.0


def test_bootstrap_interval_is_that_of_the_normal_approximation() -> None:
    values = (normal(300, 1, 4) > 0).float().expand(300, 4)
    interval = bootstrap(values)
    deviation = values[:, 0].std().item() / math.sqrt(300)
    assert interval.mean == pytest.approx(values.mean().item())
    assert interval.low == pytest.approx(interval.mean - 1.96 * deviation, abs=0.006)
    assert interval.high == pytest.approx(interval.mean + 1.96 * deviation, abs=0.006)
