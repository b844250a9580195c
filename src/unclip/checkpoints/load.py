"""Loading a model the way users ask for it: by folder, by the name it was pulled by, or the bundled one."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch

from unclip.checkpoints.interop.diffusers_folder import is_diffusers, open_diffusers
from unclip.checkpoints.placing import place
from unclip.checkpoints.planning import DType, Weights, choose_plan
from unclip.checkpoints.pulled import BUNDLED, CATALOGUE, pull_command, pulled_folder
from unclip.checkpoints.store import Opened, open_system
from unclip.errors import CheckpointError, RequestError
from unclip.system import System


def model_folder(path: str | Path | None) -> Path:
    """Return a model's folder: the bundled one for None, and a folder here before any name.

    Names are "bundled" and those of pulled models. Raises CheckpointError for a known name that is not
    pulled, and for a pulled model that is not whole.
    """
    if path is None:
        return BUNDLED
    if Path(path).exists():
        return Path(path)
    name = str(path)
    if name == "bundled":
        return BUNDLED
    folder = pulled_folder(name)
    if folder is None and name in CATALOGUE:
        raise CheckpointError(f"{name} is not pulled: run {pull_command(CATALOGUE[name])}")
    return folder or Path(path)


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is a GPU where there is one. Raises RequestError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros((), device=device).item()
    except (RuntimeError, AssertionError):
        raise RequestError(f"device {name!r} is not available: use auto or cpu") from None
    return device


def open_model(path: str | Path | None = None, stages: Collection[str] | None = None) -> Opened:
    """Look into a model folder of unclip's own layout or of diffusers', or only into the named stages.

    Raises CheckpointError for a folder that is no whole model, RequestError for a stage that is not there.
    """
    folder = model_folder(path)
    if not is_diffusers(folder):
        return open_system(folder, stages)
    opened = open_diffusers(folder, stages)
    # As it was named: a pulled model's folder goes by its commit.
    card = replace(opened.system.card, name=Path(str(path)).absolute().name)
    return replace(opened, system=replace(opened.system, card=card))


def load(
    path: str | Path | None = None,
    *,
    stages: Collection[str] | None = None,
    device: str = "auto",
    dtype: DType = "auto",
    weights: Weights | None = None,
    memory_limit: int | None = None,
) -> System:
    """Load a model by its folder or name (see `model_folder`).

    `stages` names those to read beside CLIP ("prior", "prior_ar", "decoder", "distilled", "upsampler256",
    "upsampler1024"); None reads all. `dtype` "auto" is float32 for small models, and for large ones what the
    device is fastest in. `weights` "int8" takes a byte for each. `memory_limit`, in bytes, and what is chosen
    without one: see `choose_plan`. Raises CheckpointError for a folder that is no whole model, RequestError
    for a device or a stage that is not there and a limit that cannot be kept.
    """
    target = choose_device(device)
    opened = open_model(path, stages)
    return place(opened, choose_plan(opened, target, dtype, weights, memory_limit), target)
