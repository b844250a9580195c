"""The little English that captions need: articles, plurals, numbers and lists."""

from collections.abc import Sequence

NUMBERS = ("no", "one", "two", "three", "four", "five")

_IRREGULAR = {
    "child": "children",
    "deer": "deer",
    "fish": "fish",
    "foot": "feet",
    "goose": "geese",
    "leaf": "leaves",
    "knife": "knives",
    "loaf": "loaves",
    "mango": "mangoes",
    "mouse": "mice",
    "ox": "oxen",
    "person": "people",
    "potato": "potatoes",
    "scarf": "scarves",
    "sheep": "sheep",
    "shrimp": "shrimp",
    "squid": "squid",
    "tomato": "tomatoes",
    "tooth": "teeth",
    "volcano": "volcanoes",
    "wolf": "wolves",
}
# Words that begin with a vowel letter but a consonant sound, and the other way round.
_CONSONANT_SOUND = ("eu", "one", "ufo", "uku", "uni", "us")
_VOWEL_SOUND = ("honest", "hour", "suv", "x-ray")


def article(phrase: str) -> str:
    """Put "a" or "an" in front of a phrase, by the sound of its first word."""
    sound = phrase.lower()
    vowel = sound.startswith(_VOWEL_SOUND) or (sound[0] in "aeiou" and not sound.startswith(_CONSONANT_SOUND))
    return f"an {phrase}" if vowel else f"a {phrase}"


def plural(noun: str) -> str:
    """Give the plural of a noun: its last word changes, or that before "of"."""
    noun, of, rest = noun.partition(" of ")
    head, space, last = noun.rpartition(" ")
    return head + space + _plural_word(last) + of + rest


def listing(phrases: Sequence[str]) -> str:
    """Join phrases as "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def _plural_word(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("man"):
        return word.removesuffix("man") + "men"
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"
