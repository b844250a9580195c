"""Named tensors in safetensors files, optionally as int8, and strict loading into a network."""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unclip.errors import CheckpointError

SCALE = ".scale"
SMALLEST_INT8 = 4096  # tensors with fewer numbers save nothing worth their rounding


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a safetensors file."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file by memory map, int8 tensors turned back into floats.

    Raises CheckpointError if the file is missing or torn.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    scales = {name: stored.pop(name + SCALE) for name in list(stored) if name + SCALE in stored}
    return stored | {name: stored[name].float() * scale.float() for name, scale in scales.items()}


def to_int8(tensors: Mapping[str, Tensor], tables: Collection[str] = ()) -> dict[str, Tensor]:
    """Round large weights to int8 with one float16 scale per output channel, and the rest to float16.

    A weight `w` becomes `w` (int8, |w| <= 127) and `w.scale`, which is multiplied back on reading. `tables`
    names tensors that are not weights, whose numbers lie too close together for int8.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2 or tensor.numel() < SMALLEST_INT8 or name in tables:
            packed[name] = tensor.half()
            continue
        largest = tensor.abs().flatten(1).amax(dim=1).view(-1, *[1] * (tensor.ndim - 1))
        scale = (largest / 127).clamp(min=1e-7).half()
        # Rounded up, or the largest weights would not fit into 127 steps.
        scale = torch.where(
            scale.float() * 127 < largest, scale.nextafter(scale.new_tensor(torch.inf)), scale
        )
        packed[name] = (tensor / scale.float()).round().clamp(-127, 127).to(torch.int8)
        packed[name + SCALE] = scale
    return packed


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Put tensors into a network, in the network's own dtype.

    Raises CheckpointError that lists every unknown, missing and misshaped tensor.
    """
    wanted = network.state_dict()
    unknown, missing = sorted(tensors.keys() - wanted.keys()), sorted(wanted.keys() - tensors.keys())
    misshaped = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if unknown or missing or misshaped:
        raise CheckpointError(f"{where}: unknown tensors {unknown}, missing {missing}, misshaped {misshaped}")
    network.load_state_dict(
        {name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()}, assign=True
    )
