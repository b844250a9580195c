"""Where everything stands: positions that truly show what the caption says, with mild variation.

Coordinates run from 0 to 1 over the picture, y downwards.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from unclip.world.scene import Scene, Thing
from unclip.world.sprites import Extent, Sprites
from unclip.world.words import STYLES

_SHARES = {None: (0.62, 0.84), "big": (0.88, 0.96), "small": (0.3, 0.4)}  # of the picture, for a thing alone
_FACTORS = {
    None: (0.86, 1.0),
    "big": (1.0, 1.0),
    "small": (0.55, 0.65),
}  # of the room it has, for one of several


@dataclass(frozen=True)
class Placement:
    """One drawing in the picture.

    thing: which of the scene's.
    cx, cy: middle of what is drawn.
    side: of the drawing's whole square.
    angle: in degrees, clockwise.
    shade: what its brightness is multiplied by.
    from_row: only what lies below this height of the picture is drawn.
    """

    thing: Thing
    extent: Extent
    cx: float
    cy: float
    side: float
    angle: float
    flip: bool
    shade: float
    from_row: float = 0.0

    @property
    def width(self) -> float:
        """Width of what is drawn, before it is turned."""
        return self.extent.width * self.side

    @property
    def height(self) -> float:
        """Height of what is drawn, before it is turned."""
        return self.extent.height * self.side

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge of what is drawn, when it is turned."""
        turn = math.radians(self.angle)
        cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
        half_w = (self.width * cos + self.height * sin) / 2
        half_h = (self.width * sin + self.height * cos) / 2
        top = max(self.cy - half_h, self.from_row)
        return self.cx - half_w, top, self.cx + half_w, self.cy + half_h

    @property
    def top(self) -> float:
        """Upper edge of what is drawn, before it is turned."""
        return self.cy - self.height / 2

    def at(self, fraction: float) -> float:
        """Give the height at a fraction of what is drawn, from its top (0) to its bottom (1)."""
        return self.top + fraction * self.height


@dataclass(frozen=True)
class _Room:
    """A place to fill: its middle and its size."""

    cx: float
    cy: float
    width: float
    height: float


def lay_out(scene: Scene, sprites: Sprites) -> list[Placement]:
    """Place the things of a scene, from back to front."""
    rng = Random(f"{scene.nuisance}/layout")
    things = [thing for thing in scene.things for _ in range(thing.count)]
    stage = _Stage(scene.style, scene.variation, sprites, rng)
    if len(things) == 1:
        return [stage.alone(things[0])]
    if scene.relation:
        return stage.related(scene.relation, *things)
    rng.shuffle(things)
    return stage.spread(things, _ROOMS[len(things)])


@dataclass(frozen=True)
class _Stage:
    style: str
    variation: float
    sprites: Sprites
    rng: Random

    def alone(self, thing: Thing) -> Placement:
        share = self.between(*_SHARES[thing.size])
        placed = self.put(thing, _Room(0.5, 0.5, share, share), tilt=8.0)
        free_x, free_y = max(0.48 - placed.width / 2, 0), max(0.48 - placed.height / 2, 0)
        dx, dy = (self.between(-1.0, 1.0) * min(free, 0.2) for free in (free_x, free_y))
        return replace(placed, cx=0.5 + dx, cy=0.5 + dy)

    def related(self, relation: str, first: Thing, second: Thing) -> list[Placement]:
        if relation in _SIDES:
            return self.spread((first, second), _SIDES[relation])
        return _CONTACTS[relation](self, first, second)

    def spread(self, things: Sequence[Thing], rooms: Sequence[_Room]) -> list[Placement]:
        return [self.fitted(thing, room, tilt=6.0) for thing, room in zip(things, rooms, strict=True)]

    def on_top(self, first: Thing, second: Thing) -> list[Placement]:
        under = self.fitted(second, _Room(0.5, 0.72, 0.66, 0.44))
        over = self.fitted(first, _Room(0.5, 0.3, 0.5, 0.42))
        return [under, self.resting(over, under.cx, under.top + 0.03 * under.height)]

    def inside(self, first: Thing, second: Thing) -> list[Placement]:
        holder = self.put(second, _Room(0.5, 0.58, 0.84, 0.74))
        rim = holder.at(self.anchor(second, "rim"))
        thing = self.put(first, _Room(0.5, 0.4, 0.56 * holder.width, 0.5))
        inside = replace(thing, cx=holder.cx, cy=max(rim - 0.2 * thing.height, 0.02 + thing.height / 2))
        return [holder, inside, replace(holder, from_row=rim)]

    def riding(self, first: Thing, second: Thing) -> list[Placement]:
        mount = self.put(second, _Room(0.5, 0.68, 0.8, 0.52))
        rider = self.put(first, _Room(0.5, 0.3, 0.44, 0.42))
        return [mount, self.resting(rider, mount.cx, mount.at(self.anchor(second, "seat")) + 0.04)]

    def wearing(self, first: Thing, second: Thing) -> list[Placement]:
        wearer = self.put(first, _Room(0.5, 0.62, 0.72, 0.66))
        eyewear = "eyewear" in second.concept.does
        worn = self.put(second, _Room(0.5, 0.3, (0.8 if eyewear else 0.6) * wearer.width, 0.32))
        if eyewear:
            return [wearer, replace(worn, cx=wearer.cx, cy=wearer.at(self.anchor(first, "eyes")))]
        return [wearer, self.resting(worn, wearer.cx, wearer.at(self.anchor(first, "brow")))]

    def holding(self, first: Thing, second: Thing) -> list[Placement]:
        holder = self.put(first, _Room(0.42, 0.5, 0.66, 0.84))
        held = self.put(second, _Room(0.5, 0.5, 0.36, 0.36))
        return [holder, replace(held, cx=holder.cx + 0.42 * holder.width, cy=holder.at(0.6))]

    def fitted(self, thing: Thing, room: _Room, tilt: float = 0.0) -> Placement:
        """Put a thing into a room at the size that is said of it, and move it a little."""
        factor = self.between(*_FACTORS[thing.size])
        smaller = _Room(room.cx, room.cy, room.width * factor, room.height * factor)
        placed = self.put(thing, smaller, tilt)
        dx, dy = (self.between(-0.02, 0.02) for _ in range(2))
        return replace(placed, cx=placed.cx + dx, cy=placed.cy + dy)

    def put(self, thing: Thing, room: _Room, tilt: float = 0.0) -> Placement:
        """Put a thing into the middle of a room, as large as fits, but never enlarged."""
        extent = self.sprites.extent(self.style, thing.concept)
        side = min(room.width / extent.width, room.height / extent.height, 1.0)
        angle, flip = self.between(-tilt, tilt), self.rng.random() < 0.5 * self.variation
        return Placement(thing, extent, room.cx, room.cy, side, angle, flip, self.between(0.88, 1.0))

    def between(self, low: float, high: float) -> float:
        """Draw from a range, or with less variation from the middle of it."""
        drawn = self.rng.uniform(low, high)
        return drawn + ((low + high) / 2 - drawn) * (1 - self.variation)

    def resting(self, placed: Placement, cx: float, bottom: float) -> Placement:
        """Stand a thing upright with its lower edge at a height."""
        return replace(placed, cx=cx, cy=bottom - placed.height / 2)

    def anchor(self, thing: Thing, name: str) -> float:
        return thing.concept.anchors[name][list(STYLES).index(self.style)]


_CONTACTS: Mapping[str, Callable[[_Stage, Thing, Thing], list[Placement]]] = {
    "on top of": _Stage.on_top,
    "inside": _Stage.inside,
    "riding": _Stage.riding,
    "wearing": _Stage.wearing,
    "holding": _Stage.holding,
}
_LEFT, _RIGHT = _Room(0.26, 0.52, 0.44, 0.62), _Room(0.74, 0.52, 0.44, 0.62)
_UPPER, _LOWER = _Room(0.5, 0.26, 0.7, 0.44), _Room(0.5, 0.74, 0.7, 0.44)
_SIDES = {
    "left of": (_LEFT, _RIGHT),
    "right of": (_RIGHT, _LEFT),
    "above": (_UPPER, _LOWER),
    "below": (_LOWER, _UPPER),
}
_ROOMS = {
    2: (_LEFT, _RIGHT),
    3: tuple(_Room(x, y, 0.42, 0.42) for x, y in ((0.27, 0.3), (0.73, 0.3), (0.5, 0.74))),
    4: tuple(_Room(x, y, 0.4, 0.4) for x in (0.27, 0.73) for y in (0.27, 0.73)),
    5: tuple(
        _Room(x, y, 0.31, 0.34) for x, y in ((0.18, 0.3), (0.5, 0.3), (0.82, 0.3), (0.34, 0.72), (0.66, 0.72))
    ),
}
