"""Named tensors on disk: read when they are asked for, optionally as int8, and strictly checked."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unclip.errors import CheckpointError
from unclip.nn.int8 import SMALLEST_INT8, int8_rows

SCALE = ".scale"

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Source:
    """Named tensors that lie somewhere. Only the names and shapes are known until some are read."""

    where: str  # what errors call it
    shapes: Shapes
    read: Callable[[Collection[str]], dict[str, Tensor]]  # raises CheckpointError if the file is torn

    def within(self, prefix: str) -> "Source":
        """Return the tensors whose names begin with `prefix`, by the rest of their names."""
        shapes = {name.removeprefix(prefix): s for name, s in self.shapes.items() if name.startswith(prefix)}

        def read(names: Collection[str]) -> dict[str, Tensor]:
            found = self.read([prefix + name for name in names])
            return {name.removeprefix(prefix): tensor for name, tensor in found.items()}

        return Source(self.where, shapes, read)


def merged(where: str, parts: Sequence[tuple[str, Source]]) -> Source:
    """Return the tensors of several sources, their names after the prefixes that are given with them."""
    shapes = {prefix + name: shape for prefix, part in parts for name, shape in part.shapes.items()}

    def read(names: Collection[str]) -> dict[str, Tensor]:
        found = dict[str, Tensor]()
        for prefix, part in parts:
            own = [name for name in part.shapes if prefix + name in names]
            if own:
                found |= {prefix + name: tensor for name, tensor in part.read(own).items()}
        return found

    return Source(where, shapes, read)


def held(where: str, tensors: Mapping[str, Tensor]) -> Source:
    """Return tensors in memory as a source."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return Source(where, shapes, lambda names: {name: tensors[name] for name in names})


def open_tensors(path: Path) -> Source:
    """Look into a safetensors file, whose int8 tensors are turned back into floats when they are read.

    Every read maps the file anew, so that the pages of what was read can leave memory with it. Raises
    CheckpointError if the file is missing or torn.
    """

    def opened() -> safe_open:
        try:
            return safe_open(path, framework="pt")
        except FileNotFoundError:
            raise CheckpointError(f"{path} is missing") from None
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}; it may be half-downloaded") from None

    def read(names: Collection[str]) -> dict[str, Tensor]:
        with opened() as file:
            return {name: _restored(file, name, name + SCALE in stored) for name in names}

    with opened() as file:
        stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    scales = {name + SCALE for name in stored if name + SCALE in stored}
    return Source(str(path), {name: shape for name, shape in stored.items() if name not in scales}, read)


def _restored(file: safe_open, name: str, is_int8: bool) -> Tensor:
    tensor = file.get_tensor(name)
    return tensor.float() * file.get_tensor(name + SCALE).float() if is_int8 else tensor


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file by memory map, int8 tensors turned back into floats.

    Raises CheckpointError if the file is missing or torn.
    """
    source = open_tensors(path)
    return source.read(list(source.shapes))


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a safetensors file."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def to_int8(tensors: Mapping[str, Tensor], tables: Collection[str] = ()) -> dict[str, Tensor]:
    """Round large weights to int8 with one float16 scale per output channel, and the rest to float16.

    A weight `w` becomes `w` (int8, |w| <= 127) and `w.scale`, which is multiplied back on reading. `tables`
    names tensors that are not weights, whose numbers lie too close together for int8.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2 or tensor.numel() < SMALLEST_INT8 or name in tables:
            packed[name] = tensor.half()
        else:
            packed[name], packed[name + SCALE] = int8_rows(tensor)
    return packed


def check_strictly(where: str, expected: Shapes, found: Shapes) -> None:
    """Raise CheckpointError that lists every unknown, missing and misshaped tensor, if there is one."""
    unknown, missing = sorted(found.keys() - expected.keys()), sorted(expected.keys() - found.keys())
    misshaped = [
        f"{name} {found[name]} for {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if unknown or missing or misshaped:
        raise CheckpointError(f"{where}: unknown tensors {unknown}, missing {missing}, misshaped {misshaped}")


def shapes_of(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of named tensors."""
    return {name: tuple(tensor.shape) for name, tensor in tensors}


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Put tensors into a network, in the network's own dtype.

    Raises CheckpointError that lists every unknown, missing and misshaped tensor.
    """
    wanted = network.state_dict()
    check_strictly(where, shapes_of(wanted.items()), shapes_of(tensors.items()))
    network.load_state_dict(
        {name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()}, assign=True
    )
