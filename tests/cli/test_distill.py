"""docs/distill.md, run as it stands, on the tiny preset."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unclip.checkpoints.store import load_system
from unclip.imagefiles import read_metadata
from unclip.system import SamplingDefaults
from unclip.training import begin, distillation, loop

PAGE = Path(__file__).parents[2] / "docs" / "distill.md"
QUICK = ("--images", "4", "--batch-size", "2")
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read few captions, and draw small sheets."""
    monkeypatch.setattr(begin, "CAPTIONS", 50)
    monkeypatch.setattr(distillation, "SHEET_STEPS", 2)
    monkeypatch.setattr(loop, "SHEET_BATCH", 2)


def commands() -> list[list[str]]:
    """The page's first block of commands."""
    block = re.search(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    return [shlex.split(line)[1:] for line in block[1].replace("\\\n", " ").splitlines()]


def test_the_commands_of_the_page_make_a_quick_model(
    unclip: Any, pictures: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my-model").symlink_to(model_folder)
    for command in commands():
        outcome = unclip(*command, *(QUICK if command[0] == "distill" else ()))
        assert outcome.code == 0, outcome.err
    system = load_system(Path("quick-model"))
    assert system.decoder is not None
    assert system.distilled is not None
    assert (system.decoder.network.config.guided, system.distilled.network.config.guided) == (False, True)
    assert system.distilled.defaults == SamplingDefaults("ddim", 4, guidance_scale=2.0, spacing="trailing")
    assert system.default_quality == "standard"
    assert [stage.defaults.num_steps for stage in system.upsamplers] == [1, 2]
    assert {"wall", "cube"} <= set(system.card.words)
    assert {"distilled psnr", "upsampler256 features"} < system.card.metrics.keys()
    about = read_metadata(Path("cube.png"))
    expected = {"quality": "standard", "decoder": "distilled", "steps": 4, "sampler": "ddim"}
    assert expected.items() <= about.items()
    facts = json.loads(unclip("model", "info", "quick-model", "--json").out)
    assert facts["default_quality"] == "standard"
    assert "distilled" in facts["stages"]
    assert "default quality: standard" in unclip("model", "info", "quick-model").out


def test_a_distillation_is_resumed_by_the_same_command(
    unclip: Any, pictures: Path, model_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = ("distill", "guidance", "--model", model_folder, "--data", pictures, "-o", run, *QUICK)
    assert unclip(*command, "--max-minutes", "0").code == 0
    assert unclip(*command).code == 0
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2]


def test_bad_orders_are_refused(refused: Refused, pictures: Path, model_folder: Path, tmp_path: Path) -> None:
    def distill(stage: str, *arguments: object) -> str:
        run = ("--data", pictures, "--out", tmp_path / "run", "--model", model_folder)
        return refused("distill", stage, *run, *QUICK, *arguments)

    assert "'clip' is not one of" in distill("clip")
    assert "steps plays no part in the distillation of guidance" in distill("guidance", "--steps", 4)
    assert "steps must be between 1 and 100, not 0" in distill("steps", "--steps", 0)
    assert "scales must rise" in distill("steps", "--scales", 4, 1)
    assert "config.json is missing" in distill("steps", "--from", tmp_path / "gone")
    assert "no model folder at" in distill("guidance", "--model", tmp_path / "gone")
    assert "batch_size must be at least 1" in distill("guidance", "--batch-size", 0)
    assert "gone" in distill("guidance", "--data", tmp_path / "gone")
    assert "Missing option" in refused("distill", "guidance")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {"quality": "best", "decoder": "undistilled", "steps": 4, "sampler": "dpm++"}),
        (("--quality", "standard"), {"quality": "standard", "decoder": "distilled", "steps": 3}),
        (("--quality", "draft"), {"quality": "draft", "decoder": "distilled", "steps": 2}),
        (("--quality", "draft", "--steps", 1), {"decoder": "distilled", "steps": 1}),
        (("--quality", "standard", "--guidance-scale", 3), {"guidance_scale": 3.0}),
    ],
)
def test_a_picture_says_which_decoder_drew_it(
    unclip: Any,
    distilled_folder: Path,
    tmp_path: Path,
    arguments: tuple[object, ...],
    expected: dict[str, object],
) -> None:
    file = tmp_path / "x.png"
    command = ("generate", "a cube", "--model", distilled_folder, "--size", 64, "-o", file, *arguments)
    assert unclip(*command).code == 0
    assert expected.items() <= read_metadata(file).items()


def test_another_sampler_than_the_distilled_decoder_learned_is_refused(
    refused: Refused, distilled_folder: Path, tmp_path: Path
) -> None:
    command = ("generate", "a cube", "--model", distilled_folder, "-o", tmp_path / "x.png")
    line = refused(*command, "--quality", "standard", "--sampler", "dpm++")
    assert "learned the steps of sampler ddim, not dpm++" in line
    assert "'ultra' is not one of" in refused(*command, "--quality", "ultra")
