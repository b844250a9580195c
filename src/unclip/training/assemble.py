"""From run folders to a model folder."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unclip.checkpoints.configs import read_json
from unclip.checkpoints.store import (
    UPSAMPLERS,
    load_component,
    load_system,
    named_networks,
    named_stages,
    save_system,
)
from unclip.diffusion.process import Process
from unclip.errors import CheckpointError, RequestError
from unclip.models.clip import Clip
from unclip.models.prior_ar import PriorAr
from unclip.system import Card, Quality, Stage, System
from unclip.text.tokenizer import Tokenizer
from unclip.training.ema import average_name
from unclip.training.runs import WORDS, RunConfig, load_run, read_run_config
from unclip.training.state import last_metrics, writing

CONDITIONED = ("prior", "prior_ar", "decoder", "distilled")  # what stands on a CLIP


def assemble(
    runs: Sequence[Path],
    out: Path,
    *,
    name: str,
    licence: str,
    base: Path | None,
    int8: bool,
    default_quality: Quality | None = None,
    ema: float | None = None,
    guidance_scale: float | None = None,
    warn: Callable[[str], None],
) -> None:
    """Write a model folder of the runs' averaged weights, the other stages taken from `base`.

    With `int8`, large weights take one byte each; a `default_quality` of None is the base's, or else best.
    `ema` is the relative width of the averages, None each run's widest; `guidance_scale` becomes the default
    of the decoder. Raises CheckpointError if a run has nothing whole or no such average, two runs are of one
    stage, or a stage stands on another CLIP; RequestError if `out` is there already, or for a guidance scale
    that no decoder can have; DataError if it cannot be written.
    """
    if out.exists():
        raise RequestError(f"{out} is there already: choose another folder")
    configs = {run: read_run_config(run) for run in runs}
    by_stage = {config.component: run for run, config in configs.items()}
    if len(by_stage) < len(configs):
        raise CheckpointError(f"{len(configs)} runs make only {', '.join(by_stage)}: give one run per stage")
    before = load_system(base) if base else None
    average = None if ema is None else average_name(ema)
    clip, folder = _clip(by_stage, base, warn, average)
    stages: dict[str, Stage[Any]] = named_stages(before) if before else {}
    for stage in CONDITIONED:
        source = by_stage.get(stage) or (base if before and stage in named_networks(before) else None)
        if source:
            _check_clip(clip, source)
    for stage, run in by_stage.items():
        if (settings := configs[run].stage) is not None:
            network = load_run(run, warn, average)
            stages[stage] = Stage(network, Process(settings.process), settings.defaults)
    if guidance_scale is not None:
        stages["decoder"] = _guided(stages.get("decoder"), guidance_scale)
    system = System(
        _card(name, licence, configs, by_stage, before),
        Tokenizer.load(folder / "tokenizer"),
        clip,
        stages.get("prior"),
        stages.get("decoder"),
        tuple(stages[stage] for stage in UPSAMPLERS if stage in stages),
        stages.get("distilled"),
        default_quality or (before.default_quality if before else "best"),
        _prior_ar(by_stage, before, warn, average),
    )
    partial = out.with_name(f"{out.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(out):
            save_system(partial, system, int8)
            partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _clip(
    by_stage: dict[str, Path], base: Path | None, warn: Callable[[str], None], average: str | None
) -> tuple[Clip, Path]:
    """Return CLIP and its tokenizer's folder: a run of it, the base, or what stands on it and kept it."""
    kept = [run for stage, run in by_stage.items() if stage in CONDITIONED]
    network: nn.Module
    if "clip" in by_stage:
        folder = by_stage["clip"]
        network = load_run(folder, warn, average)
    elif base or kept:
        folder = base or kept[0]
        network = load_component(folder / "clip", "clip")
    else:
        raise CheckpointError("no CLIP among the runs: add its run, or a model with --from")
    assert isinstance(network, Clip)
    return network, folder


def _prior_ar(
    by_stage: dict[str, Path], before: System | None, warn: Callable[[str], None], average: str | None
) -> PriorAr | None:
    """Return the autoregressive prior of a run, or else the base's if it has one."""
    if "prior_ar" not in by_stage:
        return before.prior_ar if before else None
    network = load_run(by_stage["prior_ar"], warn, average)
    assert isinstance(network, PriorAr)
    return network


def _guided(decoder: Stage[Any] | None, guidance_scale: float) -> Stage[Any]:
    if decoder is None or not 0 <= guidance_scale <= 100:
        raise RequestError(f"a guidance scale is a decoder's, from 0 to 100, not {guidance_scale:g}")
    return replace(decoder, defaults=replace(decoder.defaults, guidance_scale=guidance_scale))


def _check_clip(clip: Clip, source: Path) -> None:
    own = load_component(source / "clip", "clip").state_dict()
    other = clip.state_dict()
    if own.keys() != other.keys() or not all(torch.equal(own[name], other[name]) for name in own):
        raise CheckpointError(
            f"{source} was trained on another CLIP: train it on this one, or assemble with its own"
        )


def _card(
    name: str, licence: str, configs: dict[Path, RunConfig], by_stage: dict[str, Path], before: System | None
) -> Card:
    anew = tuple(f"{stage}: " for stage in by_stage)
    data = [line for line in (before.card.training_data if before else ()) if not line.startswith(anew)]
    metrics = dict(before.card.metrics if before else {})
    for stage, run in by_stage.items():
        data.append(f"{stage}: {configs[run].data}")
        metrics |= {f"{stage} {name}": value for name, value in last_metrics(run).items()}
    return Card(name, licence, tuple(data), tuple(sorted(_words(by_stage, before))), metrics)


def _words(by_stage: dict[str, Path], before: System | None) -> set[str]:
    """Return the base's words and those that the decoders were told: what only others were told is not drawn.

    Without a decoder, those of all stages.
    """
    drawing = {stage: run for stage, run in by_stage.items() if stage in ("decoder", "distilled")}
    runs = drawing if drawing or (before and before.decoder) else by_stage
    told = [read_json(run / WORDS) for run in runs.values() if (run / WORDS).exists()]
    return set(before.card.words if before else ()).union(*told)
