"""`unclip model`: what it makes of models."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unclip.checkpoints.store import load_system, save_system
from unclip.system import System

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
FEW = ("--count", "4", "--points", "3", "--device", "cpu")
Refused = Callable[..., str]


def moments(folder: Path) -> tuple[float, ...]:
    prior = load_system(folder, ["prior"]).prior
    assert prior is not None
    return prior.eps_moments


def test_a_prior_is_measured_on_a_folder(
    unclip: Any, pictures: Path, model_folder: Path, tmp_path: Path
) -> None:
    outcome = unclip("model", "analytic", model_folder, tmp_path / "out", "--data", pictures, *FEW)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{tmp_path / 'out'}\n"
    assert outcome.err == ""
    assert len(moments(tmp_path / "out")) == 3
    assert moments(model_folder) == ()
    assert "eps_moments" in json.loads((tmp_path / "out" / "system.json").read_text())["stages"]["prior"]


def test_with_the_art_a_prior_is_measured_on_the_world_that_its_model_learned(
    unclip: Any, refused: Refused, system: System, model_folder: Path, tmp_path: Path
) -> None:
    def measured(told: str, out: str) -> tuple[float, ...]:
        card = dataclasses.replace(system.card, training_data=(f"decoder: {told}",))
        save_system(tmp_path / f"model-{out}", dataclasses.replace(system, card=card))
        arguments = (tmp_path / f"model-{out}", tmp_path / out, "--data", SAMPLE)
        assert unclip("model", "analytic", *arguments, *FEW).code == 0
        return moments(tmp_path / out)

    world = measured("world of 60 concepts, seed 0", "a")
    assert world == measured("world of 60 concepts, 10% photographs, seed 0", "b")
    assert world != measured("world of 60 concepts, seed 1", "c")
    line = refused("model", "analytic", model_folder, tmp_path / "d", "--data", SAMPLE, *FEW)
    assert "did not learn to draw from the world's scenes" in line


def test_bad_orders_are_refused(
    refused: Refused, pictures: Path, system: System, model_folder: Path, tmp_path: Path
) -> None:
    def measure(model: Path, out: str, *arguments: object) -> str:
        return refused("model", "analytic", model, tmp_path / out, "--data", pictures, *FEW, *arguments)

    save_system(tmp_path / "without", dataclasses.replace(system, prior=None))
    assert "has no stage 'prior'" in measure(tmp_path / "without", "out")
    assert "is there already: choose another folder" in measure(model_folder, "without")
    assert "no model folder at" in measure(tmp_path / "gone", "out")
    assert "points" in measure(model_folder, "out", "--points", 1)
    assert "count" in measure(model_folder, "out", "--count", 0)
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]


@pytest.mark.parametrize("name", ["info", "assemble", "analytic"])
def test_every_command_says_what_it_does(unclip: Any, name: str) -> None:
    assert "Usage" in unclip("model", name, "--help").out
