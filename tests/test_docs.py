"""Facts that a page states and the code decides: a page that falls behind fails here."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
PARTS_UNSAID = {"__init__.py", "__pycache__", "py.typed"}


def python_needed() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["requires-python"].removeprefix(">=")


def test_python_version_is_stated_alike() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"Python {python_needed()} or newer" in README
    assert f"Python {python_needed()} or newer" in makefile
    assert f"({python_needed().replace('.', ', ')})" in makefile


def test_file_tree_has_one_line_per_part_of_the_package() -> None:
    tree = re.search(r"^src/unclip/\n((?: +\S.*\n)+)", README, re.MULTILINE)
    assert tree, "README.md has no file tree"
    stated = [line.split()[0].rstrip("/") for line in tree[1].splitlines()]
    there = {path.name for path in (ROOT / "src" / "unclip").iterdir() if path.name not in PARTS_UNSAID}
    assert sorted(stated) == sorted(there)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_exists(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([\w.-]+):", makefile, re.MULTILINE)
    stated = re.findall(r"(?:^|`)make ([\w.-]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert stated
    assert set(stated) <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_page_is_in_the_index() -> None:
    for folder in [ROOT / "docs", ROOT / "docs" / "decisions"]:
        index = (folder / "README.md").read_text(encoding="utf-8")
        pages = [page.name for page in folder.glob("*.md") if page.name != "README.md"]
        assert not [page for page in pages if f"({page})" not in index]


def test_cli_page_is_up_to_date() -> None:
    command = [sys.executable, "-m", "typer", "unclip.cli", "utils", "docs", "--name", "unclip"]
    written = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page.strip() == written.strip(), "run `make docs`"
