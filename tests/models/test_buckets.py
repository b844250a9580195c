import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unclip.models.buckets import dequantise, equal_shares, quantise


def test_a_centre_is_the_mean_of_an_equal_share() -> None:
    values = torch.randn(4 * 50, 3)
    expected = values.sort(dim=0).values.view(50, 4, 3).mean(dim=1).T
    torch.testing.assert_close(equal_shares(values, 50), expected)


def test_values_on_a_border_count_on_both_sides_in_part() -> None:
    found = equal_shares(torch.tensor([[3.0], [0.0], [6.0]]), 2)  # shares of one and a half values
    assert found.tolist() == [[pytest.approx(1.0), pytest.approx(5.0)]]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_centres_rise_and_keep_the_mean_whatever_the_numbers(count: int, buckets: int, seed: int) -> None:
    values = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    centres = equal_shares(values, buckets)
    assert (centres.diff(dim=1) >= -1e-6).all()
    torch.testing.assert_close(centres.mean(dim=1), values.mean(dim=0), atol=1e-5, rtol=1e-5)


def test_each_bucket_is_as_likely() -> None:
    centres = equal_shares(torch.randn(20_000, 1), 16)
    held_out = quantise(torch.randn(20_000, 1), centres)
    shares = torch.bincount(held_out[:, 0], minlength=16) / 20_000
    # Borders are midway between centres, not at the quantiles; the ends of a normal are the farthest off.
    torch.testing.assert_close(shares[1:-1], torch.full((14,), 1 / 16), atol=0.015, rtol=0)
    assert shares.min() > 0.5 / 16


def test_a_value_gets_the_nearest_centre() -> None:
    centres = torch.randn(3, 20).sort(dim=1).values
    values = 2 * torch.randn(200, 3)
    nearest = (values[..., None] - centres).abs().argmin(dim=-1)
    assert torch.equal(quantise(values, centres), nearest)


def test_a_centre_is_its_own_token() -> None:
    centres = torch.randn(3, 20).sort(dim=1).values
    tokens = torch.randint(20, (50, 3))
    assert torch.equal(quantise(dequantise(tokens, centres), centres), tokens)
    assert torch.equal(dequantise(tokens[:, :2], centres), dequantise(tokens, centres)[:, :2])
