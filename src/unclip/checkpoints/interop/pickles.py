"""Tensors in PyTorch's pickle files, read without running what the pickle says."""

from collections.abc import Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from unclip.checkpoints.tensors import Source, shapes_of
from unclip.errors import CheckpointError


def read_pickle(path: Path) -> Any:
    """Read tensors and plain Python values, tensors by memory map where the file allows it.

    Raises CheckpointError if the file is missing or torn, or if its pickle asks for anything else.
    """
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap can only be used" not in str(error):
                raise
            return torch.load(path, map_location="cpu", weights_only=True)  # as written before PyTorch 1.6
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except UnpicklingError:
        raise CheckpointError(
            f"{path} holds more than tensors, such as code to run when it is read, and is not opened: get the"
            " model as .safetensors"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        reason, *_ = str(error).splitlines() or ["it is empty"]
        raise CheckpointError(f"{path} cannot be read: {reason}; it may be half-downloaded") from None


def open_pickle(path: Path) -> Source:
    """Look into a file of named tensors, perhaps within the "state_dict" of a training checkpoint.

    Raises CheckpointError as `read_pickle` does, and if the file holds no named tensors.
    """

    def tensors() -> dict[str, Tensor]:
        values = read_pickle(path)
        if isinstance(values, Mapping) and isinstance(values.get("state_dict"), Mapping):
            values = values["state_dict"]
        if not isinstance(values, Mapping) or not all(isinstance(value, Tensor) for value in values.values()):
            raise CheckpointError(f"{path} does not hold named tensors")
        return dict(values)

    def read(names: Collection[str]) -> dict[str, Tensor]:
        found = tensors()
        return {name: found[name] for name in names}

    return Source(str(path), shapes_of(tensors().items()), read)
