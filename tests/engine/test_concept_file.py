from pathlib import Path

import pytest

from unclip.engine.concept_file import SHIPPED, Concept, read_concepts
from unclip.errors import RequestError

OWN = """
model = "mine"
[anchors]
things = ["a house", "a cat", "a tree"]
[concepts.cats]
anchors = "things"
sentences = ["a cat"]
prompt = 0.5
picture = -1
[concepts.trees]
anchors = "things"
sentences = ["a tree", "trees"]
"""
CONCEPT = '[anchors]\na = ["a house"]\n[concepts.cats]\n'


def read(tmp_path: Path, text: str) -> tuple[Concept, ...]:
    path = tmp_path / "concepts.toml"
    path.write_text(text, "utf-8")
    return read_concepts(path)


def test_a_concept_is_set_against_the_anchors_that_it_does_not_say(tmp_path: Path) -> None:
    assert read(tmp_path, OWN) == (
        Concept("cats", ("a cat",), ("a house", "a tree"), 0.5, -1.0, "mine"),
        Concept("trees", ("a tree", "trees"), ("a house", "a cat"), 0.0, 0.0, "mine"),
    )


def test_shipped_concepts_come_by_their_names_beside_own_ones(tmp_path: Path) -> None:
    shipped = {concept.name: concept for concept in read_concepts(SHIPPED)}
    found = read(tmp_path, 'shipped = ["night", "animals"]\n' + OWN)
    assert [concept.name for concept in found] == ["night", "animals", "cats", "trees"]
    assert found[:2] == (shipped["night"], shipped["animals"])
    assert found[0].model == "unclip bundled"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no concepts"),
        ("model = ", "not TOML"),
        ("model = 3", "name of one"),
        ("concept = 1", "none of"),
        ("anchors = 1", "must be a table"),
        ("[anchors]\na = []", "anchors.a are"),
        ('[anchors]\na = "a house"', "list of sentences"),
        ('[anchors]\na = ["a house", " "]', "list of sentences"),
        ("[concepts]\ncats = 1", "must be a table"),
        ('[concepts.cats]\nanchors = "a"\nsentences = ["a cat"]', "has anchors 'a'"),
        (CONCEPT + 'sentences = ["a cat"]', "has anchors None"),
        (CONCEPT + 'anchors = ["a"]\nsentences = ["a cat"]', "has anchors"),
        (CONCEPT + 'anchors = "a"', "sentences of concept 'cats' are None"),
        (CONCEPT + 'anchors = "a"\nsentences = ["a house"]', "all of its anchors"),
        (CONCEPT + 'anchors = "a"\nsentences = ["a cat"]\nprompt = "0"', "prompt of concept 'cats'"),
        (CONCEPT + 'anchors = "a"\nsentences = ["a cat"]\npicture = nan', "from -2 to 2"),
        (CONCEPT + 'anchors = "a"\nsentences = ["a cat"]\npicture = true', "from -2 to 2"),
        (CONCEPT + 'anchors = "a"\nsentences = ["a cat"]\nthreshold = 1', "none of sentences, anchors"),
        ('shipped = ["nudity"]', "a list of some of animals"),
        ('shipped = "animals"', "a list of some of"),
        ("shipped = [[1]]", "a list of some of"),
        ('shipped = ["night", "night"]', "name of another"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(RequestError, match=r"concepts\.toml: ") as raised:
        read(tmp_path, text)
    assert what in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        read_concepts(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'model = "\xe9"')
    with pytest.raises(RequestError, match="UTF-8"):
        read_concepts(tmp_path / "latin.toml")
