"""Run folders as components: starting or resuming one, and reading what it has learned."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from unclip.checkpoints.configs import config_from_json, config_to_json, read_json, write_json
from unclip.checkpoints.store import NETWORKS, build, load_component
from unclip.checkpoints.tensors import load_strictly, read_tensors
from unclip.errors import CheckpointError
from unclip.models.clip import Clip
from unclip.system import StageConfig
from unclip.text.tokenizer import Tokenizer
from unclip.training.config import TrainConfig
from unclip.training.lessons import Lesson
from unclip.training.state import newest_checkpoint, replacing, writing

WORDS = "words.json"  # of the captions, in a run that captions play a part in


@dataclass(frozen=True)
class RunConfig:
    """The contents of a run's `config.json`."""

    component: str  # a key of NETWORKS
    train: TrainConfig
    network: Any  # the component's config
    stage: StageConfig | None  # None for CLIP and the autoregressive prior, which do not diffuse
    data: str  # what it was trained on, for people to read
    lesson: Lesson | None = None  # what a distilled network is taught; None: it learns from the data alone


# Between a run and its resumption: what the clock decides, what people read, and a length checked on its own.
MAY_DIFFER = ("train.images", "train.checkpoint_minutes", "train.sheet_minutes", "data")


def write_run_config(run: Path, config: RunConfig) -> None:
    """Begin a run, or check that it is resumed as it was begun; `images` may change before the decay.

    Raises CheckpointError naming the first setting that differs, DataError if the folder is not writable.
    """
    path = run / "config.json"
    if path.exists():
        _check_same(read_run_config(run), config, run)
    with writing(run):
        run.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        write_json(unfinished, config_to_json(config))


def _check_same(before: RunConfig, now: RunConfig, run: Path) -> None:
    old, new = (dict(_settings(config_to_json(config))) for config in (before, now))
    for name in old | new:
        if name not in MAY_DIFFER and old.get(name) != new.get(name):
            raise CheckpointError(
                f"{run} was begun with {name} = {old.get(name)}, not {new.get(name)}:"
                " resume it as it was or choose another folder"
            )
    if before.train.images != now.train.images:
        _check_before_decay(before.train, now.train, run)


def _check_before_decay(before: TrainConfig, now: TrainConfig, run: Path) -> None:
    checkpoint = newest_checkpoint(run, lambda _: None)
    done = int(checkpoint.name.removeprefix("step-")) * before.batch_size if checkpoint else 0
    if done > min(before.images, now.images) * (1 - before.decay_share):
        raise CheckpointError(
            f"{run} has seen {done} images, too many to end at {now.images} instead of {before.images}:"
            " its rate would have fallen otherwise; choose another folder"
        )


def _settings(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of nested configs by dotted names."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _settings(cast(dict[str, Any], value), f"{prefix}{name}.")
        else:
            yield prefix + name, value


def read_run_config(run: Path) -> RunConfig:
    """Read `config.json` of a run. Raises CheckpointError."""
    path = run / "config.json"
    values = read_json(path)
    config = config_from_json(RunConfig, values, str(path))
    if config.component not in NETWORKS:
        raise CheckpointError(f"{path}: unknown component {config.component!r}")
    network = config_from_json(NETWORKS[config.component][0], values["network"], str(path))
    return dataclasses.replace(config, network=network)


def is_run(folder: Path) -> bool:
    """Tell a run folder from a model folder."""
    return (folder / "config.json").exists()


def load_run(run: Path, warn: Callable[[str], None], ema: str | None = None) -> nn.Module:
    """Return a run's network with averaged weights: the average of file name `ema`, or else the widest.

    Raises CheckpointError if the run has no valid checkpoint or no such average.
    """
    config = read_run_config(run)
    checkpoint = newest_checkpoint(run, warn)
    if checkpoint is None:
        raise CheckpointError(f"{run} has no whole checkpoint yet: train it first")
    found = sorted(path.stem for path in checkpoint.glob("ema-*.safetensors")) or ["weights"]
    name = ema or found[-1]
    with torch.device("meta"):
        network = build(config.component, config.network)
    load_strictly(network, read_tensors(checkpoint / f"{name}.safetensors"), str(checkpoint))
    return network.eval().requires_grad_(False)


def load_part(source: Path, component: str, warn: Callable[[str], None]) -> nn.Module:
    """Return a component's network from a run of it or from a model folder, in memory of its own.

    Raises CheckpointError if it is not there.
    """
    if not source.is_dir():
        raise CheckpointError(f"no run or model folder at {source}")
    # A model folder has every component in a subfolder; runs of prior and decoder have their CLIP there.
    if not is_run(source) or (source / component).is_dir():
        return owned(load_component(source / component, component))
    found = read_run_config(source).component
    if found != component:
        raise CheckpointError(f"{source} is a run of {found}, a run of {component} is needed")
    return owned(load_run(source, warn))


def owned(network: nn.Module) -> nn.Module:
    """Copy the weights out of the file that they are mapped from.

    A run begins on one file and resumes on another, and sums over memory that is aligned otherwise may differ
    in the last bit.
    """
    network.load_state_dict(
        {name: tensor.clone() for name, tensor in network.state_dict().items()}, assign=True
    )
    return network


def load_clip(source: Path, warn: Callable[[str], None]) -> tuple[Clip, Tokenizer]:
    """Return CLIP and its tokenizer from a run of CLIP or from a model folder. Raises CheckpointError."""
    clip = load_part(source, "clip", warn)
    assert isinstance(clip, Clip)
    return clip, Tokenizer.load(source / "tokenizer")
