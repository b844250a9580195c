"""Every example runs, with a tiny model in place of the bundled one, and is shown on a page."""

import importlib.util
import re
import runpy
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from unclip.checkpoints.store import save_system
from unclip.diffusion.schedule import respace
from unclip.system import System
from unclip.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]
WRITTEN = {
    "generate": {"apple-0.png", "apple-1.png"},
    "variations": {
        "lion.png",
        *(f"lion-{way}-{k}.png" for way in ("near", "fresh") for k in range(2)),
    },
    "edit": {"lion.png", "penguin-0.png", "penguin-1.png"},
    "outpaint": {"lion.png", "lion-wide.png"},
    "interpolation": {"lion-to-penguin.png", "lion-to-penguin.gif"},
    "mix": {"car.png", *(f"car-mixed-{k}.png" for k in range(4))},
    "text_diff": {f"car-{k}.png" for k in range(6)},
    "probe": {"lion-components.png"},
}


@pytest.fixture(scope="module")
def model(ar_system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose tokenizer knows the examples' words, so that their sentences are not too long."""
    code = "".join(file.read_text("utf-8") for file in (ROOT / "examples").glob("*.py"))
    shape, sentences = ar_system.clip.config, re.findall(r'"(an? [^".]+)"', code)
    tokenizer = Tokenizer.train(sentences, shape.vocab_size, shape.context_length)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_system(folder, replace(ar_system, tokenizer=tokenizer))
    return folder


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inversion, and decoding of what it finds, in 3 steps, whatever is asked for."""
    monkeypatch.setattr(
        "unclip.pipelines.inversion.schedule_of", lambda stage, _: respace(stage.process.schedule, 3)
    )


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_run_here() -> None:
    assert {file.stem for file in (ROOT / "examples").glob("*.py")} == set(WRITTEN)


@pytest.mark.parametrize("name", WRITTEN)
def test_an_example_saves_its_pictures(name: str, model: Path, tmp_path: Path) -> None:
    example(name).main(tmp_path / "new", model)
    assert {file.name for file in (tmp_path / "new").iterdir()} == WRITTEN[name]
    for file in (tmp_path / "new").iterdir():
        with Image.open(file) as image:
            assert min(image.size) == 256


@pytest.mark.parametrize("name", WRITTEN)
def test_an_example_is_linked_from_a_page(name: str) -> None:
    pages = [page.read_text("utf-8") for page in (ROOT / "docs").glob("*.md")]
    assert any(f"(../examples/{name}.py)" in page for page in pages)


PAGES = [page for page in (ROOT / "docs").glob("*.md") if "(../examples/" in page.read_text("utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_is_in_its_examples(page: Path) -> None:
    text = page.read_text("utf-8")
    linked = {ROOT / "examples" / name for name in re.findall(r"\(\.\./examples/(\w+\.py)\)", text)}
    code = "\n".join(file.read_text("utf-8") for file in linked)
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        assert textwrap.indent(block, "    ") in code


@pytest.mark.parametrize("name", WRITTEN)
def test_an_example_says_how_it_is_run(name: str) -> None:
    module = example(name)
    assert module.__doc__ is not None
    assert f"python examples/{name}.py [FOLDER] [MODEL]" in module.__doc__


def test_an_example_is_a_program(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["outpaint.py", str(tmp_path), str(model)])
    runpy.run_path(str(ROOT / "examples" / "outpaint.py"), run_name="__main__")
    assert (tmp_path / "lion-wide.png").exists()
