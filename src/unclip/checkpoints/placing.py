"""Weights into networks: in which dtype and layout, and whether all at once or one network at a time."""

import copy
import ctypes
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unclip.checkpoints.store import Opened, named_networks
from unclip.checkpoints.tensors import Source
from unclip.models.clip import Clip
from unclip.models.upsampler import Upsampler
from unclip.nn.int8 import quantised
from unclip.nn.packing import packed
from unclip.system import System

READ_AT_ONCE = 2**28  # bytes read from a file before its pages are let go


@dataclass(frozen=True)
class Plan:
    """How a model is held in memory."""

    dtype: torch.dtype = torch.float32  # that networks compute in; what passes between them is float32
    int8: bool = False  # large weights take one byte, and are floats only while they are multiplied with
    resident: bool = True  # every network stays in memory; False: only the one that is called


def place(opened: Opened, plan: Plan, device: torch.device) -> System:
    """Give an opened model its weights: now, or each network's when it is called, as the plan says."""
    if plan != Plan() and device.type == "cpu":
        keep_freed_memory()
    pager = None if plan.resident else Pager()
    for name, network in named_networks(opened.system).items():
        source, parts = opened.sources[name], units(network)
        _place_rest(network, source, parts.values(), device)
        for prefix, unit in parts.items():
            _place_unit(unit, source.within(prefix), plan, device, pager)
    return opened.system


def units(network: nn.Module) -> dict[str, nn.Module]:
    """Return the parts of a component that are called one by one, by the prefix of their tensors."""
    match network:
        case Clip():
            parts = {"text.": network.text, "image.": network.image}
        case Upsampler():
            parts = {"unet.": network.unet, "last_unet.": network.last_unet}
        case _:
            parts = {"": network}
    return {prefix: part for prefix, part in parts.items() if part is not None}


def _place_rest(
    network: nn.Module, source: Source, parts: Collection[nn.Module], device: torch.device
) -> None:
    """Read what is in memory by every plan: buffers, and the few numbers that are in no unit."""
    within = {id(parameter) for unit in parts for parameter in unit.parameters()}
    numbers = [name for name, parameter in network.named_parameters() if id(parameter) not in within]
    tables = [name for name, _ in network.named_buffers()]
    _assign(network, source.read([*numbers, *tables]), device)


def _place_unit(
    unit: nn.Module, source: Source, plan: Plan, device: torch.device, pager: "Pager | None"
) -> None:
    def fill() -> None:
        for layers in _groups(unit):
            found = source.read([_name(where, key) for where, keys in layers for key in keys])
            for where, keys in layers:
                layer = unit.get_submodule(where)
                own = {key: found.pop(_name(where, key)) for key in keys}
                _assign(layer, own, device, plan.dtype)
                _replace(unit, where, _made_ready(layer, plan, device))
            if plan != Plan():
                give_back_memory()  # that of what was read, before more is

    if pager is None:
        fill()
    else:
        pager.attach(unit, fill)
    if plan.dtype != torch.float32:
        compute_in(unit, plan.dtype)


def _groups(unit: nn.Module) -> list[list[tuple[str, list[str]]]]:
    """List the places of layers with the names of their own parameters, those together that are read at once.

    Names alone: whoever held the layers would hold weights that were replaced.
    """
    groups, size = [list[tuple[str, list[str]]]()], 0
    for where, layer in unit.named_modules():
        own = dict(layer.named_parameters(recurse=False))
        if own and size >= READ_AT_ONCE:
            groups.append([])
            size = 0
        if own:
            groups[-1].append((where, list(own)))
            size += 4 * sum(parameter.numel() for parameter in own.values())
    return groups


def _name(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _assign(
    module: nn.Module, tensors: dict[str, Tensor], device: torch.device, dtype: torch.dtype | None = None
) -> None:
    """Put tensors into a module, in a dtype or in that of the module's own."""
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    moved = {name: tensor.to(device, dtype or own[name].dtype) for name, tensor in tensors.items()}
    module.load_state_dict(moved, strict=False, assign=True)


def _made_ready(layer: nn.Module, plan: Plan, device: torch.device) -> nn.Module:
    """Return what computes as a layer does, its weight held as the plan says."""
    if plan.int8:
        return quantised(layer)
    if plan.dtype == torch.bfloat16 and device.type == "cpu":
        return packed(layer)
    return layer


def _replace(unit: nn.Module, where: str, layer: nn.Module) -> None:
    if where:
        parent, _, name = where.rpartition(".")
        setattr(unit.get_submodule(parent), name, layer)


def compute_in(unit: nn.Module, dtype: torch.dtype) -> None:
    """Let a network take its inputs in a dtype, pictures channels last, and give its outputs in float32."""

    def taken(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        value = value.to(dtype)
        return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        return tuple(map(taken, args)), {name: taken(value) for name, value in kwargs.items()}

    def after(_: nn.Module, __: Any, output: Any) -> Any:
        return tuple(part.float() for part in output) if isinstance(output, tuple) else output.float()

    unit.register_forward_pre_hook(before, with_kwargs=True)
    unit.register_forward_hook(after)


class Pager:
    """Keeps the weights of one network in memory: of the one that was called last."""

    def __init__(self) -> None:
        self._resident: nn.Module | None = None
        self._empty: nn.Module | None = None  # the resident one as it was without its weights

    def attach(self, unit: nn.Module, fill: Callable[[], None]) -> None:
        """Have a network's weights read when it is called, and those of the one before let go."""

        def before(*_: Any) -> None:
            if self._resident is not unit:
                self._let_go()
                give_back_memory()
                self._empty, self._resident = copy.deepcopy(empty), unit
                fill()

        empty = copy.deepcopy(unit)
        unit.register_forward_pre_hook(before)

    def _let_go(self) -> None:
        if self._resident is not None and self._empty is not None:
            for name, child in self._empty.named_children():
                setattr(self._resident, name, child)
            for name, parameter in self._empty.named_parameters(recurse=False):
                setattr(self._resident, name, parameter)
        self._resident = self._empty = None


def keep_freed_memory() -> None:
    """Tell the C library to keep large blocks that were freed, for the whole process.

    Otherwise every feature map is given back to the system and asked for again, page by page, which takes
    as long as computing it.
    """
    if (library := _c_library()) is not None:
        for option, most in ((-3, 2**30), (-1, 2**31 - 1)):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            library.mallopt(option, most)


def give_back_memory() -> None:
    """Give back to the system what the C library has kept of freed memory."""
    if (library := _c_library()) is not None:
        library.malloc_trim(0)


def _c_library() -> ctypes.CDLL | None:
    """Return the C library where it is GNU's."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") else None
