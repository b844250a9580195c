"""Loading a model the way users ask for it: by folder, or the bundled one."""

from collections.abc import Collection
from pathlib import Path

import torch

from unclip.checkpoints.store import load_system, named_networks
from unclip.errors import RequestError
from unclip.system import System

BUNDLED = Path(__file__).parent.parent / "bundled" / "model"


def model_folder(path: str | Path | None) -> Path:
    """Return a model's folder: the bundled one for None, and for "bundled" unless that is a folder here."""
    if path is None or (str(path) == "bundled" and not Path(path).exists()):
        return BUNDLED
    return Path(path)


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


def load(
    path: str | Path | None = None, *, stages: Collection[str] | None = None, device: str = "auto"
) -> System:
    """Load a model folder, or the bundled model (see `model_folder`).

    `stages` names those to read beside CLIP ("prior", "prior_ar", "decoder", "distilled", "upsampler256",
    "upsampler1024"); None reads all. Raises CheckpointError for a folder that is no whole model, RequestError
    for a device or a stage that is not there.
    """
    target = choose_device(device)
    system = load_system(model_folder(path), stages)
    for network in named_networks(system).values():
        network.to(target)
    return system
