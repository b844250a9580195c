import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unclip.checkpoints.store import load_component
from unclip.diffusion.process import ProcessConfig
from unclip.errors import CheckpointError, DataError, RequestError
from unclip.models.decoder import Decoder
from unclip.system import SamplingDefaults, StageConfig
from unclip.training.begin import Order
from unclip.training.begin_distillation import DistillOrder, begin_distillation
from unclip.training.distillation import GuidanceTask, TrajectoryTask
from unclip.training.lessons import lesson
from unclip.training.one_step import OneStepTask
from unclip.training.recipes import recipe
from unclip.training.runs import load_run, read_run_config

Contents = Callable[[Path], dict[str, bytes]]
Make = Callable[..., DistillOrder]


@pytest.fixture(name="order")
def _order(order: Callable[..., Order], model_folder: Path, tmp_path: Path) -> Make:
    """Order four steps of a distillation on squares."""

    def make(
        name: str, run: str = "run", source: Path | None = None, train: Any = None, **asked: Any
    ) -> DistillOrder:
        config = {"images": 8, "batch_size": 2, "warmup_images": 4, "log_steps": 2, **(train or {})}
        squares = order("upsampler256").pictures
        asked = {"steps": 2, "teacher_steps": 2, **asked} if name == "steps" else asked
        return DistillOrder(
            lesson(name, **asked),
            tmp_path / run,
            squares,
            "squares",
            replace(recipe(f"distill {name}"), **config),
            model_folder,
            source,
        )

    return make


def distil(order: DistillOrder, **trainer: Any) -> Path:
    for _ in begin_distillation(order, **trainer).train():
        pass
    return order.run


@pytest.mark.parametrize("name", ["guidance", "upsampler256"])
def test_a_distillation_stands_on_its_own_and_is_resumed_to_the_bit(
    order: Make, contents: Contents, model_folder: Path, name: str
) -> None:
    straight = distil(order(name, "straight"))
    copy = shutil.copytree(model_folder, straight.with_name("model"))
    orphan = replace(order(name, "orphan"), model=Path(copy))
    distil(orphan, should_stop=lambda: True)
    shutil.rmtree(copy)
    distil(orphan)
    assert contents(orphan.run).items() >= contents(straight).items()


@pytest.mark.parametrize("lost", [["teacher"], ["teacher", "words.json"], ["teacher", "words.json", "clip"]])
def test_a_run_killed_before_it_kept_its_teacher_begins_again(order: Make, lost: list[str]) -> None:
    asked = order("guidance")
    first = begin_distillation(asked).network.state_dict()
    for name in lost:
        path = asked.run / name
        path.unlink() if path.is_file() else shutil.rmtree(path)
    again = begin_distillation(asked).network.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert all((asked.run / name).exists() for name in lost)


def test_the_student_starts_as_its_teacher(order: Make, model_folder: Path) -> None:
    trainer = begin_distillation(order("guidance"))
    assert isinstance(trainer.network, Decoder)
    assert isinstance(trainer.task, GuidanceTask)
    own, given = trainer.network.state_dict(), load_component(model_folder / "decoder", "decoder")
    assert all(torch.equal(own[name], tensor) for name, tensor in given.state_dict().items())
    assert all(parameter.requires_grad for parameter in trainer.network.parameters())
    assert not any(parameter.requires_grad for parameter in trainer.task.teacher.network.parameters())
    assert not trainer.task.teacher.network.training


def test_the_teacher_is_the_average_of_its_run(order: Make) -> None:
    guidance = distil(order("guidance", "guidance"))
    task = begin_distillation(order("steps", source=guidance)).task
    assert isinstance(task, TrajectoryTask)
    expected = load_run(guidance, print).state_dict()
    found = task.teacher.network.state_dict()
    assert task.teacher.network.config.guided
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_the_run_says_what_is_taught_and_how_it_is_sampled(order: Make) -> None:
    asked = order("steps", steps=3, scales=(2.0, 3.0))
    begin_distillation(asked)
    config = read_run_config(asked.run)
    assert (config.component, config.lesson) == ("distilled", asked.lesson)
    assert config.stage == StageConfig(
        ProcessConfig(), SamplingDefaults("ddim", 3, guidance_scale=2.0, spacing="trailing")
    )


def test_an_upsampler_learns_crops_of_its_own_size(order: Make) -> None:
    trainer = begin_distillation(order("upsampler1024"))
    assert isinstance(trainer.task, OneStepTask)
    assert (trainer.task.crops.target_size, trainer.config.image_size) == (1024, 256)
    assert trainer.task.crops.process.config.schedule == "linear"


@pytest.mark.parametrize(
    ("first", "then", "setting"),
    [
        ({"name": "steps"}, {"name": "steps", "steps": 3}, "stage.defaults.num_steps = 2, not 3"),
        ({"name": "steps"}, {"name": "steps", "teacher_steps": 5}, "lesson.teacher_steps = 2, not 5"),
        ({"name": "guidance"}, {"name": "guidance", "scales": (1.0, 3.0)}, "lesson.scales"),
        ({"name": "guidance"}, {"name": "steps"}, "was begun with"),
        ({"name": "steps"}, {"name": "upsampler256"}, "component = distilled, not upsampler256"),
    ],
)
def test_a_run_begun_otherwise_is_refused(
    order: Make, first: dict[str, Any], then: dict[str, Any], setting: str
) -> None:
    begin_distillation(order(**first))
    with pytest.raises(CheckpointError, match=setting) as caught:
        begin_distillation(order(**then))
    assert "\n" not in str(caught.value)


def test_a_training_is_not_gone_on_with_as_a_distillation(order: Make, tmp_path: Path) -> None:
    asked = order("upsampler256")
    begin_distillation(asked)
    path = asked.run / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "lesson": None}))
    with pytest.raises(CheckpointError, match=r"begun with lesson = None|lesson\.name = None"):
        begin_distillation(asked)


def test_a_run_that_cannot_teach_is_refused(order: Make, clip_run: Path) -> None:
    with pytest.raises(CheckpointError, match="is a run of clip; guidance is taught by decoder"):
        begin_distillation(order("guidance", source=clip_run))
    with pytest.raises(CheckpointError, match="steps is taught by distilled or decoder"):
        begin_distillation(order("steps", source=clip_run))


def test_a_model_without_the_teacher_is_refused(order: Make, model_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "model"))
    values = json.loads((copy / "system.json").read_text())
    del values["stages"]["decoder"]
    (copy / "system.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="model has no decoder to learn from, only prior, ups"):
        begin_distillation(replace(order("guidance"), model=copy))
    with pytest.raises(CheckpointError, match="no model folder at"):
        begin_distillation(replace(order("guidance"), model=tmp_path / "gone"))
    assert not order("guidance").run.exists()


def test_a_default_scale_outside_of_what_is_taught_is_refused(order: Make) -> None:
    with pytest.raises(RequestError, match="guidance scale is 2, not between 3 and 4: name scales"):
        begin_distillation(order("guidance", scales=(3.0, 4.0)))


def test_a_teacher_of_noise_cannot_teach_a_few_steps(order: Make, model_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "model"))
    text = (copy / "system.json").read_text().replace('"prediction": "x0"', '"prediction": "eps"')
    (copy / "system.json").write_text(text)
    for name in ("steps", "upsampler256"):
        with pytest.raises(RequestError, match="the teacher predicts noise"):
            begin_distillation(replace(order(name), model=copy))
    begin_distillation(replace(order("guidance"), model=copy))


def test_a_folder_that_cannot_be_made_is_a_data_error(order: Make) -> None:
    asked = order("guidance")
    asked.run.write_text("a file")
    with pytest.raises(DataError, match="could not be written"):
        begin_distillation(asked)
