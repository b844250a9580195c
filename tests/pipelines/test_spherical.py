import math
from itertools import pairwise, permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unclip.pipelines.spherical import slerp, spherical_mean

SEEDS = st.integers(0, 10_000)
THETAS = st.floats(0, 1)


def directions(count: int, d: int = 16, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    points = torch.randn(count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (points / points.norm(dim=1, keepdim=True)).to(dtype)


def angle(a: Tensor, b: Tensor) -> float:
    u, v = (x.double().flatten() / x.double().norm() for x in (a, b))
    return 2 * math.atan2((u - v).norm().item(), (u + v).norm().item())


@settings(max_examples=30)
@given(SEEDS, st.sampled_from([torch.float32, torch.float64]))
def test_the_way_begins_and_ends_at_its_ends(seed: int, dtype: torch.dtype) -> None:
    a, b = directions(2, seed=seed, dtype=dtype)
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)
    assert slerp(a, b, 0.3).dtype == dtype


@settings(max_examples=30)
@given(SEEDS, THETAS)
def test_the_way_keeps_to_the_sphere_at_constant_speed(seed: int, theta: float) -> None:
    a, b = directions(2, seed=seed)
    point, whole = slerp(a, b, theta), angle(a, b)
    assert point.norm().item() == pytest.approx(1, abs=1e-5)
    assert angle(a, point) == pytest.approx(theta * whole, abs=1e-5)
    assert angle(point, b) == pytest.approx((1 - theta) * whole, abs=1e-5)


@pytest.mark.parametrize("apart", [1e-12, 1e-7, 1e-5, 1e-3, 0.1, 3.0, 3.14])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_steps_turn_by_equal_angles(apart: float, dtype: torch.dtype) -> None:
    """Also between nearly parallel and nearly opposite points, and in float32."""
    u, v = torch.linalg.qr(torch.randn(16, 2, dtype=torch.float64)).Q.T
    a, b = u.to(dtype), (math.cos(apart) * u + math.sin(apart) * v).to(dtype)
    points = [slerp(a, b, k / 10) for k in range(11)]
    assert all(abs(point.norm().item() - 1) < 1e-5 for point in points)
    for before, after in pairwise(points):
        assert angle(before, after) == pytest.approx(angle(a, b) / 10, abs=1e-6)


def test_between_a_point_and_itself_there_is_no_other() -> None:
    (a,) = directions(1)
    for theta in (0.0, 0.4, 1.0):
        torch.testing.assert_close(slerp(a, a.clone(), theta), a)


def test_beyond_its_ends_the_way_goes_on() -> None:
    a, b = torch.eye(2)
    torch.testing.assert_close(slerp(a, b, 2.0), -a)
    torch.testing.assert_close(slerp(a, b, -1.0), -b)


def test_opposite_points_still_give_numbers() -> None:
    (a,) = directions(1)
    assert slerp(a, -a, 0.5).isfinite().all()


@settings(max_examples=30)
@given(SEEDS, THETAS)
def test_there_and_back_is_the_same_way(seed: int, theta: float) -> None:
    a, b = directions(2, seed=seed)
    torch.testing.assert_close(slerp(a, b, theta), slerp(b, a, 1 - theta), atol=1e-6, rtol=0)


@pytest.mark.parametrize("theta", [0.0, 0.25, 1.0])
def test_the_length_is_interpolated_in_a_straight_line(theta: float) -> None:
    a, b = directions(2)
    assert slerp(2 * a, 5 * b, theta).norm().item() == pytest.approx(2 + 3 * theta, rel=1e-5)


def test_noise_of_any_shape_is_one_vector() -> None:
    a, b = torch.randn(2, 1, 3, 8, 8)
    found = slerp(a, b, 0.3)
    assert found.shape == a.shape
    torch.testing.assert_close(found.flatten(), slerp(a.flatten(), b.flatten(), 0.3))
    assert found.std().item() == pytest.approx(1, abs=0.1)  # a straight line's would be 0.76


# The mean


@settings(max_examples=30)
@given(SEEDS, THETAS)
def test_the_mean_of_two_is_their_slerp(seed: int, theta: float) -> None:
    a, b = directions(2, seed=seed)
    found = spherical_mean([3 * a, 2 * b], [1 - theta, theta])
    torch.testing.assert_close(found, slerp(3 * a, 2 * b, theta), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mean_does_not_depend_on_the_order(dtype: torch.dtype) -> None:
    points, weights = directions(4, dtype=dtype), [0.5, 1.0, 2.0, 0.1]
    expected = spherical_mean(list(points), weights)
    assert expected.dtype == dtype
    for order in permutations(range(4)):
        found = spherical_mean([points[k] for k in order], [weights[k] for k in order])
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@settings(max_examples=30)
@given(SEEDS, st.floats(0.01, 1000))
def test_weights_count_in_proportion(seed: int, factor: float) -> None:
    points = list(directions(3, seed=seed))
    expected = spherical_mean(points, [1.0, 2.0, 0.0])
    found = spherical_mean(points, [factor, 2 * factor, 0.0])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(expected, slerp(points[0], points[1], 2 / 3), atol=1e-5, rtol=0)


@settings(max_examples=30)
@given(SEEDS)
def test_a_weight_of_2_is_two_points(seed: int) -> None:
    a, b, c = directions(3, seed=seed)
    found = spherical_mean([a, b, c], [2.0, 1.0, 1.0])
    torch.testing.assert_close(found, spherical_mean([a, a, b, c], [1.0] * 4), atol=1e-6, rtol=0)


@settings(max_examples=30)
@given(SEEDS)
def test_no_point_nearby_has_a_smaller_sum_of_squared_angles(seed: int) -> None:
    points, weights = directions(4, seed=seed, dtype=torch.float64), (1.0, 0.3, 2.0, 0.7)
    mean = spherical_mean(list(points), weights)

    def cost(at: Tensor) -> float:
        return sum(w * angle(at, point) ** 2 for w, point in zip(weights, points, strict=True))

    for step in directions(8, seed=seed + 1, dtype=torch.float64):
        assert cost(mean) < cost(mean + 1e-3 * step)


def test_the_mean_of_one_is_itself() -> None:
    (a,) = directions(1)
    torch.testing.assert_close(spherical_mean([2 * a], [0.4]), 2 * a)
    torch.testing.assert_close(spherical_mean([a, a.clone()], [1.0, 5.0]), a)
