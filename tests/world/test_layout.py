from dataclasses import replace

import pytest

from unclip.world import Sprites, World, WorldConfig
from unclip.world.layout import Placement, lay_out
from unclip.world.scene import Scene


def laid_out(sprites: Sprites, count: int = 200, **settings: object) -> list[tuple[Scene, list[Placement]]]:
    world = World(sprites, 0, replace(WorldConfig(), **settings))
    scenes = (world.scene(index) for index in range(count))
    return [(scene, lay_out(scene, sprites)) for scene in scenes]


def test_everything_stands_in_the_picture_and_nothing_is_enlarged(sprites: Sprites) -> None:
    for scene, placements in laid_out(sprites):
        for placed in placements:
            assert placed.side <= 1
            assert placed.cx - placed.width / 2 > -0.05, scene
            assert placed.cx + placed.width / 2 < 1.05, scene
            assert placed.top > -0.07, scene
            assert placed.top + placed.height < 1.05, scene


def test_a_thing_alone_is_large(sprites: Sprites) -> None:
    for scene, (placed,) in laid_out(sprites, objects=(1.0, 0.0, 0.0, 0.0, 0.0)):
        low, high = {None: (0.55, 0.85), "big": (0.85, 1), "small": (0.2, 0.4)}[scene.things[0].size]
        assert low <= max(placed.width, placed.height) <= high


def test_each_thing_is_placed_as_often_as_it_is_counted(sprites: Sprites) -> None:
    for scene, placements in laid_out(sprites, objects=(0.0, 0.0, 1.0, 1.0, 1.0)):
        for thing in scene.things:
            assert [placed.thing for placed in placements].count(thing) == thing.count


def test_counted_things_do_not_cover_each_other(sprites: Sprites) -> None:
    for _, placements in laid_out(sprites, objects=(0.0, 0.0, 1.0, 1.0, 1.0)):
        for i, one in enumerate(placements):
            for other in placements[:i]:
                apart_x = abs(one.cx - other.cx) - (one.width + other.width) / 2
                apart_y = abs(one.cy - other.cy) - (one.height + other.height) / 2
                assert max(apart_x, apart_y) > -0.06


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_relations_are_what_they_say(sprites: Sprites, split: str) -> None:
    seen = set()
    for scene, placements in laid_out(sprites, 500, objects=(0.0, 1.0, 0.0, 0.0, 0.0), split=split):
        if scene.relation is None:
            continue
        seen.add(scene.relation)
        first = next(placed for placed in placements if placed.thing is scene.things[0])
        second = next(placed for placed in placements if placed.thing is scene.things[1])
        assert SHOWN[scene.relation](first, second), scene
    assert seen == SHOWN.keys()


def overlap(first: Placement, second: Placement) -> bool:
    wide = abs(first.cx - second.cx) < (first.width + second.width) / 2
    return wide and abs(first.cy - second.cy) < (first.height + second.height) / 2


SHOWN = {
    "left of": lambda a, b: a.cx + a.width / 2 < b.cx - b.width / 2 + 0.02,
    "right of": lambda a, b: a.cx - a.width / 2 > b.cx + b.width / 2 - 0.02,
    "above": lambda a, b: a.top + a.height < b.top + 0.05,
    "below": lambda a, b: a.top > b.top + b.height - 0.05,
    "on top of": lambda a, b: abs(a.top + a.height - b.top) < 0.03 and abs(a.cx - b.cx) < 0.02,
    "inside": lambda a, b: abs(a.cx - b.cx) < b.width / 2 - a.width / 2 and overlap(a, b),
    "riding": lambda a, b: a.cy < b.cy and overlap(a, b),
    "wearing": lambda a, b: b.cy < a.cy and overlap(a, b),
    "holding": lambda a, b: b.height < a.height and overlap(a, b),
}
