"""How a model is held in memory: the dtype a device computes fastest in, and what fits into a limit."""

import math
from typing import Literal

import torch
from torch import nn

from unclip.checkpoints.placing import READ_AT_ONCE, Plan, units
from unclip.checkpoints.store import Opened, named_networks
from unclip.errors import RequestError
from unclip.models.decoder import Decoder
from unclip.models.unet import UNetConfig
from unclip.models.upsampler import Upsampler

DType = Literal["auto", "float32", "bfloat16", "float16"]
Weights = Literal["float", "int8"]

GIB = 2.0**30
LARGE = GIB  # bytes in float32 from which a model is worth a narrower dtype
PROCESS = 0.55 * GIB  # of Python and torch themselves
AMPLE = 4 * GIB  # what a model may take when nobody has set a limit, if it can do with less

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_plan(
    opened: Opened,
    device: torch.device,
    dtype: DType = "auto",
    weights: Weights | None = None,
    limit: int | None = None,
) -> Plan:
    """Return the plan that is fastest among those within a limit of memory in bytes.

    All networks stay in memory if they fit, else one at a time does, else one at a time as int8, unless
    `weights` says otherwise. Without a limit, int8 is taken only if asked for, and everything stays in
    memory only up to `AMPLE`, or what is free on a GPU. Raises RequestError for a dtype that the device
    does not compute in, and for a limit that no plan keeps.
    """
    chosen = _dtype(opened, device, dtype)
    kinds = [weights == "int8"] if weights or limit is None else [False, True]
    plans = [Plan(chosen, int8, resident) for int8 in kinds for resident in (True, False)]
    most = limit if limit is not None else _ample(device)
    for plan in plans:
        if memory(opened, plan) <= most:
            return plan
    if limit is None:
        return plans[-1]
    needed = memory(opened, plans[-1])
    raise RequestError(
        f"a memory limit of {gib(limit)} is too low: this model needs {gib(needed)} at the least"
        + ("" if weights or dtype == "auto" else f", and may need less in another dtype than {dtype}")
    )


def _ample(device: torch.device) -> float:
    return float(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else AMPLE


def _dtype(opened: Opened, device: torch.device, asked: DType) -> torch.dtype:
    if asked not in ("auto", *_DTYPES):
        raise RequestError(f"dtype {asked!r} is not one of auto, {', '.join(_DTYPES)}")
    if asked == "float16" and device.type == "cpu":
        raise RequestError("a CPU does not compute in float16: ask for bfloat16 or float32")
    if asked != "auto":
        return _DTYPES[asked]
    if 4 * _numbers(opened) < LARGE:
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if device.type == "cpu" and computes_in_bfloat16() else torch.float32


def _numbers(opened: Opened) -> int:
    networks = named_networks(opened.system).values()
    return sum(parameter.numel() for network in networks for parameter in network.parameters())


def computes_in_bfloat16() -> bool:
    """Tell whether this machine's processor multiplies bfloat16 by itself, and so faster than float32."""
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def memory(opened: Opened, plan: Plan) -> float:
    """Estimate the bytes that drawing one picture takes at its peak, the process itself included."""
    width = 1 if plan.int8 else plan.dtype.itemsize
    each = [
        (width * sum(parameter.numel() for parameter in unit.parameters()), _working(network, plan))
        for network in named_networks(opened.system).values()
        for unit in units(network).values()
    ]
    weights, working = zip(*each, strict=True)
    held = sum(weights) + max(working) if plan.resident else max(sum(both) for both in each)
    return PROCESS + held + (READ_AT_ONCE if plan.int8 or plan.dtype != torch.float32 else 0)


def _working(network: nn.Module, plan: Plan) -> int:
    """Estimate the bytes of a network's feature maps: two rows of a decoder, one of an upsampler."""
    if not isinstance(network, Decoder | Upsampler):
        return 0
    rows = 2 if isinstance(network, Decoder) else 1
    return rows * plan.dtype.itemsize * _map_numbers(network.config.unet, network.config.image_size)


def _map_numbers(config: UNetConfig, size: int) -> int:
    """Count the skips, all of which are held on the way down, and eleven of the widest maps."""
    side = size // config.patch_size
    skips = sum(
        channels * (config.depth + 1) * (side >> level) ** 2 for level, channels in enumerate(config.channels)
    )
    return skips + 11 * side**2 * sum(config.channels[:2])


def described(opened: Opened, plan: Plan) -> str:
    """Say in a few words what was chosen."""
    held = "all networks in memory" if plan.resident else "one network in memory at a time"
    dtype = str(plan.dtype).removeprefix("torch.")
    weights = "int8 weights, " if plan.int8 else ""
    return f"{held}, {weights}{dtype}, about {gib(memory(opened, plan))}"


def gib(size: int | float) -> str:
    """Write a number of bytes, rounded up to a tenth of a GiB."""
    return f"{math.ceil(size / GIB * 10) / 10:g} GiB"


def parse_size(text: str) -> int:
    """Read a size such as 4GiB, 3.5 GB or 800MB. Raises RequestError."""
    units_of = {
        "KB": 10**3,
        "MB": 10**6,
        "GB": 10**9,
        "KIB": 2**10,
        "MIB": 2**20,
        "GIB": 2**30,
        "G": 2**30,
        "M": 2**20,
    }
    compact = text.replace(" ", "").upper()
    number = compact.rstrip("KMGIB")
    unit = compact[len(number) :]
    try:
        size = float(number) * units_of[unit]
    except (ValueError, KeyError):
        raise RequestError(f"memory limit {text!r} is no size: write it as 4GiB or 3.5GB") from None
    if not 0 < size < math.inf:
        raise RequestError(f"memory limit {text!r} must be above 0")
    return int(size)
