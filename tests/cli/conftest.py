"""The command as a user meets it: arguments in, output, error line and exit code out."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from unclip.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def unclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `unclip` with arguments, in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["unclip", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        code = stopped.value.code
        assert code is None or isinstance(code, int)
        return Outcome(code or 0, printed.out, printed.err)

    return run


@pytest.fixture
def refused(unclip: Command) -> Callable[..., str]:
    """Run `unclip`, expect it to refuse with one line and exit code 2, and return the line."""

    def run(*arguments: object) -> str:
        outcome = unclip(*arguments)
        assert outcome.code == 2
        assert outcome.out == ""
        assert outcome.err.count("\n") == 1
        return outcome.err

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A user's folder: eight captioned pictures of 256 px."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k, colour in enumerate(["red", "green", "blue", "yellow", "purple", "orange", "black", "white"]):
        Image.new("RGB", (256, 256), colour).save(folder / f"{k}.png")
        (folder / f"{k}.txt").write_text(f"a {colour} wall\n")
    return folder
