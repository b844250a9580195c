"""What the world has things of: a concept is a noun with a drawing of it in every style."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from unclip.world.grammar import plural


@dataclass(frozen=True)
class Concept:
    """A kind of thing.

    names: the words a caption may use, the usual one first.
    art: lower-case name of its drawings in the art sets; "" for a solid, which is computed.
    plural: of the usual name.
    bare: whether the usual name takes no article: "sunglasses".
    recolour: whether a colour can be named for it.
    does: its parts in relations: "ride", "hold", "held", "wear", "worn"; what is worn is a hat or "eyewear".
    anchors: where its "rim", "seat", "brow" or "eyes" are, from the top (0) to the bottom (1) of what is
        drawn, in each style in the order of `STYLES`.
    """

    names: tuple[str, ...]
    art: str
    plural: str
    bare: bool = False
    recolour: bool = True
    does: frozenset[str] = frozenset()
    anchors: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]], hash=False)

    @property
    def name(self) -> str:
        """The usual name, by which held-out combinations know the concept."""
        return self.names[0]

    @property
    def parts(self) -> frozenset[str]:
        """All that it can be in a relation, by what it does or by a place that it has."""
        return self.does.union(self.anchors)


SOLIDS = tuple(
    Concept((name, *more), "", plural(name), does=frozenset({"held"}))
    for name, *more in (("cube", "block"), ("sphere", "ball"), ("cylinder",), ("cone",), ("pyramid",))
)


@cache
def listed() -> tuple[Concept, ...]:
    """Read the list that comes with the package, the most common and distinct concepts first."""
    rows = tomllib.loads(Path(__file__).with_name("concepts.toml").read_text("utf-8"))["concepts"]
    return tuple(_concept({"names": [row]} if isinstance(row, str) else row) for row in rows)


def _concept(row: Mapping[str, Any]) -> Concept:
    first, *others = row["names"]
    anchors = {place: tuple(row[place]) for place in ("rim", "seat", "brow", "eyes") if place in row}
    return Concept(
        (first, *others),
        row.get("art", first),
        row.get("plural", plural(first)),
        row.get("bare", False),
        row.get("recolour", True),
        frozenset(row.get("does", ())),
        anchors,
    )
