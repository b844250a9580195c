"""An open, complete DALL-E 2: CLIP, a prior, a diffusion decoder and two diffusion upsamplers.

model = unclip.load()
images = unclip.generate(model, "a red apple on a wooden table", n=4, seed=7)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unclip.checkpoints.load import load as load
    from unclip.errors import CheckpointError as CheckpointError
    from unclip.errors import DataError as DataError
    from unclip.errors import RequestError as RequestError
    from unclip.errors import UnclipError as UnclipError
    from unclip.pipelines.generation import Generation as Generation
    from unclip.pipelines.generation import decode as decode
    from unclip.pipelines.generation import diff as diff
    from unclip.pipelines.generation import edit as edit
    from unclip.pipelines.generation import generate as generate
    from unclip.pipelines.generation import interpolate as interpolate
    from unclip.pipelines.generation import invert as invert
    from unclip.pipelines.generation import mix as mix
    from unclip.pipelines.generation import outpaint as outpaint
    from unclip.pipelines.generation import probe as probe
    from unclip.pipelines.generation import steps as steps
    from unclip.pipelines.generation import vary as vary
    from unclip.system import System as System

# Loaded when first asked for: most need torch, and `unclip --help` should not wait for it.
_HOMES = {
    "load": "checkpoints.load",
    "CheckpointError": "errors",
    "DataError": "errors",
    "RequestError": "errors",
    "UnclipError": "errors",
    "Generation": "pipelines.generation",
    "decode": "pipelines.generation",
    "diff": "pipelines.generation",
    "edit": "pipelines.generation",
    "generate": "pipelines.generation",
    "interpolate": "pipelines.generation",
    "invert": "pipelines.generation",
    "mix": "pipelines.generation",
    "outpaint": "pipelines.generation",
    "probe": "pipelines.generation",
    "steps": "pipelines.generation",
    "vary": "pipelines.generation",
    "System": "system",
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'unclip' has no attribute {name!r}")
    return getattr(import_module(f"unclip.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
