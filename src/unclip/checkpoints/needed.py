"""Which of a repository's files a model needs: names in, names out."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from unclip.checkpoints.configs import read_json
from unclip.errors import CheckpointError

INDEXES = ("model_index.json", "system.json")  # diffusers' list of components, and ours: one makes a model

NAME = re.compile(r"(?:\w[\w.-]*/)?\w[\w.-]*")  # at most one folder deep: below are other formats
# The names that readers look for. Others are half precision (*.fp16.*), other formats, or left from training.
WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)(?:-\d+-of-\d+)?\.(safetensors|bin)(?:\.index\.json)?"
)


def is_model(names: Collection[str]) -> bool:
    """Say whether a repository of these files is a model that unclip may know."""
    return any(index in names for index in INDEXES)


def needed(names: Collection[str]) -> list[str]:
    """Return the texts and weights of a model: .safetensors where a component has it, .bin elsewhere."""
    return sorted(name for name in names if _is_text(name) or _is_weights(name, names))


def _is_text(name: str) -> bool:
    file = name.rpartition("/")[2]
    # The card, README.md, names the licence.
    return (
        bool(NAME.fullmatch(name)) and file.endswith((".json", ".txt", "README.md")) and ".index." not in file
    )


def _is_weights(name: str, names: Collection[str]) -> bool:
    component, _, file = name.rpartition("/")
    if not component or not NAME.fullmatch(name) or not (found := WEIGHTS.fullmatch(file)):
        return False
    return found[1] == "safetensors" or "safetensors" not in _formats(component, names)


def _formats(component: str, names: Collection[str]) -> set[str]:
    """Return the formats in which a component's weights are there."""
    files = [name.removeprefix(f"{component}/") for name in names if name.startswith(f"{component}/")]
    return {found[1] for file in files if (found := WEIGHTS.fullmatch(file))}


def without_weights(names: Collection[str]) -> list[str]:
    """Return the components that have a network's config, and no weights in a format that is read."""
    networks = {name.removesuffix("/config.json") for name in names if name.endswith("/config.json")}
    return sorted(network for network in networks if "/" not in network and not _formats(network, names))


def lacking(folder: Path, names: Collection[str]) -> list[str]:
    """Return what a model's folder with these files lacks to be whole. Raises CheckpointError."""
    parts = [part for part in _components(folder, names) if not any(n.startswith(f"{part}/") for n in names)]
    parts += [f"{network}'s weights" for network in without_weights(names)]
    for name in names:
        if name.endswith(".index.json"):
            shards = _object(folder / name).get("weight_map", {}).values()
            parts += sorted({f"{name.rpartition('/')[0]}/{shard}" for shard in shards}.difference(names))
    return parts


def _components(folder: Path, names: Collection[str]) -> list[str]:
    index = next(index for index in INDEXES if index in names)
    values = _object(folder / index)
    if index == "system.json":
        return ["clip", "tokenizer", *values.get("stages", ()), *["prior_ar"] * bool(values.get("prior_ar"))]
    return [name for name, kind in values.items() if isinstance(kind, list) and kind[:1] != [None]]


def _object(path: Path) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is no JSON object")
    return values
