import math
from typing import Any

import pytest

from unclip.errors import RequestError
from unclip.pipelines.checks import LARGEST_SEED, check_count, check_guidance, check_share, seeds


@pytest.mark.parametrize("value", [1, 2, 10**9])
def test_a_count_is_one_or_more(value: int) -> None:
    check_count("n", value)


@pytest.mark.parametrize("value", [0, -1])
def test_a_count_of_none_is_refused(value: int) -> None:
    with pytest.raises(RequestError, match=f"^candidates must be at least 1, not {value}$"):
        check_count("candidates", value)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, None])
def test_a_share_lies_between_0_and_1_or_is_left_open(value: float | None) -> None:
    check_share("eta", value)


@pytest.mark.parametrize(
    ("value", "shown"), [(-0.1, "-0.1"), (1.01, "1.01"), (math.inf, "inf"), (math.nan, "nan")]
)
def test_what_is_no_share_is_refused(value: float, shown: str) -> None:
    with pytest.raises(RequestError, match=f"^eta must be between 0 and 1, not {shown}$"):
        check_share("eta", value)


@pytest.mark.parametrize("value", [0.0, 1.0, 100.0, None])
def test_a_guidance_scale_lies_between_0_and_100_or_is_left_open(value: float | None) -> None:
    check_guidance("guidance_scale", value)


@pytest.mark.parametrize("value", [-1.0, 100.5, math.nan])
def test_another_guidance_scale_is_refused(value: float) -> None:
    with pytest.raises(RequestError, match=r"^prior_guidance_scale must be between 0 and 100, not "):
        check_guidance("prior_guidance_scale", value)


def test_every_picture_has_the_seed_after_the_one_before() -> None:
    assert list(seeds(7, 3)) == [7, 8, 9]
    assert list(seeds(0, 1)) == [0]
    assert list(seeds(LARGEST_SEED - 2, 2)) == [LARGEST_SEED - 2, LARGEST_SEED - 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, 0), "n must be at least 1, not 0"),
        ((-1, 1), f"seed must be between 0 and {LARGEST_SEED - 1}, not -1"),
        ((LARGEST_SEED, 1), f"seed must be between 0 and {LARGEST_SEED - 1}, not {LARGEST_SEED}"),
        ((LARGEST_SEED - 1, 2), f"seed must be between 0 and {LARGEST_SEED - 2}, not {LARGEST_SEED - 1}"),
    ],
)
def test_seeds_that_there_are_not_are_refused(given: Any, message: str) -> None:
    with pytest.raises(RequestError, match=f"^{message}$"):
        seeds(*given)
