from collections import Counter
from dataclasses import replace

import pytest

from unclip.world import Sprites, World, WorldConfig
from unclip.world.backgrounds import BACKGROUNDS
from unclip.world.concepts import listed
from unclip.world.heldout import holds_colour, holds_count, holds_pair, holds_relation, holds_style
from unclip.world.scene import PARTS, Scene, Thing, is_heldout

COUNT = 600
CAT, APPLE = listed()[:2]


def scenes(sprites: Sprites, **settings: object) -> list[Scene]:
    world = World(sprites, 0, replace(WorldConfig(), **settings))
    return [world.scene(index) for index in range(COUNT)]


def test_training_shows_nothing_that_is_held_out(sprites: Sprites) -> None:
    for scene in scenes(sprites):
        names = [thing.concept.name for thing in scene.things]
        for thing in scene.things:
            assert not thing.concept.art or not holds_style(thing.concept.name, scene.style)
            assert thing.colour is None or not holds_colour(thing.concept.name, thing.colour)
            assert thing.count == 1 or not holds_count(thing.concept.name, thing.count)
        assert not any(holds_pair(a, b) for a in names for b in names if a != b)
        assert scene.relation is None or not holds_relation(names[0], scene.relation, names[1])


def test_the_heldout_split_shows_something_held_out_in_every_scene(sprites: Sprites) -> None:
    assert all(is_heldout(scene) for scene in scenes(sprites, split="heldout"))


def test_a_scene_is_held_out_for_each_of_its_combinations() -> None:
    colour = next(
        c for c in ("red", "blue", "green", "pink", "black", "white", "brown") if holds_colour("cat", c)
    )
    plain = Scene("flat", "white", (Thing(CAT),), None, 0)
    assert is_heldout(replace(plain, things=(Thing(CAT, colour),)))
    held = next(concept for concept in listed() if holds_pair("cat", concept.name))
    assert is_heldout(replace(plain, things=(Thing(CAT), Thing(held))))


def test_scenes_do_not_depend_on_what_was_asked_before(sprites: Sprites) -> None:
    world, other = World(sprites, 3), World(sprites, 3)
    backwards = [other.scene(index) for index in reversed(range(50))]
    assert [world.scene(index) for index in range(50)] == backwards[::-1]


def test_another_seed_shows_other_scenes(sprites: Sprites) -> None:
    assert World(sprites, 1).scene(0) != World(sprites, 2).scene(0)


def test_the_number_of_objects_is_as_configured(sprites: Sprites) -> None:
    counts = Counter(sum(thing.count for thing in scene.things) for scene in scenes(sprites))
    for objects, share in enumerate(WorldConfig().objects, 1):
        assert counts[objects] / COUNT == pytest.approx(share, abs=0.05)


def test_no_background_hides_a_named_colour(sprites: Sprites) -> None:
    for scene in scenes(sprites):
        assert not BACKGROUNDS[scene.background].hides & {thing.colour for thing in scene.things}


def test_the_things_of_a_relation_can_play_their_parts(sprites: Sprites) -> None:
    seen = set()
    for scene in scenes(sprites, objects=(0.0, 1.0, 0.0, 0.0, 0.0)):
        if scene.relation in PARTS:
            seen.add(scene.relation)
            for thing, part in zip(scene.things, PARTS[scene.relation], strict=True):
                assert part in thing.concept.parts
    assert seen == PARTS.keys()


def test_only_what_can_be_recoloured_has_a_named_colour(sprites: Sprites) -> None:
    things = [thing for scene in scenes(sprites) for thing in scene.things]
    assert not any(thing.colour for thing in things if not thing.concept.recolour)
    assert all(thing.colour for thing in things if not thing.concept.art)
