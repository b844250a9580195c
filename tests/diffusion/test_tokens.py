from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor

from unclip.diffusion.driver import Denoising, finish, run
from unclip.diffusion.guides import Conditions, classifier_free, conditional
from unclip.diffusion.noise import seeded_uniform
from unclip.diffusion.tokens import Logits, draw_tokens, token_at

CPU = torch.device("cpu")
SHARES = torch.tensor([0.1, 0.0, 0.4, 0.2, 0.3])
Network = Callable[..., Tensor]


def evenly(count: int) -> Tensor:
    """As many numbers in [0, 1), each in the middle of its share."""
    return (torch.arange(count) + 0.5) / count


def drawn(network: Network, uniform: Callable[[], Tensor], count: int = 3, floor: float = 0.5) -> Tensor:
    sampling = draw_tokens(uniform, count, floor)
    return finish(run(Denoising("prior_ar", count, network, sampling, conditional(Logits(), {}))))


def like_shares(x_t: Tensor, t: Tensor) -> Tensor:
    return SHARES.log().expand(len(x_t), -1)


def after_last(x_t: Tensor, t: Tensor) -> Tensor:
    """Logits that make each token the one before it plus one, the first of them 3."""
    last = x_t[:, -1] if x_t.shape[1] else torch.full((len(x_t),), 2)
    return 100 * torch.nn.functional.one_hot((last + 1) % 5, 5).float()


def test_tokens_are_as_likely_as_they_are_said_to_be() -> None:
    found = token_at(like_shares(torch.zeros(1000, 0), evenly(1000)), evenly(1000))
    assert torch.bincount(found, minlength=5).tolist() == [100, 0, 400, 200, 300]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_ends_of_the_range_are_drawn_safely(scale: float) -> None:
    logits = scale * torch.randn(4, 1024)
    logits[:, [0, -1]] = -torch.inf  # tokens that cannot be
    for u in (0.0, 0.5, 1 - 2.0**-24, 1 - 2.0**-53, 1.0):
        found = token_at(logits, torch.full((4,), u, dtype=torch.float64))
        assert ((found >= 0) & (found < 1024)).all()
        if u < 1:
            assert torch.isfinite(logits[torch.arange(4), found]).all()


def test_each_token_is_asked_for_with_those_before_it() -> None:
    asked = list[tuple[list[int], list[int]]]()

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append((x_t[0].tolist(), t.tolist()))
        return after_last(x_t, t)

    found = drawn(network, lambda: torch.rand(2), count=4)
    assert found.dtype == torch.int64
    assert found.tolist() == [[3, 4, 0, 1]] * 2
    assert asked == [([], [0, 0]), ([3], [1, 1]), ([3, 4], [2, 2]), ([3, 4, 0], [3, 3])]


@pytest.mark.parametrize(
    ("floor", "first"),
    [(0.0, [100, 0, 400, 200, 300]), (0.5, [0, 0, 0, 400, 600]), (0.95, [0, 0, 0, 0, 1000])],
)
def test_the_first_token_alone_is_from_above_the_floor(floor: float, first: list[int]) -> None:
    found = drawn(like_shares, lambda: evenly(1000), count=2, floor=floor)
    assert torch.bincount(found[:, 0], minlength=5).tolist() == pytest.approx(first, abs=1)
    assert torch.bincount(found[:, 1], minlength=5).tolist() == [100, 0, 400, 200, 300]


def test_the_first_token_never_falls_beyond_the_last() -> None:
    """Half of 1 - 2^-24 and a half is 1 in float32."""
    last = torch.tensor([[0.0, 0.0, -torch.inf]])
    assert drawn(lambda x_t, t: last, lambda: torch.tensor([1 - 2.0**-24])).tolist() == [[1, 1, 1]]


def test_a_row_depends_on_its_own_seed_alone() -> None:
    def network(x_t: Tensor, t: Tensor) -> Tensor:
        steps = torch.arange(1, 65) * (1 + x_t.sum(dim=1, keepdim=True) + t[:, None])
        return steps.float().sin()

    def tokens(seeds: Sequence[int]) -> Tensor:
        return drawn(network, seeded_uniform(seeds, "prior_ar", (), CPU), count=8)

    together = tokens([3, 4, 5])
    assert torch.equal(together[1:2], tokens([4]))
    assert len(together.unique(dim=0)) == 3


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_guidance_moves_logits_away_from_the_unconditional(scale: float) -> None:
    given: Conditions = {"logits": torch.randn(2, 5)}
    without: Conditions = {"logits": torch.randn(2, 5)}
    guidance = classifier_free(Logits(), given, without, scale)

    def network(x_t: Tensor, t: Tensor, logits: Tensor) -> Tensor:
        return logits

    u = torch.rand(2)
    sampling = draw_tokens(lambda: u, 2, floor=0.0)
    found = finish(run(Denoising("prior_ar", 2, network, sampling, guidance)))
    guided = without["logits"] + scale * (given["logits"] - without["logits"])
    assert torch.equal(found, token_at(guided, u)[:, None].expand(-1, 2))


def test_a_number_is_used_once() -> None:
    numbers: Iterator[Tensor] = iter([torch.tensor([0.2]), torch.tensor([0.05]), *[torch.tensor([0.6])] * 2])
    assert drawn(like_shares, lambda: next(numbers)).tolist() == [[3, 0, 3]]
