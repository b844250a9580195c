"""The guide for people who come from the DALL-E 2 API: its programs are files, its numbers are the server's.

The programs run in tests/services/clients, against a server.
"""

import re
from pathlib import Path
from typing import get_args

import pytest

from unclip.client import calls
from unclip.server import contract, links, uploads
from unclip.server.settings import Compat, PolicyMode

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "migrate-from-dall-e-2.md").read_text("utf-8")
FOLDER = ROOT / "examples" / "migrate"
PROGRAMS = sorted(file.name for file in FOLDER.iterdir() if file.is_file())
LANGUAGES = {".py": "python", ".mjs": "js", ".sh": "sh"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_shown_whole(name: str) -> None:
    """All of it but its head: what it is, and how it is run."""
    text = (FOLDER / name).read_text("utf-8")
    shown = [block for block in blocks(LANGUAGES[Path(name).suffix]) if text.endswith(block)]
    assert len(shown) == 1
    head = text.removesuffix(shown[0])
    assert f"examples/migrate/{name}" in head
    assert all(
        line.startswith(("#", "//", '"""', "OPENAI_", "python "))
        for line in head.split("\n")
        if line not in ("", "set -eu")
    )


def test_what_is_shown_is_a_program_or_a_setting() -> None:
    texts = [(FOLDER / name).read_text("utf-8") for name in PROGRAMS]
    for language in LANGUAGES.values():
        for block in blocks(language):
            settings = all(line.startswith("export OPENAI_") for line in block.splitlines())
            assert settings or any(text.endswith(block) for text in texts)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_linked(name: str) -> None:
    assert f"\n[{name}]: ../examples/migrate/{name}\n" in f"{PAGE}\n"
    assert PAGE.count(f"[{name}]") == 2


def test_every_anchor_is_a_heading() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


def row(name: str) -> str:
    """The server's column of the table of differences."""
    found = re.search(rf"^\| {re.escape(name)} \|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE)
    assert found, name
    return found[1]


def test_numbers_are_the_server_s() -> None:
    assert contract.MOST_PROMPT == 1000
    assert "up to 1,000 characters" in PAGE
    sizes = [size for size in get_args(contract.Size) if size != "auto"]
    assert ", ".join(sizes) in PAGE
    assert f"live for {links.LIFE_SECONDS // 60} minutes" in PAGE
    assert f"less than {uploads.MOST_BYTES // 2**20} MB" in row("uploads")
    assert f"at most {uploads.MOST_SIDE:,} pixels" in row("uploads")


def test_parameters_are_the_server_s() -> None:
    foreign = contract.Generation.model_fields.keys() | contract.Edit.model_fields.keys()
    known = {"prompt", "mask_mode", "stream", "partial_images", *contract.Parameters.model_fields}
    assert set(re.findall(r"`(\w+)`", row("parameters of later models"))) == foreign - known
    assert get_args(Compat) == ("lenient", "strict")
    assert "--compat strict" in PAGE
    assert set(re.findall(r"`(?:--policy )?(\w+)`", row("content policy"))) >= set(get_args(PolicyMode))


def test_the_client_waits_and_asks_again_as_the_page_says() -> None:
    assert calls.RETRIES == 2
    assert "sent again, twice at most" in PAGE


def test_every_trouble_is_one_that_the_server_makes() -> None:
    source = "".join(file.read_text("utf-8") for file in (ROOT / "src" / "unclip" / "server").rglob("*.py"))
    troubles = re.findall(r"^\| \d{3}, `([^`]+)`", PAGE, re.MULTILINE)
    assert len(troubles) >= 10
    assert not [trouble for trouble in troubles if trouble not in source]


def test_every_option_is_one_of_the_command() -> None:
    commands = "".join(
        (ROOT / "src" / "unclip" / "cli" / f"{name}.py").read_text("utf-8") for name in ("serve", "keys")
    )
    words = re.sub(r"^```.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    named = [
        option for code in re.findall(r"`([^`\n]+)`", words) for option in re.findall(r"--([\w-]+)", code)
    ]
    options = {option.removeprefix("no-").replace("-", "_") for option in named}
    assert options >= {"compat", "public_url", "trusted_proxy", "response_format", "policy"}
    assert not [option for option in options if not re.search(rf"\b{option}\b", commands)]
