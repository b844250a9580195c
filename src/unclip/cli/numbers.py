"""Numbers between commas, as some options take them."""

from unclip.errors import RequestError


def numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    """Read numbers between commas. Raises RequestError for anything else."""
    try:
        return tuple(float(part) for part in text.split(",")) if text is not None else None
    except ValueError:
        raise RequestError(f"{name} {text!r} are not numbers between commas, as 2,1,1") from None


def whole_numbers(name: str, text: str | None) -> tuple[int, ...] | None:
    """Read whole numbers between commas. Raises RequestError for anything else."""
    try:
        return tuple(int(part) for part in text.split(",")) if text is not None else None
    except ValueError:
        raise RequestError(f"{name} {text!r} are not whole numbers between commas, as 20,40") from None


def pair(name: str, text: str, example: str) -> tuple[int, int]:
    """Read two whole numbers. Raises RequestError, with an example of what is meant, for anything else."""
    try:
        first, second = (int(part) for part in text.split(","))
    except ValueError:
        raise RequestError(f"{name} {text!r} is not two whole numbers, as {example}") from None
    return first, second
