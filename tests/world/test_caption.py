import re
from random import Random

import pytest

from unclip.world import Sprites, World, WorldConfig
from unclip.world.backgrounds import BACKGROUNDS
from unclip.world.caption import describe
from unclip.world.concepts import listed
from unclip.world.grammar import NUMBERS, plural
from unclip.world.scene import Scene, Thing
from unclip.world.words import RELATIONS, SIZES, STYLES

BY_NAME = {concept.name: concept for concept in listed()}
DENSE, PARTIAL = 1.0, 0.0


def wordings(scene: Scene, dense: float = DENSE) -> set[str]:
    return {describe(scene, Random(seed), dense) for seed in range(800)}


def mentions(caption: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in caption for phrase in phrases)


def test_dense_captions_say_all_that_the_scene_fixes(sprites: Sprites) -> None:
    world = World(sprites, 0, WorldConfig(dense=DENSE))
    for index in range(250):
        scene, caption = world.scene(index), world.caption(index)
        words = STYLES[scene.style]
        assert mentions(caption, words.before + words.after)
        assert mentions(caption, BACKGROUNDS[scene.background].phrases)
        assert scene.relation is None or mentions(caption, RELATIONS[scene.relation])
        for thing in scene.things:
            names = thing.concept.names
            assert mentions(caption, (*names, thing.concept.plural, *map(plural, names)))
            assert thing.colour is None or thing.colour in caption
            assert thing.size is None or mentions(caption, SIZES[thing.size])
            assert thing.count == 1 or NUMBERS[thing.count] in caption


@pytest.mark.parametrize("part", ["style", "place", "colour"])
def test_partial_captions_leave_out_each_part_now_and_then_but_never_the_noun(part: str) -> None:
    scene = Scene("flat", "beach", (Thing(BY_NAME["elephant"], "blue"),), None, 0)
    phrases = {
        "style": STYLES["flat"].before + STYLES["flat"].after,
        "place": BACKGROUNDS["beach"].phrases,
        "colour": ("blue",),
    }[part]
    captions = wordings(scene, PARTIAL)
    said = {mentions(caption, phrases) for caption in captions}
    assert said == {True, False}
    assert all("elephant" in caption for caption in captions)


def test_a_sentence_has_many_wordings() -> None:
    scene = Scene("3d", "beach", (Thing(BY_NAME["car"], "red"),), None, 0)
    captions = wordings(scene)
    assert "a 3D render of a red car on a beach" in captions
    assert "a red automobile on the beach, rendered in 3D" in captions
    assert len(captions) > 20


def test_articles_numbers_and_bare_nouns() -> None:
    def nouns(*things: Thing) -> set[str]:
        caption = wordings(Scene("flat", "white", things, None, 0), PARTIAL)
        return {text for text in caption if not re.search("background|flat", text)}

    assert nouns(Thing(BY_NAME["apple"])) == {"an apple"}
    assert nouns(Thing(BY_NAME["apple"], size="small")) == {"a small apple", "a little apple", "a tiny apple"}
    assert nouns(Thing(BY_NAME["fox"], count=3)) == {"three foxes"}
    assert nouns(Thing(BY_NAME["sunglasses"])) == {"sunglasses"}
    assert "two pairs of sunglasses" in nouns(Thing(BY_NAME["sunglasses"], count=2))
    assert nouns(Thing(BY_NAME["pizza"])) == {"pizza", "a slice of pizza"}


def test_a_relation_keeps_its_order() -> None:
    scene = Scene("flat", "white", (Thing(BY_NAME["lemon"]), Thing(BY_NAME["fox"])), "on top of", 0)
    assert all(caption.index("lemon") < caption.index("fox") for caption in wordings(scene))


def test_no_caption_speaks_of_a_photo(sprites: Sprites) -> None:
    world = World(sprites, 0)
    assert not any("photo" in world.caption(index) for index in range(500))
