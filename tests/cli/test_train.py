"""docs/train-your-own.md, run as it stands, on the tiny preset."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unclip.checkpoints.store import load_system
from unclip.training import prior_ar

PAGE = Path(__file__).parents[2] / "docs" / "train-your-own.md"
Refused = Callable[..., str]
QUICK = ("--preset", "tiny", "--images", "8", "--batch-size", "4")


def commands() -> list[list[str]]:
    """The page's first block of commands."""
    block = re.search(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    return [shlex.split(line)[1:] for line in block[1].splitlines()]


def test_the_five_commands_make_a_model(
    unclip: Any, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(commands()) == 5
    for command in commands():
        outcome = unclip(*command, *(QUICK if command[0] == "train" else ()))
        assert outcome.code == 0, outcome.err
    system = load_system(Path("my-model"))
    assert system.card.name == "my model"
    assert system.sizes == (64, 256)
    assert {"red", "wall"} <= set(system.card.words)
    assert unclip("generate", "a red wall", "--model", "my-model", "-o", "wall.png").code == 0
    with Image.open("wall.png") as image:
        assert image.size == (256, 256)
    facts = json.loads(unclip("model", "info", "my-model", "--json").out)
    assert set(facts["stages"]) == {"clip", "prior", "decoder", "upsampler256"}
    assert "my model" in unclip("model", "info", "my-model").out


def test_a_model_is_fine_tuned_with_its_own_tokenizer(
    unclip: Any, pictures: Path, model_folder: Path, tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "tuned"
    arguments = ("--data", pictures, "--out", run, "--from", model_folder, *QUICK)
    assert unclip("train", "decoder", *arguments).code == 0
    assert unclip("model", "assemble", run, out, "--from", model_folder, "--int8").code == 0
    before, tuned = load_system(model_folder), load_system(out)
    assert tuned.tokenizer(["a red cube"]).tokens.tolist() == before.tokenizer(["a red cube"]).tokens.tolist()
    assert tuned.sizes == before.sizes
    assert {"wall", "cube"} <= set(tuned.card.words)


def test_training_is_resumed_by_the_same_command(unclip: Any, pictures: Path, tmp_path: Path) -> None:
    command = ("train", "upsampler256", "--data", pictures, "--out", tmp_path / "run", *QUICK)
    assert unclip(*command, "--max-minutes", "0").code == 0
    assert unclip(*command).code == 0
    steps = [
        json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == [2]


def test_bad_data_is_refused(refused: Refused, pictures: Path, tmp_path: Path) -> None:
    def train(*arguments: object) -> str:
        return refused("train", "clip", "--data", pictures, "--out", tmp_path / "run", *QUICK, *arguments)

    assert "no such" in train("--data", tmp_path / "gone") or "gone" in train("--data", tmp_path / "gone")
    (pictures / "9.txt").write_text("a wall without a picture")
    assert "9" in train()
    (pictures / "9.png").write_bytes(b"no picture")
    assert "9.png" in train("--images", 100)


def test_bad_orders_are_refused(refused: Refused, pictures: Path, model_folder: Path, tmp_path: Path) -> None:
    def train(component: str, *arguments: object) -> str:
        return refused("train", component, "--data", pictures, "--out", tmp_path / "run", *QUICK, *arguments)

    assert "name a run of it or a model with --clip" in train("decoder")
    assert "no run or model folder" in train("decoder", "--clip", tmp_path / "gone")
    assert "'clap' is not one of" in train("clap")
    assert "batch_size" in train("clip", "--batch-size", 0)
    assert "degradation is for upsamplers" in train("clip", "--degradation", "bsr")


def test_bad_assemblies_are_refused(refused: Refused, model_folder: Path, tmp_path: Path) -> None:
    assert "at least one run" in refused("model", "assemble", tmp_path / "out")
    assert "there already" in refused("model", "assemble", tmp_path / "run", model_folder)
    assert "config.json is missing" in refused("model", "assemble", tmp_path / "run", tmp_path / "out")


def test_an_autoregressive_prior_is_trained_by_its_name(
    unclip: Any, pictures: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior_ar, "FITTED_ON", 8)
    run, out = tmp_path / "run", tmp_path / "model"
    arguments = ("--data", pictures, "--out", run, "--clip", model_folder, *QUICK)
    outcome = unclip("train", "prior-ar", *arguments)
    assert outcome.code == 0, outcome.err
    assert unclip("model", "assemble", run, out, "--from", model_folder).code == 0
    stages = json.loads(unclip("model", "info", out, "--json").out)["stages"]
    assert list(stages) == ["clip", "prior", "decoder", "upsampler256", "upsampler1024", "prior_ar"]
    assert stages["prior_ar"]["parameters"] > 0
    assert stages["prior_ar"]["components"] == 6
    assert 0.5 < stages["prior_ar"]["kept_variance"] <= 1
    assert "6 components keep" in unclip("model", "info", out).out
