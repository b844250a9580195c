"""`unclip model pull`, `list`, `verify` and `remove`, against a hub on this machine (hub_endpoint.py)."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from hub_endpoint import karlo, local_hub

from unclip.checkpoints.pulled import pulled_folder, read_accepted

__all__ = ["karlo", "local_hub"]

KARLO = "kakaobrain/karlo-v1-alpha"
PRIOR = "prior/diffusion_pytorch_model.safetensors"
Files = dict[str, bytes]
Refused = Callable[..., str]


@pytest.fixture
def hub(local_hub: Any, karlo: Files) -> Any:
    """The hub on this machine, with Karlo."""
    local_hub.add(KARLO, karlo)
    return local_hub


@pytest.fixture
def folder(hub: Any, unclip: Any) -> Path:
    """Karlo's, pulled."""
    outcome = unclip("model", "pull", "karlo", "--accept-licence")
    assert outcome.code == 0, outcome.err
    return Path(outcome.out.removesuffix("\n"))


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sit at a terminal, and type."""

    def type_in(text: str) -> None:
        terminal = io.StringIO(text)
        terminal.isatty = lambda: True  # pyright: ignore
        monkeypatch.setattr(sys, "stdin", terminal)

    return type_in


def test_pull_prints_the_folder_and_says_what_comes(unclip: Any, hub: Any, karlo: Files) -> None:
    outcome = unclip("model", "pull", "karlo", "--accept-licence")
    assert outcome.code == 0
    folder = Path(outcome.out.removesuffix("\n"))
    assert (folder / PRIOR).read_bytes() == karlo[PRIOR]
    assert pulled_folder("karlo") == folder
    assert outcome.err.splitlines() == [
        "name: karlo",
        f"repository: {KARLO}",
        f"commit: {folder.name}",
        "size: 0.00 GB in 9 files",
        f"licence: creativeml-openrail-m: read {hub.endpoint}/{KARLO}",
    ]


def test_a_repository_by_its_own_name(unclip: Any, local_hub: Any, karlo: Files) -> None:
    commit = local_hub.add("me/mine", karlo).commit
    outcome = unclip("model", "pull", "me/mine", "--revision", commit, "--accept-licence")
    assert Path(outcome.out.removesuffix("\n")).name == commit
    assert pulled_folder("me/mine") is not None


def test_without_a_terminal_the_licence_needs_its_flag(refused: Refused, hub: Any) -> None:
    line = refused("model", "pull", "karlo")
    assert f"licence of {KARLO}: creativeml-openrail-m: read {hub.endpoint}/{KARLO}" in line
    assert "then accept it with --accept-licence" in line
    assert hub.gets() == []
    assert read_accepted(KARLO) is None


def test_a_licence_is_accepted_once(
    unclip: Any, hub: Any, karlo: Files, answer: Callable[[str], None]
) -> None:
    answer("y\n")
    first = unclip("model", "pull", "karlo")
    assert first.code == 0
    assert "Do you accept this licence? [y/n] (n): " in first.err
    assert Path(first.out.removesuffix("\n")).is_dir()
    accepted = read_accepted(KARLO)
    assert accepted is not None
    assert (accepted.licence, accepted.commit) == ("creativeml-openrail-m", hub.repositories[KARLO].commit)
    assert date.fromisoformat(accepted.date)
    answer("")
    hub.add(KARLO, karlo | {"tokenizer/vocab.json": b"{}"})
    again = unclip("model", "pull", "karlo")
    assert again.code == 0
    assert "Do you accept" not in again.err


def test_a_licence_that_changed_is_asked_about_again(
    unclip: Any, folder: Path, hub: Any, karlo: Files, answer: Callable[[str], None]
) -> None:
    hub.add(KARLO, karlo, licence="mit")
    answer("n\n")
    outcome = unclip("model", "pull", "karlo")
    assert "It was creativeml-openrail-m before. Do you accept this licence?" in outcome.err
    assert outcome.code == 2
    assert pulled_folder("karlo") == folder


def test_a_licence_that_is_not_accepted(unclip: Any, hub: Any, answer: Callable[[str], None]) -> None:
    answer("n\n")
    outcome = unclip("model", "pull", "karlo")
    assert outcome.code == 2
    assert outcome.err.endswith(f"unclip: the licence of {KARLO} is not accepted: nothing is downloaded\n")
    assert hub.gets() == []
    assert read_accepted(KARLO) is None


def test_offline_the_model_in_the_cache_is_taken(
    unclip: Any, refused: Refused, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = huggingface_hub.snapshot_download(KARLO)
    hub.log.clear()
    assert "accept it with --accept-licence" in refused("model", "pull", "karlo", "--offline")
    outcome = unclip("model", "pull", "karlo", "--offline", "--accept-licence")
    assert (outcome.code, outcome.out) == (0, f"{folder}\n")
    assert "all of it here" in outcome.err
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert unclip("model", "pull", "karlo").out == f"{folder}\n"
    assert hub.log == []


def test_offline_a_licence_that_nobody_knows(unclip: Any, refused: Refused, hub: Any) -> None:
    folder = Path(huggingface_hub.snapshot_download(KARLO))
    (folder / "README.md").unlink()
    assert f"unknown: read {hub.endpoint}/{KARLO}" in refused("model", "pull", "karlo", "--offline")
    assert unclip("model", "pull", "karlo", "--offline", "--accept-licence").code == 0
    accepted = read_accepted(KARLO)
    assert accepted is not None
    assert accepted.licence == "unknown"


def test_offline_a_model_that_is_not_here(refused: Refused, hub: Any) -> None:
    assert "is not in" in (line := refused("model", "pull", "karlo", "--offline", "--accept-licence"))
    assert line.endswith("run unclip model pull karlo online\n")
    assert hub.log == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["carlo"], "no model 'carlo' is known: give karlo"),
        (["bundled"], "bundled comes with the package"),
        (["karlo-image-variations"], "shows you no model kakaobrain/karlo-v1-alpha-image-variations"),
        (["karlo", "--revision", "v9"], "has no revision 'v9'"),
        ([], "Missing argument 'name'"),
    ],
)
def test_bad_orders_are_refused(refused: Refused, hub: Any, arguments: list[str], told: str) -> None:
    assert told in refused("model", "pull", "--accept-licence", *arguments)
    assert hub.gets() == []


def test_a_pull_that_fails_midway_is_said_in_one_line(unclip: Any, hub: Any) -> None:
    hub.wrong.add(PRIOR)
    outcome = unclip("model", "pull", "karlo", "--accept-licence")
    assert outcome.code == 2
    assert outcome.out == ""
    last = outcome.err.splitlines()[-1]
    assert last.startswith(f"unclip: {PRIOR} of karlo came with a wrong hash")
    assert len(outcome.err.splitlines()) == 6


def test_list(unclip: Any, folder: Path, local_hub: Any, karlo: Files) -> None:
    local_hub.add("me/mine", karlo)
    local_hub.cut[PRIOR] = [0] * 5
    assert unclip("model", "pull", "me/mine", "--accept-licence").code == 2
    bundled, *pulled = json.loads(unclip("model", "list", "--json").out)
    assert (bundled["name"], bundled["licence"], bundled["complete"]) == ("bundled", "Apache-2.0", True)
    assert Path(bundled["folder"], "system.json").is_file()
    assert [(model["name"], model["repository"], model["complete"]) for model in pulled] == [
        ("karlo", KARLO, True),
        ("me/mine", "me/mine", False),
    ]
    assert (pulled[0]["folder"], pulled[0]["commit"]) == (str(folder), folder.name)
    assert pulled[0]["size"] == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    text = unclip("model", "list").out
    assert f"karlo: 0.00 GB, creativeml-openrail-m\n  {KARLO} at {folder.name[:7]}\n  {folder}\n" in text
    assert "me/mine: 0.00 GB, creativeml-openrail-m, not complete\n" in text


def test_verify(unclip: Any, refused: Refused, folder: Path) -> None:
    assert unclip("model", "verify", "karlo").out == "karlo: OK, 9 files, 0.00 GB\n"
    content = bytearray((folder / PRIOR).read_bytes())
    content[100] ^= 1
    (folder / PRIOR).write_bytes(content)
    (folder / "README.md").unlink()
    faults = f"missing: README.md; changed: {PRIOR}"
    line = f"unclip: karlo is not what was pulled ({faults}): run unclip model pull karlo\n"
    assert refused("model", "verify", "karlo") == line
    assert unclip("model", "pull", "karlo").code == 0
    assert unclip("model", "verify", "karlo").code == 0


def test_remove(unclip: Any, refused: Refused, folder: Path, answer: Callable[[str], None]) -> None:
    assert f"would be deleted from {folder}: give --yes" in refused("model", "remove", "karlo")
    answer("n\n")
    assert unclip("model", "remove", "karlo").code == 130
    assert pulled_folder("karlo") == folder
    answer("y\n")
    assert unclip("model", "remove", "karlo").out == "karlo: removed, 0.00 GB freed\n"
    assert not folder.exists()
    assert pulled_folder("karlo") is None
    assert "karlo is not pulled: run unclip model pull karlo" in refused("model", "remove", "karlo")


def test_remove_with_yes(unclip: Any, folder: Path) -> None:
    assert unclip("model", "remove", KARLO, "--yes").out == f"{KARLO}: removed, 0.00 GB freed\n"
    assert not folder.exists()


@pytest.mark.parametrize("command", ["pull", "verify", "remove"])
def test_the_bundled_model_is_left_alone(refused: Refused, hub: Any, command: str) -> None:
    assert "bundled comes with the package" in refused("model", command, "bundled")


@pytest.mark.parametrize("command", ["pull", "list", "verify", "remove"])
def test_every_command_says_what_it_does(unclip: Any, command: str) -> None:
    assert "Usage" in unclip("model", command, "--help").out


def test_listing_needs_neither_torch_nor_the_library(tmp_path: Path) -> None:
    program = (
        "import sys; from unclip.cli import app; app(['model', 'list'], standalone_mode=False);"
        "assert not {'torch', 'huggingface_hub'} & set(sys.modules)"
    )
    environment = os.environ | {"UNCLIP_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_environment_says_where_hub_and_cache_are(hub: Any, karlo: Files, tmp_path: Path) -> None:
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf")}
    program = "from unclip.cli import main; main()"
    command = [sys.executable, "-c", program, "model", "pull", "karlo", "--accept-licence"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.removesuffix("\n"))
    assert folder.is_relative_to(tmp_path / "hf" / "hub")
    assert (folder / PRIOR).read_bytes() == karlo[PRIOR]
    assert pulled_folder("karlo") == folder
