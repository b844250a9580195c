"""The blind sheet asks for what its answers are compared with."""

import importlib.util
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "runs" / "bundled" / "blind.py"


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("blind", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "blind", module)  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_forty_things_each_once_and_each_background_as_often_in_each_style(blind: ModuleType) -> None:
    rows = blind.rows()
    assert len({row.concept.name for row in rows}) == len(rows) == 40
    assert len(set(Counter((row.background, row.style) for row in rows).values())) == 1
    assert {row.style for row in rows} == set(blind.styles())
    assert all(row.concept.name in row.sentence for row in rows)
    assert sorted(row.seed for row in blind.shuffled()) == [row.seed for row in rows]
    assert blind.shuffled() != rows


def test_score_counts_what_is_right_and_names_what_is_not(
    blind: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [list(row.truth) for row in blind.shuffled()]
    answers[0][0], answers[1][2] = "nothing", "none"
    lines = ["\t".join([str(number), *answer]) for number, answer in enumerate(answers, start=1)]
    (tmp_path / "answers.tsv").write_text("\n".join(lines), "utf-8")
    monkeypatch.setattr(sys, "argv", ["blind.py", "score", str(tmp_path)])
    blind.main()
    *wrong, total = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in wrong] == ["1", "2"]
    assert total == "thing 39 of 40; background 40 of 40; style 39 of 40; background and style 39 of 40"


def test_the_pages_state_what_the_answers_score(
    blind: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["blind.py", "score", str(ROOT / "docs" / "blind")])
    blind.main()
    total = capsys.readouterr().out.splitlines()[-1]
    right = dict(re.findall(r"([a-z ]+?) (\d+) of 40", total.replace("; ", ";")))
    page = (ROOT / "docs" / "blind" / "README.md").read_text("utf-8")
    stated = dict(re.findall(r"^\| ([a-z ]+) \| (\d+) \|", page, re.MULTILINE))
    assert stated == right
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert f"the background of all {right['background']}, the thing in {right['thing']}" in readme
    assert f"and the style in {right['style']}" in readme
