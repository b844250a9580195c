"""The page of the content policy: its numbers are those that were measured, and its examples work."""

import asyncio
import importlib.util
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from unclip.checkpoints.load import BUNDLED
from unclip.checkpoints.store import fingerprint
from unclip.engine.concept_file import SHIPPED, read_concepts
from unclip.server.errors import policy_violation
from unclip.server.policy import moderation
from unclip.server.policy.words import Entry, WordFile, WordList

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policy.md").read_text("utf-8")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("policy_run", ROOT / "runs" / "bundled" / "policy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "policy_run", module)  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def measured(script: ModuleType) -> dict[str, Any]:
    return json.loads(script.RESULT.read_text("utf-8"))


def block(language: str, nth: int = 0) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[nth]


def test_the_numbers_are_those_that_were_measured(script: ModuleType, measured: dict[str, Any]) -> None:
    assert script.section(measured) in PAGE, "run runs/bundled/policy.py"
    assert script.page(PAGE, measured) == PAGE


def test_a_number_that_changes_changes_on_the_page(script: ModuleType, measured: dict[str, Any]) -> None:
    measured["concepts"]["snow"]["drawn"] = {"precision": None, "recall": 0.123, "shown": 77}
    measured["concepts"]["snow"]["photographs"] = 0.87
    after = script.page(PAGE, measured)
    assert "| - / 0.12 (77) |" in after
    assert "| snow | 87% | - | - |" in after
    assert after.split(script.HEADING)[0] == PAGE.split(script.HEADING)[0]
    assert after.partition("## How weak it is")[2] == PAGE.partition("## How weak it is")[2]


def test_they_were_measured_on_the_bundled_model(measured: dict[str, Any]) -> None:
    assert measured["model_hash"] == fingerprint(BUNDLED), "run runs/bundled/policy.py"


def test_the_shipped_thresholds_are_the_measured_ones(script: ModuleType, measured: dict[str, Any]) -> None:
    rows = measured["concepts"]
    concepts = {concept.name: concept for concept in read_concepts(SHIPPED)}
    assert concepts.keys() == rows.keys()
    for name, concept in concepts.items():
        assert (concept.prompt, concept.picture) == (rows[name]["prompt"], rows[name]["picture"])
    text = SHIPPED.read_text("utf-8")
    assert script.with_thresholds(text, rows) == text


def test_thresholds_are_put_in_their_places(
    script: ModuleType, measured: dict[str, Any], tmp_path: Path
) -> None:
    for k, row in enumerate(measured["concepts"].values()):
        row |= {"prompt": 0.1 + k / 100, "picture": -0.1 - k / 100}
    path = tmp_path / "concepts.toml"
    path.write_text(script.with_thresholds(SHIPPED.read_text("utf-8"), measured["concepts"]), "utf-8")
    for before, after in zip(read_concepts(SHIPPED), read_concepts(path), strict=True):
        row = measured["concepts"][before.name]
        assert asdict(after) == asdict(before) | {"prompt": row["prompt"], "picture": row["picture"]}


def test_what_scenes_show_is_told_by_the_sentences(script: ModuleType) -> None:
    concepts = {concept.name: concept for concept in read_concepts(SHIPPED)}
    assert script.concept_things(concepts["food"]) == {
        "apple", "banana", "pizza", "doughnut", "carrot", "lemon", "cupcake", "pear"
    }  # fmt: skip
    assert script.concept_places(concepts["food"]) == set()
    assert script.concept_places(concepts["night"]) == {"night"}
    for concept in concepts.values():
        said = len(script.concept_things(concept)) + 3 * len(script.concept_places(concept))
        assert said == len(concept.sentences)


def test_precision_and_recall_are_counted_as_they_say(script: ModuleType) -> None:
    margins, shown = (
        torch.tensor([[0.9], [0.8], [0.1], [0.2]]),
        torch.tensor([[True], [False], [True], [False]]),
    )
    labelled = script.Labelled(margins, shown)
    assert script.quality(labelled, 0, 0.5) == {"precision": 0.5, "recall": 0.5, "shown": 2}
    assert script.quality(labelled, 0, 1.5) == {"precision": None, "recall": 0.0, "shown": 2}
    assert script.share(margins, 0, 0.15) == 0.75


def test_the_error_is_the_one_that_clients_get() -> None:
    assert json.loads(block("json"))["error"] == policy_violation().error
    assert policy_violation().status == 400


def test_the_example_of_a_word_list_is_one(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text(block("text"), "utf-8")
    assert WordList.from_file(path).found("a severed head by ACME") == [
        "violence: severed head",
        "house rules: acme",
    ]


@pytest.mark.parametrize(("nth", "names"), [(0, ["animals", "night"]), (1, ["weapons"])])
def test_the_examples_of_concepts_are_some(tmp_path: Path, nth: int, names: list[str]) -> None:
    path = tmp_path / "concepts.toml"
    path.write_text(block("toml", nth), "utf-8")
    assert [concept.name for concept in read_concepts(path)] == names


def test_the_shipped_concepts_are_named() -> None:
    names = [concept.name for concept in read_concepts(SHIPPED)]
    assert f"These are {', '.join(f'`{name}`' for name in names[:-1])} and `{names[-1]}`" in PAGE


def test_the_example_of_a_moderator_is_understood() -> None:
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    scope: dict[str, Any] = {"my_classifier": lambda text: float("hate" in text)}
    exec(block("python"), scope)

    async def asked(text: str) -> list[str]:
        transport = httpx.ASGITransport(app=scope["app"])
        async with httpx.AsyncClient(transport=transport, base_url="http://moderator") as client:
            answer = await client.post("/v1/moderations", json={"input": text})
        return list(moderation._flagged(answer))

    assert asyncio.run(asked("full of hate")) == ["hate"]
    assert asyncio.run(asked("a cat")) == []


def test_what_the_page_says_of_words_is_so() -> None:
    words = WordFile().current()
    for said in ("bl00d", "b.l.o.o.d", "b l o o d"):
        assert f"`{said}`" in PAGE
        assert WordList((Entry("blood"),)).found(said) == ["blood"]
    assert "`naked man` does not find\n`naked men`" in PAGE
    assert words.found("naked man") == ["sexual: naked man"]
    assert f"{moderation.TIMEOUT:g} seconds".replace("5", "five") in PAGE
    assert {entry.category for entry in words.entries} == {"violence", "sexual", "hate"}
    assert "for violence, sexual content and hatred" in PAGE
