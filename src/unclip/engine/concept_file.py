"""The file that says what to look for: concepts as sentences, against anchors, with thresholds."""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unclip.errors import RequestError

SHIPPED = Path(__file__).with_name("concepts.toml")
"""Concepts of the bundled model's world, with thresholds measured on it by runs/bundled/policy.py."""

_FILE_KEYS = ("shipped", "model", "anchors", "concepts")
_CONCEPT_KEYS = ("sentences", "anchors", "prompt", "picture")


@dataclass(frozen=True)
class Concept:
    """Something to look for.

    sentences: that say it.
    anchors: sentences of the same kind that say something else.
    prompt, picture: the margins, -2 to 2, from which a sentence and a picture are found to show it; at 0 they
        are as near to one of its sentences as to the nearest anchor.
    model: the name of the model that the thresholds were measured on; None if that is not said.
    """

    name: str
    sentences: tuple[str, ...]
    anchors: tuple[str, ...]
    prompt: float = 0.0
    picture: float = 0.0
    model: str | None = None


def read_concepts(path: Path) -> tuple[Concept, ...]:
    """Read a file of concepts (docs/policy.md describes it).

    Raises RequestError for a file that is missing or not as described.
    """
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}); give a file of concepts") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise RequestError(f"{path}: not TOML in UTF-8 ({error}); mend it") from error
    try:
        return _concepts(told)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error


def _concepts(told: Mapping[str, Any]) -> tuple[Concept, ...]:
    _check_keys("the file", told, _FILE_KEYS)
    model = told.get("model")
    if not isinstance(model, str | None):
        raise RequestError(f"model is {model!r}, and must be the name of one")
    anchors = {name: _sentences(f"anchors.{name}", said) for name, said in _table(told, "anchors").items()}
    own = _table(told, "concepts")
    listed = [_concept(name, _table(own, name), anchors, model) for name in own]
    concepts = (*_shipped(told.get("shipped", [])), *listed)
    if not concepts:
        raise RequestError("no concepts: name some, or take the file away")
    if len({concept.name for concept in concepts}) < len(concepts):
        raise RequestError("a shipped concept has the name of another one: rename that")
    return concepts


def _shipped(names: Any) -> list[Concept]:
    if not names:
        return []
    known = {concept.name: concept for concept in read_concepts(SHIPPED)}
    if not isinstance(names, list) or not all(isinstance(name, str) and name in known for name in names):
        raise RequestError(f"shipped is {names!r}, and must be a list of some of {', '.join(known)}")
    return [known[name] for name in names]


def _concept(
    name: str, told: Mapping[str, Any], anchors: Mapping[str, tuple[str, ...]], model: str | None
) -> Concept:
    _check_keys(f"concept {name!r}", told, _CONCEPT_KEYS)
    sentences = _sentences(f"sentences of concept {name!r}", told.get("sentences"))
    kind = told.get("anchors")
    if not isinstance(kind, str) or kind not in anchors:
        raise RequestError(
            f"concept {name!r} has anchors {kind!r}, not one of [anchors]: {', '.join(anchors)}"
        )
    others = tuple(sentence for sentence in anchors[kind] if sentence not in sentences)
    if not others:
        raise RequestError(
            f"concept {name!r} has all of its anchors as sentences: add others to anchors.{kind}"
        )
    prompt, picture = (
        _threshold(f"{kind} of concept {name!r}", told.get(kind, 0)) for kind in _CONCEPT_KEYS[2:]
    )
    return Concept(name, sentences, others, prompt, picture, model)


def _check_keys(what: str, told: Mapping[str, Any], known: Collection[str]) -> None:
    if unknown := sorted(told.keys() - known):
        raise RequestError(f"{what} has {', '.join(unknown)}, which is none of {', '.join(known)}")


def _table(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = told.get(name, {})
    if not isinstance(table, dict):
        raise RequestError(f"{name} is {table!r}, and must be a table")
    return table


def _sentences(what: str, said: Any) -> tuple[str, ...]:
    if (
        not isinstance(said, list)
        or not said
        or not all(isinstance(text, str) and text.strip() for text in said)
    ):
        raise RequestError(f"{what} are {said!r}, and must be a list of sentences")
    return tuple(said)


def _threshold(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -2 <= value <= 2:
        raise RequestError(f"{what} is {value!r}, and must be a margin from -2 to 2")
    return float(value)
