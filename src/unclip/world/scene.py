"""What a picture shows, before it is drawn or described."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random

from unclip.world.backgrounds import BACKGROUNDS
from unclip.world.concepts import SOLIDS, Concept
from unclip.world.heldout import holds_colour, holds_count, holds_pair, holds_relation, holds_style
from unclip.world.words import COLOURS

# How often each relation is tried, and the parts of its two things where not all things will do.
_RELATIONS = {
    "left of": 0.2,
    "right of": 0.2,
    "above": 0.12,
    "below": 0.12,
    "on top of": 0.16,
    "inside": 0.05,
    "riding": 0.05,
    "wearing": 0.05,
    "holding": 0.05,
}
PARTS = {
    "inside": ("held", "rim"),
    "riding": ("ride", "seat"),
    "wearing": ("wear", "worn"),
    "holding": ("hold", "held"),
}
_COLOURED, _SIZED = 0.5, 0.12  # of all things, the shares whose colour and size are named
_EQUAL_PAIR, _EQUAL = 0.25, 0.5  # of two and of more objects, the share that are all the same
_RELATED = 0.85  # of two different objects, the share that stand in a relation
_SOLID = 0.25  # of the things of the 3D style, the share that are solids


@dataclass(frozen=True)
class Thing:
    """`count` equal things of one concept. Without a colour it has its own, without a size a usual one."""

    concept: Concept
    colour: str | None = None
    size: str | None = None
    count: int = 1


@dataclass(frozen=True)
class Scene:
    """All that a caption may tell, and one number more from which comes all that it does not.

    relation: of `things[0]` to `things[1]`, the only two where it is given.
    nuisance: decides place, pose, shade and the kind of background.
    variation: how far the first three reach: 1 is usual, and 0 shows equal things always alike.
    """

    style: str
    background: str
    things: tuple[Thing, ...]
    relation: str | None
    nuisance: int
    variation: float = 1.0


Casts = Mapping[str, Sequence[Concept]]
"""The drawn concepts that may appear, by style."""


def draw_scene(rng: Random, casts: Casts, objects: int, variation: float = 1.0) -> Scene:
    """Draw a scene of so many objects, held out or not."""
    style = rng.choice([style for style, cast in casts.items() if len(cast) >= objects or style == "3d"])
    relation, things = _things(rng, style, casts[style], objects)
    hidden = {thing.colour for thing in things}
    background = rng.choice([name for name, place in BACKGROUNDS.items() if not place.hides & hidden])
    return Scene(style, background, things, relation, rng.getrandbits(62), variation)


def is_heldout(scene: Scene) -> bool:
    """Whether a scene contains a combination that training never shows."""
    return any(_combinations(scene))


def _combinations(scene: Scene) -> Iterator[bool]:
    for thing in scene.things:
        yield bool(thing.concept.art) and holds_style(thing.concept.name, scene.style)
        yield thing.colour is not None and holds_colour(thing.concept.name, thing.colour)
        yield thing.count > 1 and holds_count(thing.concept.name, thing.count)
    names = [thing.concept.name for thing in scene.things]
    yield from (holds_pair(*pair) for pair in combinations(names, 2))
    yield scene.relation is not None and holds_relation(names[0], scene.relation, names[1])


def _things(
    rng: Random, style: str, cast: Sequence[Concept], objects: int
) -> tuple[str | None, tuple[Thing, ...]]:
    if objects == 1:
        return None, (_thing(rng, _pick(rng, style, cast)),)
    if rng.random() < (_EQUAL_PAIR if objects == 2 else _EQUAL):
        return None, (_thing(rng, _pick(rng, style, cast), count=objects),)
    if objects == 2 and rng.random() < _RELATED:
        return _related(rng, style, cast)
    counts = rng.choice(((objects - 1, 1), (1,) * objects))
    return None, _different(rng, style, cast, counts)


def _related(rng: Random, style: str, cast: Sequence[Concept]) -> tuple[str, tuple[Thing, ...]]:
    relation = rng.choices(tuple(_RELATIONS), tuple(_RELATIONS.values()))[0]
    if relation not in PARTS:
        return relation, _different(rng, style, cast, (1, 1))
    pair = [[concept for concept in cast if part in concept.parts] for part in PARTS[relation]]
    if not all(pair):
        return _related(rng, style, cast)
    first, second = (replace(_thing(rng, rng.choice(concepts)), size=None) for concepts in pair)
    blends = first.concept == second.concept or first.colour == second.colour is not None
    return _related(rng, style, cast) if blends else (relation, (first, second))


def _different(rng: Random, style: str, cast: Sequence[Concept], counts: Sequence[int]) -> tuple[Thing, ...]:
    concepts: list[Concept] = []
    while len(concepts) < len(counts):
        concept = _pick(rng, style, cast)
        if concept not in concepts:
            concepts.append(concept)
    return tuple(_thing(rng, concept, count) for concept, count in zip(concepts, counts, strict=True))


def _pick(rng: Random, style: str, cast: Sequence[Concept]) -> Concept:
    return rng.choice(SOLIDS if style == "3d" and rng.random() < (_SOLID if cast else 1) else cast)


def _thing(rng: Random, concept: Concept, count: int = 1) -> Thing:
    named = concept.recolour and (not concept.art or rng.random() < _COLOURED)
    colour = rng.choice(tuple(COLOURS)) if named else None
    size = rng.choice(("big", "small")) if count == 1 and rng.random() < _SIZED else None
    return Thing(concept, colour, size, count)
