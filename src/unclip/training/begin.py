"""Beginning or resuming a run: from a component's name and a folder to a trainer."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unclip.checkpoints.configs import config_from_json, config_to_json, read_json, write_json
from unclip.checkpoints.store import build, read_system_file, save_component
from unclip.data.example import Pictures
from unclip.diffusion.process import Process, ProcessConfig
from unclip.errors import RequestError
from unclip.models.clip import ClipConfig
from unclip.models.decoder import Decoder
from unclip.models.prior_ar import PriorArConfig
from unclip.models.upsampler import UpsamplerConfig
from unclip.presets import SystemConfig
from unclip.system import StageConfig
from unclip.text.prompts import word_list
from unclip.text.tokenizer import Tokenizer
from unclip.training.conditions import TextConditions
from unclip.training.config import TrainConfig
from unclip.training.loop import Trainer
from unclip.training.prior_ar import PriorArTask
from unclip.training.redrawing import Redrawing
from unclip.training.runs import (
    WORDS,
    RunConfig,
    is_run,
    load_clip,
    load_part,
    read_run_config,
    write_run_config,
)
from unclip.training.state import newest_checkpoint, replacing, writing
from unclip.training.tasks import ClipTask, DecoderTask, PriorTask, Task
from unclip.training.upsampling import UpsamplerTask

CAPTIONS = 20_000  # read to train a tokenizer and to list the words
PROCESS = "process.json"


@dataclass(frozen=True)
class Order:
    """What is to be trained, on what, and where it goes."""

    component: str  # a key of checkpoints.store.NETWORKS
    run: Path
    pictures: Pictures
    data: str  # what the pictures are, for people to read
    system: SystemConfig
    train: TrainConfig
    clip: Path | None = None  # a run of CLIP or a model folder; priors and decoder need one
    source: Path | None = None  # a run or model folder to start the weights from
    decoder: Path | None = None  # a run or model folder, whose faults an upsampler shall know
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    workers: int = 0  # processes that draw pictures; 0: the training process draws
    compiled: bool = False  # run the network through torch.compile


def begin(
    order: Order, should_stop: Callable[[], bool] = lambda: False, warn: Callable[[str], None] = print
) -> Trainer:
    """Return the trainer of an order; a run that was begun before goes on.

    Raises CheckpointError if the run was begun otherwise, RequestError if the order lacks a CLIP,
    DataError if the run's folder is not writable.
    """
    conditions = _conditions(order, warn)
    network = _network(order, conditions, warn)
    redrawing = _redrawing(order, warn)
    stage = order.system.stages.get(order.component)
    config = RunConfig(order.component, order.train, network.config, stage, order.data)
    write_run_config(order.run, config)
    if conditions is not None:
        keep_conditions(order.run, order.pictures, conditions)
    task = _task(order, stage, conditions, redrawing)
    return Trainer(
        task,
        network,
        order.pictures,
        order.train,
        order.run,
        order.device,
        order.workers,
        order.compiled,
        should_stop,
        warn,
    )


def _conditions(order: Order, warn: Callable[[str], None]) -> TextConditions | Tokenizer | None:
    """Return the frozen CLIP of a prior or decoder, the tokenizer of a CLIP, or nothing for an upsampler."""
    if order.component.startswith("upsampler"):
        return None
    if order.component == "clip":
        return _tokenizer(order)
    source = order.run if keeps_conditions(order.run) else order.clip or order.source
    if source is None:
        raise RequestError(f"the {order.component} stands on a CLIP: name a run of it or a model with --clip")
    clip, tokenizer = load_clip(source, warn)
    return TextConditions(clip.to(order.device), tokenizer)


def _tokenizer(order: Order) -> Tokenizer:
    source = order.run if keeps_conditions(order.run) else order.source
    if source is not None:
        return Tokenizer.load(source / "tokenizer")
    shape = order.system.clip
    return Tokenizer.train(_captions(order.pictures), shape.vocab_size, shape.context_length)


def _captions(pictures: Pictures) -> Iterator[str]:
    return (pictures.caption(index) for index in range(CAPTIONS))


def _network(
    order: Order, conditions: TextConditions | Tokenizer | None, warn: Callable[[str], None]
) -> nn.Module:
    if order.source is not None:
        if newest_checkpoint(order.run, lambda _: None) is not None:  # which gives the weights
            return build(order.component, read_run_config(order.run).network)
        return load_part(order.source, order.component, warn).requires_grad_(True)
    shape: Any = getattr(order.system, order.component)
    if isinstance(conditions, Tokenizer):  # few captions may give fewer tokens than asked for
        shape = dataclasses.replace(shape, vocab_size=conditions.vocab_size)
    elif conditions is not None:
        shape = _fitted(shape, conditions.clip.config)
    torch.manual_seed(order.train.seed)
    return build(order.component, shape)


def _fitted(shape: Any, clip: ClipConfig) -> Any:
    """Return a prior's or decoder's config with the widths of the CLIP it stands on."""
    names = {field.name for field in dataclasses.fields(shape)}
    widths = {
        "embed_dim": clip.embed_dim,
        "text_width": clip.text_width,
        "context_length": clip.context_length,
    }
    fitted = dataclasses.replace(shape, **{name: width for name, width in widths.items() if name in names})
    if isinstance(fitted, PriorArConfig):  # there are no more components than dimensions
        return dataclasses.replace(fitted, components=min(fitted.components, clip.embed_dim))
    return fitted


def keep_conditions(run: Path, pictures: Pictures, conditions: TextConditions | Tokenizer) -> None:
    """Put tokenizer, word list and the frozen CLIP into the run, so that it stands on its own."""
    if keeps_conditions(run):
        return
    with writing(run):
        if isinstance(conditions, Tokenizer):
            conditions.save(run / "tokenizer")
        else:
            conditions.tokenizer.save(run / "tokenizer")
            save_component(run / "clip", conditions.clip)
    with replacing(run / WORDS) as unfinished:
        write_json(unfinished, word_list(_captions(pictures)))


def keeps_conditions(run: Path) -> bool:
    """Tell whether tokenizer and CLIP are in the run: the words are written after them."""
    return (run / WORDS).exists()


def _redrawing(order: Order, warn: Callable[[str], None]) -> Redrawing | None:
    """Return the decoder that an upsampler's small pictures pass through; the run keeps a copy of it.

    Raises RequestError if the stage has no use for that decoder.
    """
    kept = order.run / "redrawing"
    source = kept if kept.is_dir() else order.decoder
    if source is None:
        return None
    decoder = load_part(source, "decoder", warn)
    assert isinstance(decoder, Decoder)
    shape, size = getattr(order.system, order.component), decoder.config.image_size
    if not isinstance(shape, UpsamplerConfig) or shape.low_size != size:
        raise RequestError(f"{order.component} is not shown what a decoder of {size} px draws: leave it out")
    clip, tokenizer = load_clip(source, warn)
    process = _process(source)
    conditions = TextConditions(clip, tokenizer)
    if source is not kept:
        _keep(kept, decoder, conditions, process)
    clip.to(order.device)
    return Redrawing(conditions, decoder.to(order.device), Process(process))


def _process(source: Path) -> ProcessConfig:
    """Return the process of the decoder of a run, of a model folder, or of what a run keeps of either."""
    if (source / PROCESS).exists():
        return config_from_json(ProcessConfig, read_json(source / PROCESS), str(source / PROCESS))
    stage = read_run_config(source).stage if is_run(source) else read_system_file(source).stages["decoder"]
    assert stage is not None
    return stage.process


def _keep(kept: Path, decoder: Decoder, conditions: TextConditions, process: ProcessConfig) -> None:
    partial = kept.with_suffix(".tmp")
    with writing(kept):
        shutil.rmtree(partial, ignore_errors=True)
        save_component(partial / "decoder", decoder)
        save_component(partial / "clip", conditions.clip)
        conditions.tokenizer.save(partial / "tokenizer")
        write_json(partial / PROCESS, config_to_json(process))
        partial.rename(kept)


def _task(
    order: Order,
    stage: StageConfig | None,
    conditions: TextConditions | Tokenizer | None,
    redrawing: Redrawing | None,
) -> Task:
    if isinstance(conditions, Tokenizer):
        return ClipTask(conditions)
    if order.component == "prior_ar":
        assert conditions is not None
        return PriorArTask(conditions)
    assert stage is not None
    process, snr_range = Process(stage.process), order.train.snr_range
    if conditions is None:
        size = getattr(order.system, order.component).image_size
        degradation = order.train.degradation
        return UpsamplerTask(process, size, snr_range, redrawing=redrawing, degradation=degradation)
    if order.component == "prior":
        return PriorTask(conditions, process)
    return DecoderTask(conditions, process, snr_range, timestep_power=order.train.timestep_power)
