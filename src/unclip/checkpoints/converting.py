"""Opened models into one model folder of our own, a part of one network in memory at a time."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unclip.checkpoints.folders import Say, check_free, new_folder
from unclip.checkpoints.placing import READ_AT_ONCE
from unclip.checkpoints.store import (
    Opened,
    build_empty,
    named_networks,
    named_stages,
    write_about,
    write_component,
)
from unclip.checkpoints.tensors import Shapes, Source, merged, to_int8
from unclip.errors import CheckpointError, RequestError
from unclip.models.clip import ClipConfig

_FLOATS = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Storage:
    """What weights are stored as."""

    dtype: torch.dtype | None = None  # None: what they are read as
    int8: bool = False  # large weights take one byte each, and the rest float16

    def converted(self, tensors: dict[str, Tensor], tables: Collection[str]) -> dict[str, Tensor]:
        """Return tensors as they are stored; `tables` names those that are no weights."""
        if self.int8:
            return to_int8(tensors, tables)
        return {name: tensor.to(self._dtype(name in tables, tensor)) for name, tensor in tensors.items()}

    def _dtype(self, is_table: bool, tensor: Tensor) -> torch.dtype:
        if self.dtype is not None and tensor.ndim and not is_table:
            return self.dtype
        return tensor.dtype if tensor.dtype in _FLOATS else torch.float32


def combined(models: Sequence[Opened]) -> Opened:
    """Make one model of several, such as Karlo's for sentences and its for variations.

    Each part is the first model's that has it: the prior, CLIP's image tower, and what all have. Raises
    CheckpointError for models of different shapes, RequestError for one that adds nothing.
    """
    return reduce(_joined, models)


def _joined(first: Opened, second: Opened) -> Opened:
    _check_alike(first, second)
    ours, theirs = first.system, second.system
    clip, clip_source = ours.clip, first.sources["clip"]
    if adds_images := clip.image is None and theirs.clip.image is not None:
        clip = build_empty("clip", theirs.clip.config)
        image = second.sources["clip"].within("image.")
        clip_source = merged(f"{clip_source.where} and {image.where}", [("", clip_source), ("image.", image)])
    if not adds_images and (theirs.prior is None or ours.prior is not None):
        raise RequestError(f"{_where(second)} has nothing that {_where(first)} lacks: give one of them alone")
    card = replace(ours.card, licence=" and ".join(dict.fromkeys([ours.card.licence, theirs.card.licence])))
    system = replace(ours, card=card, clip=clip, prior=ours.prior or theirs.prior)
    return Opened(system, {**second.sources, **first.sources, "clip": clip_source})


def _check_alike(first: Opened, second: Opened) -> None:
    ours, theirs = _shared(first), _shared(second)
    if different := sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name)):
        raise CheckpointError(
            f"{_where(first)} and {_where(second)} differ in the shape or process of {', '.join(different)}:"
            " give folders of one model"
        )


def _shared(opened: Opened) -> dict[str, Any]:
    """Return what two models must have alike to make one."""
    found = {
        name: (stage.network.config, stage.process.config)
        for name, stage in named_stages(opened.system).items()
        if name != "prior"
    }
    return {"clip": _without_images(opened.system.clip.config), **found}


def _without_images(config: ClipConfig) -> ClipConfig:
    none = {"image_size": 0, "patch_size": 0, "image_width": 0, "image_depth": 0, "image_heads": 0}
    half = (0.5, 0.5, 0.5)
    return replace(config, **none, image_mlp_width=None, pixel_mean=half, pixel_std=half)


def _where(opened: Opened) -> str:
    return opened.sources["clip"].where


def write_opened(opened: Opened, out: Path, storage: Storage, say: Say) -> None:
    """Write a model folder, whole or not at all.

    Raises RequestError if something is in its place, CheckpointError if a source cannot be read or the folder
    not be written.
    """
    check_free(out)
    with new_folder(out) as folder:
        write_about(folder, opened.system)
        for name, network in named_networks(opened.system).items():
            _write_network(folder / name, network, opened.sources[name], storage, say)


def _write_network(folder: Path, network: nn.Module, source: Source, storage: Storage, say: Say) -> None:
    tables = {name for name, _ in network.named_buffers()}
    found, done, of = dict[str, Tensor](), 0, len(source.shapes)
    for names in _groups(source.shapes):
        say(folder.name, done, of)  # before, since most of the time goes into writing
        found |= storage.converted(source.read(names), tables)
        done += len(names)
    write_component(folder, network.config, found)
    say(folder.name, of, of)


def _groups(shapes: Shapes) -> Iterator[list[str]]:
    """List the names of those tensors together that are read at once."""
    group, size = list[str](), 0
    for name, shape in shapes.items():
        group.append(name)
        size += 4 * torch.Size(shape).numel()
        if size >= READ_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group
