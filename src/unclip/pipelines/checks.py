"""What every request is checked for before anything runs: counts, seeds and scales."""

from collections.abc import Sequence

from unclip.errors import RequestError

LARGEST_SEED = 2**63 - 1


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


def seeds(seed: int, n: int) -> Sequence[int]:
    """Return the seeds of n pictures, from `seed` on. Raises RequestError if there are no such seeds."""
    check_count("n", n)
    if not 0 <= seed <= LARGEST_SEED - n:
        raise RequestError(f"seed must be between 0 and {LARGEST_SEED - n}, not {seed}")
    return range(seed, seed + n)
