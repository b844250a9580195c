"""What every request is checked for before anything runs: counts, seeds and scales."""

from collections.abc import Sequence
from typing import Literal, get_args

from unclip.diffusion.noise import NoiseOf, one_stream, seeded_noise
from unclip.errors import RequestError

LARGEST_SEED = 2**63 - 1

Rng = Literal["unclip", "diffusers"]


def check_count(name: str, value: int) -> None:
    """Raise RequestError unless there is at least one."""
    if value < 1:
        raise RequestError(f"{name} must be at least 1, not {value}")


def check_share(name: str, value: float | None, most: float = 1.0) -> None:
    """Raise RequestError unless a number lies between 0 and `most`, or is None."""
    if value is not None and not 0 <= value <= most:
        raise RequestError(f"{name} must be between 0 and {most:g}, not {value:g}")


def check_guidance(name: str, scale: float | None) -> None:
    """Raise RequestError unless a guidance scale lies between 0 and 100, or is None."""
    check_share(name, scale, most=100.0)


def noise_by(rng: Rng) -> NoiseOf:
    """Return how noise comes of seeds.

    "unclip": one stream for each seed and stage. "diffusers": as its pipelines draw it from a list of
    generators, one for each seed. Raises RequestError for another name.
    """
    if rng not in get_args(Rng):
        raise RequestError(f"rng {rng!r} is not one of {', '.join(get_args(Rng))}")
    return one_stream() if rng == "diffusers" else seeded_noise


def seeds(seed: int, n: int) -> Sequence[int]:
    """Return the seeds of n pictures, from `seed` on. Raises RequestError if there are no such seeds."""
    check_count("n", n)
    if not 0 <= seed <= LARGEST_SEED - n:
        raise RequestError(f"seed must be between 0 and {LARGEST_SEED - n}, not {seed}")
    return range(seed, seed + n)
