"""The page of what the bundled model reaches is what its script writes from the numbers it has measured."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from unclip.checkpoints.load import BUNDLED
from unclip.checkpoints.store import fingerprint
from unclip.imagefiles import read_metadata

ROOT = Path(__file__).parents[1]
SHEETS = sorted((ROOT / "docs" / "manipulations").glob("*.jpg"))


@pytest.fixture
def laws(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "runs" / "bundled")
    return import_module("laws")


def test_the_committed_page_is_what_the_script_writes(laws: ModuleType) -> None:
    measured = json.loads(laws.RESULT.read_text("utf-8"))
    assert measured.keys() == laws.LAWS.keys()
    assert laws.PAGE.read_text("utf-8") == laws.page(measured), "run runs/bundled/laws.py"


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.stem)
def test_every_sheet_is_by_this_model(sheet: Path) -> None:
    assert read_metadata(sheet)["model_hash"] == fingerprint(BUNDLED), "run runs/bundled/manipulations.py"


def test_every_task_has_its_sheet() -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {sheet.stem for sheet in SHEETS} <= pages
    assert len(SHEETS) == 7
