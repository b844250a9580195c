"""A scene in words: exact, in many wordings, and now and then with something left unsaid."""

from random import Random

from unclip.world.backgrounds import BACKGROUNDS
from unclip.world.grammar import NUMBERS, article, listing, plural
from unclip.world.scene import Scene, Thing
from unclip.world.words import RELATIONS, SIZES, STYLES

_USUAL_NAME = 0.75  # how often a thing is called by the first of its names
_KEPT = {"style": 0.5, "background": 0.5, "colour": 0.7}  # in a partial caption


def describe(scene: Scene, rng: Random, dense: float) -> str:
    """Write a caption; a share `dense` of them names all that the scene fixes."""
    everything = rng.random() < dense
    kept = {part: everything or rng.random() < share for part, share in _KEPT.items()}
    nouns = _nouns(scene, rng, kept["colour"])
    place = rng.choice(BACKGROUNDS[scene.background].phrases) if kept["background"] else ""
    return _sentence(scene.style, nouns, place, rng) if kept["style"] else _joined(nouns, place, rng)


def _sentence(style: str, nouns: str, place: str, rng: Random) -> str:
    """Put the style in front, or behind."""
    words = STYLES[style]
    if rng.random() < 0.7:
        return _joined(f"{rng.choice(words.before)} {nouns}", place, rng)
    return f"{_joined(nouns, place, rng)}, {rng.choice(words.after)}"


def _joined(nouns: str, place: str, rng: Random) -> str:
    """Put the place behind, or now and then in front."""
    if not place:
        return nouns
    return f"{place}, {nouns}" if rng.random() < 0.12 else f"{nouns} {place}"


def _nouns(scene: Scene, rng: Random, coloured: bool) -> str:
    phrases = [_noun(thing, rng, coloured) for thing in scene.things]
    if scene.relation:
        return f"{phrases[0]} {rng.choice(RELATIONS[scene.relation])} {phrases[1]}"
    rng.shuffle(phrases)
    return listing(phrases)


def _noun(thing: Thing, rng: Random, coloured: bool) -> str:
    names = thing.concept.names
    name = names[0] if rng.random() < _USUAL_NAME else rng.choice(names)
    size = rng.choice(SIZES[thing.size]) if thing.size else ""
    colour = thing.colour if thing.colour and coloured else ""
    if thing.count == 1:
        phrase = " ".join(filter(None, (size, colour, name)))
        return phrase if thing.concept.bare and name == names[0] else article(phrase)
    many = thing.concept.plural if name == names[0] else plural(name)
    return " ".join(filter(None, (NUMBERS[thing.count], size, colour, many)))
