"""A folder of CLIP alone: transformers' CLIPModel, or the parts that a pipeline of diffusers has of it.

Source: huggingface/transformers 5.24, models/clip.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from unclip.checkpoints.configs import read_json
from unclip.checkpoints.interop import diffusers_configs as configs
from unclip.checkpoints.interop import diffusers_keys as keys
from unclip.checkpoints.interop.clip_tokenizer import read_tokenizer
from unclip.checkpoints.interop.diffusers_configs import Fields
from unclip.checkpoints.interop.diffusers_folder import open_clip, used
from unclip.checkpoints.interop.links import Link, imported
from unclip.checkpoints.interop.weights import open_weights
from unclip.checkpoints.store import build_empty
from unclip.checkpoints.tensors import Source, shapes_of
from unclip.models.clip import ClipConfig
from unclip.text.tokenizer import Tokenizer


def is_clip(folder: Path) -> bool:
    """Tell whether a folder holds CLIP in one of the two layouts.

    Raises CheckpointError for a config that cannot be read.
    """
    return _is_whole(folder) or all((folder / part).is_dir() for part in ("text_encoder", "tokenizer"))


def open_clip_folder(folder: Path) -> tuple[Any, Source, Tokenizer]:
    """Look into CLIP's folder: the network, where its numbers lie, and the tokenizer.

    Raises CheckpointError for files that are missing or unlike CLIP's.
    """
    if _is_whole(folder):
        network, source = _open_whole(folder)
        tokenizing = folder
    else:
        network, source = open_clip(folder)
        tokenizing = folder / "tokenizer"
    return network, source, read_tokenizer(tokenizing, network.config.context_length)


def whole_links(config: ClipConfig) -> list[Link]:
    """CLIPModel: the towers of `clip_links` and the scale, in one file and without the parts before names."""
    return [
        replace(link, theirs=tuple(name.partition("/")[2] for name in link.theirs))
        for link in keys.clip_links(config)
    ]


def _is_whole(folder: Path) -> bool:
    path = folder / "config.json"
    values = read_json(path) if path.is_file() else None
    return isinstance(values, dict) and ("text_config" in values or "text_config_dict" in values)


def _open_whole(folder: Path) -> tuple[Any, Source]:
    path, page = folder / "config.json", folder / "preprocessor_config.json"
    values = read_json(path)
    config = configs.clip_config(
        _half(path, values, "text_config"),
        _half(path, values, "vision_config"),
        Fields(str(page), read_json(page)) if page.is_file() else None,
    )
    network = build_empty("clip", config)
    shapes = shapes_of(network.state_dict().items())
    return network, imported(used(open_weights(folder)), whole_links(config), shapes)


def _half(path: Path, values: Mapping[str, Any], name: str) -> Fields:
    """Return the fields of one tower, which both project to the width that stands beside them."""
    older = values.get(f"{name}_dict")  # holds where both are there
    fields = values.get(name) if older is None else older
    width = values.get("projection_dim", 512)
    return Fields(f"{path}: {name}", {**(fields or {}), "projection_dim": width})
