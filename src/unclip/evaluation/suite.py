"""WorldEval's sentences: GenEval's six tasks on the world's things, and what only the world can be asked.

A sentence says everything that its scene fixes, in one of the wordings of the training captions. Seen scenes
are combinations that training shows, unseen ones hold at least one that it never does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from unclip.evaluation.rules import Clause, Wanted
from unclip.world.backgrounds import BACKGROUNDS
from unclip.world.caption import describe
from unclip.world.concepts import SOLIDS, Concept, listed
from unclip.world.scene import PARTS, Scene, Thing, is_heldout
from unclip.world.words import COLOURS
from unclip.world.world import WorldConfig

Things = tuple[str | None, tuple[Thing, ...]]  # a relation, and what stands in it
Pick = Callable[[str], Concept]  # a concept, given what it must be able to do in a relation, or ""

_TRIES = 10_000


@dataclass(frozen=True)
class Item:
    """One sentence, and what its pictures must show for each task that they are judged in."""

    sentence: str
    scene: Scene
    unseen: bool
    wanted: Mapping[str, Wanted]


def single(rng: Random, pick: Pick) -> Things:
    """One thing."""
    return None, (Thing(pick("")),)


def two_objects(rng: Random, pick: Pick) -> Things:
    """Two different things."""
    return None, tuple(Thing(concept) for concept in _two(pick))


def counting(rng: Random, pick: Pick) -> Things:
    """Two to four things of a kind."""
    return None, (Thing(pick(""), count=rng.randint(2, 4)),)


def colours(rng: Random, pick: Pick) -> Things:
    """One thing in a named colour."""
    return None, (Thing(pick("recolour"), rng.choice(list(COLOURS))),)


def position(rng: Random, pick: Pick) -> Things:
    """Two different things side by side, or one over the other."""
    relation = rng.choice(("left of", "right of", "above", "below"))
    return relation, tuple(Thing(concept) for concept in _two(pick))


def colour_attribution(rng: Random, pick: Pick) -> Things:
    """Two different things in two different colours."""
    shades = rng.sample(list(COLOURS), 2)
    pair = _two(pick, "recolour")
    return None, tuple(Thing(concept, colour) for concept, colour in zip(pair, shades, strict=True))


def relations(rng: Random, pick: Pick) -> Things:
    """Two different things that touch."""
    relation = rng.choice(("on top of", "inside", "riding", "wearing"))
    return relation, tuple(Thing(concept) for concept in _two(pick, *PARTS.get(relation, ("",))))


KINDS: Mapping[str, Callable[[Random, Pick], Things]] = {
    kind.__name__: kind
    for kind in (single, two_objects, counting, colours, position, colour_attribution, relations)
}
TASKS = ("single_object", "style", "background", *list(KINDS)[1:])
"""All tasks; the first three are asked of the same pictures."""


def suite(world: WorldConfig, per_kind: int, unseen: bool, seed: int = 0) -> Iterator[Item]:
    """Yield `per_kind` sentences of every kind on what a world shows; always the same ones."""
    for kind, draw in KINDS.items():
        for index in range(per_kind):
            yield _item(kind, draw, world, unseen, Random(f"{seed}/{kind}/{unseen}/{index}"))


def _item(
    kind: str, draw: Callable[[Random, Pick], Things], world: WorldConfig, unseen: bool, rng: Random
) -> Item:
    known = listed()[: world.concepts]
    for _ in range(_TRIES):
        style = rng.choice(world.styles)
        pool = (*known, *SOLIDS) if style == "3d" else known
        try:
            relation, things = draw(rng, lambda part, pool=pool: rng.choice(_able(pool, part)))
            things = tuple(_coloured(rng, thing) for thing in things)
        except IndexError:  # nothing plays a part in this relation; in another, something may
            continue
        hidden = {thing.colour for thing in things}
        place = rng.choice([name for name, place in BACKGROUNDS.items() if not place.hides & hidden])
        scene = Scene(style, place, things, relation, rng.getrandbits(62), world.variation)
        if is_heldout(scene) == unseen:
            return Item(describe(scene, rng, dense=1.0), scene, unseen, _wanted(kind, scene))
    raise AssertionError(f"no {'unseen' if unseen else 'seen'} scene of kind {kind}")


def _coloured(rng: Random, thing: Thing) -> Thing:
    """Give a solid without a colour one: the world shows none without."""
    if thing.concept.art or thing.colour:
        return thing
    return replace(thing, colour=rng.choice(list(COLOURS)))


def _able(pool: Sequence[Concept], part: str) -> list[Concept]:
    if part == "recolour":
        return [concept for concept in pool if concept.recolour]
    return [concept for concept in pool if not part or part in concept.parts]


def _two(pick: Pick, first: str = "", second: str | None = None) -> tuple[Concept, Concept]:
    """Two different concepts that play their parts."""
    one = pick(first)
    for _ in range(100):
        if (other := pick(first if second is None else second)) != one:
            return one, other
    raise IndexError("only one concept plays these parts")


def _wanted(kind: str, scene: Scene) -> dict[str, Wanted]:
    asked = kind in ("colours", "colour_attribution")  # elsewhere only solids have one
    clauses = [
        Clause(thing.concept.name, thing.count, thing.colour if asked else None) for thing in scene.things
    ]
    if scene.relation:  # GenEval's order: what the relation is to comes first
        first, second = clauses
        clauses = [second, Clause(first.concept, first.count, first.colour, scene.relation, to=0)]
    if kind == "single":
        return {
            "single_object": Wanted(tuple(clauses)),
            "style": Wanted(style=scene.style),
            "background": Wanted(background=scene.background),
        }
    return {kind: Wanted(tuple(clauses), exactly=kind == "counting")}
