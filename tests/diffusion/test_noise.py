import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unclip.diffusion.noise import derived_seed, generator, one_stream, seeded_noise, seeded_uniform

CPU = torch.device("cpu")


def test_streams_never_change() -> None:
    """Every picture that was ever made from a seed hangs on these."""
    assert derived_seed(7, "decoder") == 3872443095531480106
    expected = [[1.1700962781906128, 1.5687294006347656, -0.5199963450431824]]
    assert seeded_noise([7], "decoder", (3,), CPU)().tolist() == [pytest.approx(row) for row in expected]


@given(st.integers(), st.text(st.characters(codec="utf-8")))
def test_a_derived_seed_is_one_torch_takes(seed: int, purpose: str) -> None:
    assert 0 <= derived_seed(seed, purpose) < 2**63
    generator(CPU, seed, purpose)


def test_a_row_depends_on_its_own_seed_alone() -> None:
    noise = seeded_noise([3, 4, 5], "prior", (2, 6), CPU)
    alone = seeded_noise([4], "prior", (2, 6), CPU)
    for _ in range(3):
        assert torch.equal(noise()[1], alone()[0])


def test_draws_differ_by_seed_by_purpose_and_by_turn() -> None:
    noise = seeded_noise([3, 4], "prior", (6,), CPU)
    first, second = noise(), noise()
    other = seeded_noise([3, 4], "decoder", (6,), CPU)()
    rows = torch.cat([first, second, other])
    assert len(rows.unique(dim=0)) == 6


def test_noise_is_standard_normal() -> None:
    noise = seeded_noise(range(4), "prior", (50_000,), CPU)()
    torch.testing.assert_close(noise.mean(dim=1), torch.zeros(4), atol=0.02, rtol=0)
    torch.testing.assert_close(noise.var(dim=1), torch.ones(4), atol=0.03, rtol=0)


def test_uniform_numbers_are_spread_evenly_and_seeded_alike() -> None:
    uniform = seeded_uniform([3, 4], "prior_ar", (50_000,), CPU)
    first, second = uniform(), uniform()
    assert 0 <= first.min() < first.max() < 1
    torch.testing.assert_close(first.mean(dim=1), torch.full((2,), 0.5), atol=0.01, rtol=0)
    torch.testing.assert_close(first.var(dim=1), torch.full((2,), 1 / 12), atol=0.01, rtol=0)
    assert len(torch.cat([first, second])[:, :6].unique(dim=0)) == 4
    assert torch.equal(seeded_uniform([4], "prior_ar", (50_000,), CPU)()[0], first[1])
    assert seeded_uniform([3, 4], "prior_ar", (), CPU)().shape == (2,)


def test_one_stream_goes_on_from_purpose_to_purpose() -> None:
    noise_of, seeds = one_stream(), [7, 8]
    drawn = [
        noise_of(seeds, "prior", (16,), CPU)(),
        noise_of(seeds, "decoder", (2, 8), CPU)(),
        noise_of([8], "decoder", (2, 8), CPU)(),
    ]
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]
    assert torch.equal(drawn[0], torch.stack([torch.randn(16, generator=stream) for stream in streams]))
    assert torch.equal(drawn[1], torch.stack([torch.randn(2, 8, generator=stream) for stream in streams]))
    assert torch.equal(drawn[2][0], torch.randn(2, 8, generator=streams[1]))
    assert torch.equal(one_stream()(seeds, "again", (16,), CPU)(), drawn[0])
