"""The files that a component's weights lie in, as diffusers and transformers name them."""

from pathlib import Path

from unclip.checkpoints.configs import read_json
from unclip.checkpoints.interop.pickles import open_pickle
from unclip.checkpoints.tensors import Source, merged, open_tensors
from unclip.errors import CheckpointError

OF_DIFFUSERS, OF_TRANSFORMERS = "diffusion_pytorch_model.safetensors", "model.safetensors"

_STEMS = (
    OF_DIFFUSERS,
    OF_TRANSFORMERS,
    "diffusion_pytorch_model.bin",
    "pytorch_model.bin",
)
"""Files of diffusers and of transformers, the safer ones first."""


def open_weights(folder: Path) -> Source:
    """Look into a component's weights, in one file or in several with an index.

    Raises CheckpointError if a file is missing, torn, or holds more than tensors.
    """
    for name in _STEMS:
        if (folder / name).is_file():
            return _open(folder / name)
        if (index := folder / f"{name}.index.json").is_file():
            return _open_shards(folder, index)
    raise CheckpointError(
        f"{folder} holds no weights ({', '.join(_STEMS)}): the folder is half-downloaded, fetch it again"
    )


def _open(path: Path) -> Source:
    with path.open("rb") as file:
        if file.read(24).startswith(b"version https://git-lfs"):
            raise CheckpointError(
                f"{path} is a pointer to the weights, not the weights: run `git lfs pull` there"
            )
    return open_tensors(path) if path.suffix == ".safetensors" else open_pickle(path)


def _open_shards(folder: Path, index: Path) -> Source:
    values = read_json(index)
    placed = values.get("weight_map") if isinstance(values, dict) else None
    if not isinstance(placed, dict):
        raise CheckpointError(f"{index} has no weight_map, which says what lies in which file")
    if missing := [file for file in sorted(set(placed.values())) if not (folder / file).is_file()]:
        raise CheckpointError(
            f"{folder / missing[0]} is missing: the folder is half-downloaded, fetch it again"
        )
    return merged(str(folder), [("", _open(folder / file)) for file in sorted(set(placed.values()))])
