import pytest

from unclip.world.grammar import article, listing, plural


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("apple", "an apple"),
        ("red apple", "a red apple"),
        ("orange car", "an orange car"),
        ("unicorn", "a unicorn"),
        ("umbrella", "an umbrella"),
        ("UFO", "a UFO"),
        ("SUV", "an SUV"),
        ("hourglass", "an hourglass"),
        ("house", "a house"),
        ("T-shirt", "a T-shirt"),
        ("American football", "an American football"),
    ],
)
def test_the_article_follows_the_sound(phrase: str, expected: str) -> None:
    assert article(phrase) == expected


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("apple", "apples"),
        ("mouse", "mice"),
        ("computer mouse", "computer mice"),
        ("butterfly", "butterflies"),
        ("key", "keys"),
        ("box", "boxes"),
        ("torch", "torches"),
        ("scarf", "scarves"),
        ("sheep", "sheep"),
        ("slice of pizza", "slices of pizza"),
        ("loaf of bread", "loaves of bread"),
        ("octopus", "octopuses"),
        ("snowman", "snowmen"),
        ("wolf", "wolves"),
    ],
)
def test_plurals(noun: str, expected: str) -> None:
    assert plural(noun) == expected


def test_listing() -> None:
    assert [listing(["a", "b", "c"][:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
