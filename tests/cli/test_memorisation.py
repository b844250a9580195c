import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from unclip import presets
from unclip.checkpoints.store import save_system
from unclip.evaluation import memorisation as memorising
from unclip.evaluation.judges import store
from unclip.evaluation.judges.features import Features, FeaturesConfig
from unclip.system import System
from unclip.text.tokenizer import Tokenizer
from unclip.world import Sprites, World, WorldConfig, described

Refused = Callable[..., str]
SAMPLE = Path(__file__).parents[2] / "data" / "sample"
SMALL = ("--samples", 3, "--training", 60)


@pytest.fixture(scope="module")
def reader() -> Tokenizer:
    world, shape = World(Sprites.load(SAMPLE), 1), presets.tiny().clip
    return Tokenizer.train(map(world.caption, range(2_000)), shape.vocab_size, shape.context_length)


@pytest.fixture
def trained_on(system: System, reader: Tokenizer, tmp_path: Path) -> Callable[[str], Path]:
    """Write the tiny system as if its decoder had learned from something."""

    def write(what: str) -> Path:
        folder = tmp_path / "model"
        card = replace(system.card, training_data=("clip: whatever", f"decoder: {what}"))
        save_system(folder, replace(system, tokenizer=reader, card=card))
        return folder

    return write


@pytest.fixture(autouse=True)
def judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of an untrained network in place of the judges."""
    config = FeaturesConfig(("cat",), ("red",), ("3d",), ("beach",), channels=(16, 16, 32), groups=8)
    features = Features(config).eval()
    monkeypatch.setattr(store, "load_judges", lambda: SimpleNamespace(features=features))


def test_a_model_is_searched_and_what_is_found_is_written_and_shown(
    unclip: Any, trained_on: Callable[[str], Path], tmp_path: Path
) -> None:
    model = trained_on(described(WorldConfig(concepts=12), 5))
    file, folder = tmp_path / "memorisation.json", tmp_path / "pictures"
    command = ("memorisation", "--model", model, *SMALL, "--json", file, "-o", folder)
    outcome = unclip(*command)
    assert outcome.code == 0, outcome.err
    report = json.loads(file.read_text("utf-8"))
    assert report["learned_from"] == "world of 12 concepts, seed 5"
    assert (report["pictures"], report["training"], report["photographs"]) == (3, 60, None)
    assert len(report["nearness"]["pixels"]["worst"]) == 3
    assert "none among the training pictures" in outcome.out
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "suite.json",
        "worst-pixels.png",
        "worst-features.png",
        "distances.svg",
    }
    with Image.open(folder / "worst-pixels.png") as image:
        assert json.loads(image.info["unclip"])["training_pictures"] == 60
    assert unclip(*command).code == 0
    assert json.loads(file.read_text("utf-8")) == report


def test_a_model_that_saw_photographs_is_asked_about_them(
    unclip: Any, trained_on: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memorising, "PHOTOGRAPHS", 4)
    model = trained_on(described(WorldConfig(photographs=0.1), 0))
    outcome = unclip("memorisation", "--model", model, *SMALL, "-o", tmp_path / "pictures")
    assert outcome.code == 0, outcome.err
    assert "the decoder's loss tells 4 that it was trained on from 4 held out" in outcome.out


def test_bad_input_is_one_line(
    refused: Refused, trained_on: Callable[[str], Path], tmp_path: Path, pictures: Path
) -> None:
    model = trained_on(described(WorldConfig(), 0))
    assert "does not hold the world's art" in refused("memorisation", "--model", model, "--data", pictures)
    assert "no model folder" in refused("memorisation", "--model", tmp_path / "none")
    assert "50" in refused("memorisation", "--model", model, "--training", 49)
    (tmp_path / "suite.json").write_text("{}")
    assert "choose another folder" in refused("memorisation", "--model", model, *SMALL, "-o", tmp_path)
    assert "cannot be written" in refused("memorisation", "--json", tmp_path / "suite.json" / "report.json")


def test_a_model_of_other_pictures_has_no_world_to_be_searched(
    refused: Refused, trained_on: Callable[[str], Path]
) -> None:
    assert "but from 'holidays'" in refused("memorisation", "--model", trained_on("holidays"))
