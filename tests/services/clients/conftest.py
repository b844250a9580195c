"""Clients of other people, each in an environment of its own, and a server that refuses some words.

The environments are kept in pytest's cache: `pytest --cache-clear` gets the newest versions again.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from programs import missing, npm
from unclip_server import ENVIRONMENT, Server

FORBIDDEN = "bloodbath"  # in a prompt, it is refused
DRIVER_SECONDS = 300.0

PythonWith = Callable[..., Path]
Run = Callable[..., str]


@pytest.fixture(scope="session")
def server(new_server: Callable[..., Server]) -> Server:
    """A server that looks at words, with a key."""
    server = new_server("--policy", "block")
    (server.home / "policy").mkdir(parents=True)
    (server.home / "policy" / "words.txt").write_text(f"{FORBIDDEN}\n", "utf-8")
    server.create_key("first")
    return server.start()


@pytest.fixture(scope="session")
def python_with(pytestconfig: pytest.Config) -> PythonWith:
    """Makes an environment with some packages from the index, and returns its Python."""

    def make(*requirements: str) -> Path:
        folder = _folder(pytestconfig, "-".join(requirements))
        python, whole = folder / "bin" / "python", folder / "whole"
        if not whole.exists():
            _install([sys.executable, "-m", "venv", "--clear", folder], requirements)
            _install([python, "-m", "pip", "install", "--quiet", *requirements], requirements)
            whole.touch()
        return python

    return make


@pytest.fixture(scope="session")
def node_folder(pytestconfig: pytest.Config) -> Path:
    """A folder in which Node finds the newest `openai` that it can run."""
    folder = _folder(pytestconfig, "npm-openai")
    if not (folder / "whole").exists():
        quietly = ("--no-audit", "--no-fund", "--silent")
        _install([*npm(), "install", "--prefix", folder, *quietly, "openai"], ("npm's openai",))
        (folder / "whole").touch()
    return folder


def _folder(config: pytest.Config, name: str) -> Path:
    return config.cache.mkdir("clients-" + re.sub(r"[^\w.]+", "-", name))


def _install(command: list[str | Path], what: tuple[str, ...]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        missing(f"{', '.join(what)} cannot be installed: {done.stderr.strip()[-300:]}")


@pytest.fixture(scope="session")
def forbidden() -> str:
    """A word that the server refuses."""
    return FORBIDDEN


@pytest.fixture(scope="session")
def key(server: Server) -> str:
    return server.create_key("clients")


@pytest.fixture(scope="session")
def run(server: Server, key: str, pictures: Path) -> Run:
    """Runs a program beside the pictures, with the settings of OpenAI's clients; returns what it prints."""

    def run(*command: str | Path, **more: str) -> str:
        settings = {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": key, **more}
        done = subprocess.run(
            command,
            cwd=pictures,
            env=ENVIRONMENT | settings,
            capture_output=True,
            text=True,
            timeout=DRIVER_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with square pictures: an opaque one, one with a hole, and masks of it in both conventions."""
    folder = tmp_path_factory.mktemp("pictures")
    picture = Image.radial_gradient("L").convert("RGB")
    mask = Image.new("RGBA", picture.size, "black")
    ImageDraw.Draw(mask).rectangle((64, 64, 191, 191), fill="#00000000")
    holed = picture.convert("RGBA")
    holed.putalpha(mask.getchannel("A"))
    white = Image.new("L", picture.size, 0)
    ImageDraw.Draw(white).rectangle((64, 64, 191, 191), fill=255)
    for name, image in (("picture", picture), ("mask", mask), ("holed", holed), ("white", white)):
        image.save(folder / f"{name}.png")
    return folder
