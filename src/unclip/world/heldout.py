"""What training never shows: combinations whose parts are all known, and some of the photographs.

Chosen by SHA-256 of their names, so that they are the same in every process, seed and version of Python.
"""

import hashlib
from functools import cache

from unclip.world.words import MIRRORED, STYLES

# Of all combinations of a kind, and of all photographs, the share held out.
SHARES = {"colour": 0.1, "pair": 0.1, "relation": 0.2, "count": 0.1, "style": 0.1, "photograph": 0.1}


def holds_colour(concept: str, colour: str) -> bool:
    """Whether a concept is never shown in this colour."""
    return _held("colour", concept, colour)


def holds_count(concept: str, count: int) -> bool:
    """Whether a concept is never shown this many times, from two up."""
    return _held("count", concept, str(count))


def holds_pair(first: str, second: str) -> bool:
    """Whether two concepts never meet in a scene."""
    return _held("pair", *sorted((first, second)))


def holds_relation(first: str, relation: str, second: str) -> bool:
    """Whether a relation is never shown between two concepts, said from either side."""
    if relation in MIRRORED:
        first, relation, second = second, MIRRORED[relation], first
    return _held("relation", first, relation, second)


def holds_style(concept: str, style: str) -> bool:
    """Whether a concept is never shown in this style. Of the four styles two at least are shown."""
    return style in _held_styles(concept)


def holds_photograph(key: str) -> bool:
    """Whether the photograph of this key, its name in its shard, is never shown."""
    return _held("photograph", key)


@cache
def _held_styles(concept: str) -> tuple[str, ...]:
    held = [style for style in STYLES if _fraction("style", concept, style) < SHARES["style"]]
    return tuple(held[: len(STYLES) - 2])


def _held(kind: str, *names: str) -> bool:
    return _fraction(kind, *names) < SHARES[kind]


def _fraction(kind: str, *names: str) -> float:
    """A number in [0, 1) that the names determine."""
    digest = hashlib.sha256("|".join((kind, *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
