"""The command as a user meets it: arguments in, output, error line and exit code out."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from unclip.cli import main
from unclip.cli.models import ModelChoice
from unclip.diffusion.schedule import respace


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
def drawn(unclip: Command) -> Callable[..., list[Path]]:
    """Run `unclip`, expect it to succeed without a word of complaint, and return the files that it names."""

    def run(*arguments: object) -> list[Path]:
        outcome = unclip(*arguments)
        assert (outcome.code, outcome.err) == (0, "")
        return [Path(line) for line in outcome.out.splitlines()]

    return run


_load_once = cache(ModelChoice.load)


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read each model folder once, for tests that change none."""
    monkeypatch.setattr(ModelChoice, "load", _load_once)


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inversion, and decoding of what it finds, in 3 steps, whatever is asked for."""
    monkeypatch.setattr(
        "unclip.pipelines.inversion.schedule_of", lambda stage, _: respace(stage.process.schedule, 3)
    )


@pytest.fixture
def source_type() -> Callable[[Path], str]:
    """Read what a picture says of itself: the last part of the IPTC digital source type."""

    def read(file: Path) -> str:
        (found,) = re.findall(rb"newscodes/digitalsourcetype/(\w+)", file.read_bytes())
        return found.decode()

    return read


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A user's picture, 96 x 64."""
    file = tmp_path / "photo.png"
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(file)
    return file


@pytest.fixture
def holed(photo: Path) -> Path:
    """The same picture with a hole: the ten by ten pixels from (40, 20) on are transparent."""
    file = photo.with_name("holed.png")
    with Image.open(photo) as image:
        whole = image.convert("RGBA")
    ImageDraw.Draw(whole).rectangle((40, 20, 49, 29), fill=(0, 0, 0, 0))
    whole.save(file)
    return file


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A file by the name of a picture that is none."""
    file = tmp_path / "broken.png"
    file.write_bytes(b"\x89PNG and no more")
    return file


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A user's folder: eight captioned pictures of 256 px."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k, colour in enumerate(["red", "green", "blue", "yellow", "purple", "orange", "black", "white"]):
        Image.new("RGB", (256, 256), colour).save(folder / f"{k}.png")
        (folder / f"{k}.txt").write_text(f"a {colour} wall\n")
    return folder
