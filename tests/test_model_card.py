"""The model card is what its script writes, and every number in it comes from what it is written from."""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from unclip.evaluation.membership import Membership
from unclip.evaluation.memorisation import COPIED, Case, Comparison, Memorisation, Nearness
from unclip.evaluation.metrics import Interval
from unclip.evaluation.report import (
    GENEVAL,
    PUBLISHED,
    TRUSTED,
    Distances,
    Likeness,
    PriorQuality,
    Report,
    TaskScore,
)
from unclip.evaluation.rules import Clause, Detection, Sight, Wanted
from unclip.world.scene import Scene

ROOT = Path(__file__).parents[1]
# How the card writes numbers, and what it calls by a number.
FORMATS = ("g", ".2f", ".3f", ".3g", ".2g", ",", "")
NAMES = re.compile(r"DALL-E [23]|\b3[dD]\b|d1/d50|50th|95 %|64->256|R-precision among 100|(x0|COCO's 80)\b")
NAMES_ELSEWHERE = re.compile(
    r"arxiv.org/abs/[\d.]+|@\w+|SDXL|Stable Diffusion 1.5|FLUX.1-dev|Apache-2.0|CC0-1.0"
)


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "runs" / "bundled" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script("card", monkeypatch)


def evaluation() -> dict[str, Any]:
    rows = [
        TaskScore(task, unseen, 17, Interval(0.613, 0.557, 0.671), 0.991, 0.983, 0.047, 0.219)
        for task in GENEVAL
        for unseen in (False, True)
    ]
    report = Report(
        model="unclip bundled (abcdef)",
        suite="full",
        pictures=5_613,
        size=256,
        settings={"steps": 11},
        scores=rows,
        distances=Distances(3.217, 0.0413, 0.713, 0.519),
        floor=Distances(0.877, 0.0019, 0.953, 0.941),
        likeness=Likeness(0.323, 0.787),
        likeness_of_renders=Likeness(0.371, 0.969),
        prior=PriorQuality(0.857, 0.929, 0.117, 3.5, 1_409),
        templates=0.453,
        templates_of_renders=0.979,
        seconds_per_picture=1.37,
    )
    return asdict(report) | {"overall": report.overall}


def memorisation() -> dict[str, Any]:
    distance = Comparison(0.1823, 0.1741, 0.0937, 0.00231, (0.0, 0.5, 1.0), (600, 407), (593, 414))
    ratio = Comparison(0.8713, 0.8671, 0.0293, 0.761, (0.0, 0.5, 1.0), (3, 1_004), (2, 1_005))
    case = Case(613, "a cat on a beach", 8_191, "two cats on a beach", 0.0917, 0.4337)
    near = Nearness(distance, ratio, 3, 2, (case,))
    chance = Interval(0.523, 0.487, 0.559)
    told = Membership(
        (499, 491), (137, 311), (Interval(0.527, 0.49, 0.56), Interval(0.51, 0.47, 0.55)), chance
    )
    found = Memorisation("unclip bundled", "world of 60 concepts", 1_007, 10_007, {}, {"pixels": near}, told)
    return asdict(found)


@pytest.fixture
def sources(card: ModuleType) -> Any:
    """The bundled model with made-up measurements, as they come out of their JSON files."""
    parts = {
        "evaluation": evaluation(),
        "memorisation": memorisation(),
        "qualities": [{"quality": "draft", "steps": 3, "seconds": 0.41, "score": 0.57}],
        "wrong": [{"task": "two_objects", "file": "wrong-two-objects.png", "sentences": ["a cat and a dog"]}],
    }
    found = {name: json.loads(json.dumps(part)) for name, part in parts.items()}
    return replace(card.committed(), **found, pictures=frozenset({"worst-pixels.png"}))


def numbers(value: Any) -> Iterator[float]:
    """Every number in a tree of values, those within its texts included."""
    if isinstance(value, dict):
        yield from numbers([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        yield from (number for item in value for number in numbers(item))
    elif isinstance(value, str):
        yield from (float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def written(value: float) -> set[str]:
    whole = {f"{int(value):{spec}}" for spec in (",", "")} if value == int(value) else set()
    return whole | {f"{value:{spec}}" for spec in FORMATS}


def test_the_committed_card_is_what_the_script_writes(card: ModuleType) -> None:
    page = (ROOT / "docs" / "model-card.md").read_text("utf-8")
    assert page == card.card(card.committed()), "run `make docs`"


def test_every_number_comes_from_what_the_card_is_written_from(card: ModuleType, sources: Any) -> None:
    read = [value for name, value in vars(sources).items() if name != "pictures"]
    known = {text for number in numbers(read) for text in written(number)}
    known |= {text for number in numbers(PUBLISHED) for text in written(number)}
    known |= {f"{TRUSTED:.0%}".rstrip("%"), f"{COPIED:g}", "0.5", str(len(sources.system["card"]["words"]))}
    known.add(f"{sources.evaluation['overall']:.2f}")
    text = NAMES.sub("", NAMES_ELSEWHERE.sub("", card.card(sources)))
    stated = re.findall(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", text)
    assert len(stated) > 100
    assert not [number for number in stated if number.rstrip(",") not in known]


def test_a_number_that_changes_changes_in_the_card(card: ModuleType, sources: Any) -> None:
    before = card.card(sources)
    for row in sources.evaluation["scores"]:
        row["right"]["mean"] = 0.777
    sources.memorisation["nearness"]["pixels"]["worst"][0]["ratio"] = 0.0123
    sources.qualities[0]["seconds"] = 9.87
    after = card.card(sources)
    for number in ("| 0.78 |", "by pixels, 0.012:", "| 9.87 |"):
        assert number not in before
        assert number in after


def test_the_card_says_what_was_measured_and_what_was_not(card: ModuleType, sources: Any) -> None:
    page = card.card(sources)
    assert "Not measured yet" not in page
    assert "| two objects | unseen | 0.61 | 0.56 to 0.67 |" in page
    assert "AUC 0.52 (0.49 to 0.56" in page
    assert '- by pixels, 0.434: "a cat on a beach", beside training picture 8,191' in page
    assert "](model-card/worst-pixels.png)" in page
    assert "](model-card/worst-features.png)" not in page
    assert "![two objects](model-card/wrong-two-objects.png)" in page
    bare = replace(sources, evaluation=None, memorisation=None, qualities=None, wrong=None)
    assert card.card(bare).count("Not measured yet") == 3


def test_only_sets_that_the_model_learned_from_are_listed(card: ModuleType, sources: Any) -> None:
    assert "| tf-flowers |" not in card.card(sources)
    sources.system["card"]["training_data"].append("decoder: world of 60 concepts, 5% photographs, seed 0")
    assert "| tf-flowers |" in card.card(sources)
    assert "CC-BY-2.0" in card.card(sources)


def test_the_trainings_are_those_that_their_page_tells_of(card: ModuleType) -> None:
    page = (ROOT / "runs" / "bundled" / "README.md").read_text("utf-8")
    for run in card.committed().training["runs"]:
        assert f"| {run['name']} | {run['pictures']:,} |" in page


def test_wrong_pictures_are_those_that_the_judge_calls_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pictures = script("card_pictures", monkeypatch)
    wanted = {"single_object": Wanted((Clause("cat"),))}
    scene = Scene("3d", "white", (), None, 0)
    items = [pictures.Item(f"sentence {k}", scene, k == 3, wanted) for k in range(5)]
    for index in range(5):
        file = pictures.picture_file(tmp_path, index, 0)
        file.parent.mkdir()
        Image.new("RGB", (8, 8), "white" if index == 1 else "black").save(file)

    cat = Detection("cat", 1.0, (0.0, 0.0, 1.0, 1.0), "red")

    class Judge:
        def see(self, x: torch.Tensor) -> list[Sight]:
            return [Sight((cat,) if x.mean() > 0 else (), "3d", "white")]

    assert pictures.wrong(items, Judge(), tmp_path, "single_object") == [0, 2, 4]
    assert pictures.wrong(items, Judge(), tmp_path, "counting") == []
