"""`unclip model export`: models for other programs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unclip.checkpoints.store import save_system
from unclip.system import System

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def model(karlo_like: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "model"
    save_system(folder, karlo_like)
    return folder


def test_a_model_is_written_and_drawn_with(
    unclip: Any, drawn: Callable[..., list[Path]], model: Path, tmp_path: Path
) -> None:
    (out,) = drawn("model", "export", model, tmp_path / "out", "--format", "diffusers")
    assert out == tmp_path / "out"
    assert json.loads((out / "model_index.json").read_text())["_class_name"] == "UnCLIPPipeline"
    assert (
        unclip("generate", "an apple", "--model", out, "--steps", 2, "-o", tmp_path / "apple.png").code == 0
    )
    with Image.open(tmp_path / "apple.png") as image:
        assert image.size == (32, 32)


def test_a_folder_of_diffusers_is_written_again(
    drawn: Callable[..., list[Path]], model: Path, tmp_path: Path
) -> None:
    (once,) = drawn("model", "export", model, tmp_path / "once")
    (twice,) = drawn("model", "export", once, tmp_path / "twice")
    assert "# once\n" in (twice / "README.md").read_text()
    files = [path.relative_to(once) for path in once.rglob("*") if path.is_file()]
    assert len(files) == 23
    assert [file for file in files if (once / file).read_bytes() != (twice / file).read_bytes()] == [
        Path("README.md")
    ]


def test_what_is_left_out_is_said(
    unclip: Any, karlo_like: System, distilled_system: System, ar_system: System, tmp_path: Path
) -> None:
    system = replace(karlo_like, distilled=distilled_system.distilled, prior_ar=ar_system.prior_ar)
    save_system(tmp_path / "model", system)
    outcome = unclip("model", "export", tmp_path / "model", tmp_path / "out")
    assert (outcome.code, outcome.out) == (0, f"{tmp_path / 'out'}\n")
    assert outcome.err == (
        "distilled is left out: diffusers has no place for it\n"
        "prior_ar is left out: diffusers has no place for it\n"
    )


def test_bad_orders_are_refused(refused: Refused, model: Path, model_folder: Path, tmp_path: Path) -> None:
    line = refused("model", "export", "bundled", tmp_path / "out")
    assert "clip.normalize is True instead of False; decoder.text_depth is " in line
    assert line.endswith("train one of Karlo's structure (presets.karlo)\n")
    assert "tiny is not a model that diffusers can hold" in refused(
        "model", "export", model_folder, tmp_path / "out"
    )
    assert "is there already" in refused("model", "export", model, model_folder)
    assert "no model folder at" in refused("model", "export", tmp_path / "gone", tmp_path / "out")
    assert "karlo is not pulled: run unclip model pull karlo" in refused(
        "model", "export", "karlo", tmp_path / "out"
    )
    assert "'onnx' is not" in refused("model", "export", model, tmp_path / "out", "--format", "onnx")
    assert "Missing argument 'out'" in refused("model", "export", model)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_it_does(unclip: Any) -> None:
    assert "as diffusers reads it" in unclip("model", "export", "--help").out
