"""Pure key maps: which foreign tensors each of ours is made of, and is taken apart into."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unclip.checkpoints.tensors import Shapes, Source, check_strictly


@dataclass(frozen=True)
class Form:
    """How one of our tensors holds one or several foreign ones."""

    join: Callable[[Sequence[Tensor]], Tensor]
    split: Callable[[Tensor, int], Sequence[Tensor]]  # into so many


STACKED = Form(
    lambda parts: parts[0] if len(parts) == 1 else torch.cat(list(parts)),
    lambda whole, count: [whole] if count == 1 else whole.chunk(count),
)
"""Rows below each other."""

ROW = Form(lambda parts: parts[0].squeeze(0), lambda whole, _: [whole.unsqueeze(0)])
"""A vector that is a matrix of one row over there."""


@dataclass(frozen=True)
class Link:
    """One of our tensors and what it is over there."""

    ours: str
    theirs: tuple[str, ...]
    form: Form = STACKED


def layer(ours: str, *theirs: str) -> list[Link]:
    """Link the weight and the bias of a layer, or of several that are one here."""
    return [Link(f"{ours}.{kind}", tuple(f"{name}.{kind}" for name in theirs)) for kind in ("weight", "bias")]


def imported(source: Source, links: Sequence[Link], expected: Shapes) -> Source:
    """Return a foreign source by our names; `expected` are the shapes of ours.

    Raises CheckpointError that lists every unknown, missing and misshaped tensor by its foreign name.
    """
    by_ours = {link.ours: link for link in links}
    assert by_ours.keys() == expected.keys(), sorted(by_ours.keys() ^ expected.keys())
    theirs = dict[str, tuple[int, ...]]()
    for link in links:
        theirs |= _shapes_over_there(link, expected[link.ours])
    check_strictly(source.where, theirs, source.shapes)

    def read(names: Collection[str]) -> dict[str, Tensor]:
        found = source.read([name for ours in names for name in by_ours[ours].theirs])
        return {
            ours: by_ours[ours].form.join([found[name] for name in by_ours[ours].theirs]) for ours in names
        }

    return Source(source.where, expected, read)


def _shapes_over_there(link: Link, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    parts = link.form.split(torch.empty(shape, device="meta"), len(link.theirs))
    return {name: tuple(part.shape) for name, part in zip(link.theirs, parts, strict=True)}


def exported(tensors: Mapping[str, Tensor], links: Iterable[Link]) -> dict[str, Tensor]:
    """Return our tensors by their foreign names."""
    found = dict[str, Tensor]()
    for link in links:
        found |= dict(zip(link.theirs, link.form.split(tensors[link.ours], len(link.theirs)), strict=True))
    return found
