"""The programs of docs/migrate-from-dall-e-2.md, as they are, against a real server."""

import json
import shutil
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from programs import program
from unclip_server import Server

PROGRAMS = Path(__file__).parents[3] / "examples" / "migrate"
Run = Callable[..., str]


@pytest.fixture(autouse=True)
def drawn(pictures: Path) -> Callable[[], dict[str, int]]:
    """Forgets pictures that were drawn before; then tells which there are, and how many pixels a side."""
    given = {"picture.png", "mask.png", "holed.png", "white.png"}

    def drawn() -> dict[str, int]:
        return {file.name: side(file) for file in pictures.glob("*.png") if file.name not in given}

    for name in drawn():
        (pictures / name).unlink()
    return drawn


def side(file: Path) -> int:
    with Image.open(file) as image:
        assert image.width == image.height
        assert image.format == "PNG"
        return image.width


def test_openai_python(
    drawn: Callable[[], dict[str, int]], python_with: Callable[..., Path], run: Run
) -> None:
    run(python_with("openai"), PROGRAMS / "openai_python.py")
    assert drawn() == {
        "drawn-0.png": 512,
        "drawn-1.png": 512,
        "edited.png": 256,
        "varied.png": 256,
        "image_generation.partial_image.png": 256,
        "image_generation.completed.png": 256,
    }


def test_openai_node(drawn: Callable[[], dict[str, int]], node_folder: Path, run: Run) -> None:
    run(program("node"), shutil.copy(PROGRAMS / "openai_node.mjs", node_folder))
    assert drawn() == {"drawn.png": 512, "edited.png": 256, "varied.png": 256}


def test_langchain(server: Server, python_with: Callable[..., Path], run: Run) -> None:
    python = python_with("langchain-community", "openai")
    url = run(
        python,
        "-W",
        "ignore",
        PROGRAMS / "langchain_dalle.py",
        OPENAI_API_BASE=f"{server.url}/v1",
        OPENAI_BASE_URL="",
    )
    assert opens(url.strip())


def test_curl(run: Run) -> None:
    program("curl")
    answers = run(program("bash"), PROGRAMS / "curl.sh").replace("}{", "}\n{").splitlines()
    links = [[item["url"] for item in json.loads(answer)["data"]] for answer in answers]
    assert [len(each) for each in links] == [1, 1, 2]
    assert all(opens(url) for each in links for url in each)


def test_unclip(drawn: Callable[[], dict[str, int]], server: Server, key: str, run: Run) -> None:
    printed = run(sys.executable, PROGRAMS / "unclip_sync.py", server.url, key).splitlines()
    assert drawn() == {
        "drawn-0.png": 512,
        "drawn-1.png": 512,
        "edited.png": 256,
        "varied.png": 256,
        "streamed.png": 256,
    }
    assert printed[0].startswith("a first look: ")
    assert all(opens(url) for url in printed[-2:])


def test_unclip_for_asyncio(drawn: Callable[[], dict[str, int]], server: Server, key: str, run: Run) -> None:
    run(sys.executable, PROGRAMS / "unclip_async.py", server.url, key)
    assert drawn() == {"apple.png": 256, "lemon.png": 256}


def test_every_program_is_run_here() -> None:
    source = Path(__file__).read_text("utf-8")
    assert all(f'"{file.name}"' in source for file in PROGRAMS.iterdir() if file.is_file())


def opens(url: str) -> bool:
    """Whether a link leads to a picture, without a key."""
    with urllib.request.urlopen(url) as response:
        return response.headers["content-type"] == "image/png"
