import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unclip.evaluation import evaluate as evaluating
from unclip.evaluation.evaluate import Suite

Refused = Callable[..., str]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick suite with fewer sentences."""
    monkeypatch.setitem(evaluating.SUITES, "quick", Suite("quick", seen=1, unseen=1, per_sentence=1))
    monkeypatch.setattr(evaluating, "CAPTIONS", 10)
    monkeypatch.setattr(evaluating, "JUDGED", 1)
    monkeypatch.setattr(evaluating, "TEMPLATE_PICTURES", 1)


@pytest.mark.usefixtures("small")
def test_the_bundled_model_is_evaluated_by_the_judges_of_the_package(unclip: Any, tmp_path: Path) -> None:
    file, folder = tmp_path / "report.json", tmp_path / "pictures"
    outcome = unclip("evaluate", "--steps", 2, "--size", 64, "--json", file, "-o", folder)
    assert outcome.code == 0, outcome.err
    report = json.loads(file.read_text("utf-8"))
    assert report["model"].startswith("unclip bundled (")
    assert report["settings"] == {"steps": 2}
    assert (
        f"Overall (mean of the six tasks of GenEval, seen combinations): **{report['overall']:.2f}**"
        in outcome.out
    )
    assert len(list(folder.glob("*/0.png"))) == report["pictures"] == 14


@pytest.mark.usefixtures("small")
def test_bad_input_is_one_line(refused: Refused, tmp_path: Path, pictures: Path) -> None:
    assert "size 100 is not one of" in refused("evaluate", "--size", 100)
    assert "does not hold the world's art" in refused("evaluate", "--data", pictures)
    assert "the judges know" in refused("evaluate", "--concepts", 61)
    assert "no model folder" in refused("evaluate", "--model", tmp_path / "none")
    (tmp_path / "suite.json").write_text("[]")
    assert "choose another folder" in refused("evaluate", "--size", 64, "-o", tmp_path)
    assert "cannot be written" in refused("evaluate", "--json", tmp_path / "suite.json" / "report.json")
