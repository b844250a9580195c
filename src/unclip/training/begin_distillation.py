"""Beginning or resuming a distillation: from a lesson, a teacher and a folder to a trainer."""

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from unclip.checkpoints.store import load_component, read_system_file, save_component
from unclip.data.example import Pictures
from unclip.diffusion.process import Process
from unclip.errors import CheckpointError, RequestError
from unclip.models.decoder import Decoder, guided_copy
from unclip.models.upsampler import Upsampler
from unclip.system import SamplingDefaults, StageConfig
from unclip.training.begin import keep_conditions
from unclip.training.conditions import TextConditions
from unclip.training.config import TrainConfig
from unclip.training.distillation import GuidanceTask, Teacher, TrajectoryTask
from unclip.training.lessons import Lesson
from unclip.training.loop import Trainer
from unclip.training.one_step import OneStepTask
from unclip.training.runs import RunConfig, load_clip, load_part, owned, read_run_config, write_run_config
from unclip.training.state import writing
from unclip.training.tasks import Task
from unclip.training.upsampling import UpsamplerTask

# The components that may teach each lesson; the last is the one taken from a model.
TEACHERS = {
    "guidance": ("decoder",),
    "steps": ("distilled", "decoder"),
    "upsampler256": ("upsampler256",),
    "upsampler1024": ("upsampler1024",),
}


@dataclass(frozen=True)
class DistillOrder:
    """What is to be taught, by whom, on what, and where it goes."""

    lesson: Lesson
    run: Path
    pictures: Pictures
    data: str  # what the pictures are, for people to read
    train: TrainConfig
    model: Path  # a model folder: the teacher, and CLIP
    source: Path | None = None  # the run of a teacher, in the place of the model's
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    workers: int = 0  # processes that draw pictures; 0: the training process draws
    compiled: bool = False  # run the student through torch.compile

    @property
    def component(self) -> str:
        """What the student is in a model."""
        return "distilled" if self.lesson.scales else self.lesson.name

    @property
    def teacher(self) -> Path:
        """Where the run keeps its teacher; written last, and so the sign that CLIP is there, too."""
        return self.run / "teacher"


def begin_distillation(
    order: DistillOrder,
    should_stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = print,
) -> Trainer:
    """Return the trainer of an order; a run that was begun before goes on, with the teacher that it keeps.

    Raises CheckpointError if the run was begun otherwise or the teacher is not there, RequestError if the
    teacher cannot teach this lesson, DataError if the run's folder is not writable.
    """
    teacher, taught = _teacher(order, warn)
    stage = _student_stage(order.lesson, taught)
    train = order.train
    if isinstance(teacher, Decoder):
        train = replace(train, image_size=teacher.config.image_size)
    student = _student(teacher, train.seed)
    conditions = _conditions(order, warn)
    config = RunConfig(order.component, train, student.config, stage, order.data, order.lesson)
    write_run_config(order.run, config)
    _keep(order, teacher, conditions)
    teacher.to(order.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    task = _task(order, teacher, Process(stage.process), conditions)
    return Trainer(
        task,
        student,
        order.pictures,
        train,
        order.run,
        order.device,
        order.workers,
        order.compiled,
        should_stop,
        warn,
    )


def _teacher(order: DistillOrder, warn: Callable[[str], None]) -> tuple[Decoder | Upsampler, StageConfig]:
    """Return the teacher and its stage: the one that the run keeps, a run's, or the model's."""
    network: Any
    stage: StageConfig | None
    if order.teacher.is_dir():
        before = read_run_config(order.run)
        network, stage = owned(load_component(order.teacher, before.component)), before.stage
    elif order.source is not None:
        name = _taught_by(order.source, order.lesson)
        network, stage = load_part(order.source, name, warn), read_run_config(order.source).stage
    else:
        name, stages = TEACHERS[order.lesson.name][-1], read_system_file(order.model).stages
        if name not in stages:
            raise CheckpointError(f"{order.model} has no {name} to learn from, only {', '.join(stages)}")
        network, stage = load_part(order.model, name, warn), stages[name]
    assert stage is not None
    return network, stage


def _taught_by(source: Path, lesson: Lesson) -> str:
    found = read_run_config(source).component
    if found not in TEACHERS[lesson.name]:
        raise CheckpointError(
            f"{source} is a run of {found}; {lesson.name} is taught by {' or '.join(TEACHERS[lesson.name])}"
        )
    return found


def _student_stage(lesson: Lesson, teacher: StageConfig) -> StageConfig:
    """Return how the student is sampled; of a student's own stage, the same."""
    scale = teacher.defaults.guidance_scale
    if lesson.name != "guidance" and teacher.process.prediction == "eps":
        raise RequestError(
            "the teacher predicts noise, which says nothing of the picture where all is noise:"
            " a few steps can be taught to networks that predict x0 or v"
        )
    if lesson.scales is None:
        return replace(teacher, defaults=SamplingDefaults("ddim", 1))
    low, high = lesson.scales
    if not low <= scale <= high:
        raise RequestError(
            f"the teacher's guidance scale is {scale:g}, not between {low:g} and {high:g}:"
            " name scales on both sides of it"
        )
    if lesson.steps is None:
        return teacher
    return replace(teacher, defaults=SamplingDefaults("ddim", lesson.steps, scale, "trailing"))


def _student(teacher: Decoder | Upsampler, seed: int) -> Decoder | Upsampler:
    """Return a trainable copy of the teacher, the same on every call."""
    torch.manual_seed(seed)
    student = guided_copy(teacher) if isinstance(teacher, Decoder) else copy.deepcopy(teacher)
    return student.requires_grad_(True)


def _conditions(order: DistillOrder, warn: Callable[[str], None]) -> TextConditions:
    """Return CLIP and its tokenizer: the run's, those that the teacher's run stands on, or the model's."""
    candidates = [order.run] if order.teacher.is_dir() else [order.source, order.model]
    source = next(folder for folder in candidates if folder is not None and (folder / "clip").is_dir())
    clip, tokenizer = load_clip(source, warn)
    return TextConditions(clip.to(order.device), tokenizer)


def _keep(order: DistillOrder, teacher: Decoder | Upsampler, conditions: TextConditions) -> None:
    """Put teacher, CLIP and tokenizer into the run, so that it stands on its own."""
    if order.teacher.is_dir():
        return
    partial = order.teacher.with_suffix(".tmp")
    with writing(order.run):
        if order.component == "distilled":
            keep_conditions(order.run, order.pictures, conditions)
        else:  # captions play no part, nor do their words
            conditions.tokenizer.save(order.run / "tokenizer")
            save_component(order.run / "clip", conditions.clip)
        shutil.rmtree(partial, ignore_errors=True)
        save_component(partial, teacher)
        partial.rename(order.teacher)


def _task(
    order: DistillOrder, teacher: Decoder | Upsampler, process: Process, conditions: TextConditions
) -> Task:
    lesson, snr_range = order.lesson, order.train.snr_range
    if isinstance(teacher, Upsampler):
        assert lesson.feature_weight is not None
        assert conditions.clip.image is not None
        crops = UpsamplerTask(process, teacher.config.image_size, snr_range)
        return OneStepTask(crops, conditions.clip.image, lesson.feature_weight)
    assert lesson.scales is not None
    guided = Teacher(teacher, process)
    if lesson.steps is None or lesson.teacher_steps is None:
        return GuidanceTask(conditions, guided, lesson.scales, snr_range)
    return TrajectoryTask(conditions, guided, lesson.scales, lesson.steps, lesson.teacher_steps, snr_range)
