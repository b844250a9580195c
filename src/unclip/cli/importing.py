"""`unclip model import`: a model folder of unclip's own format from foreign files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from unclip.checkpoints.store import Opened


def import_(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="A diffusers folder of unCLIP, or two that make one model; or the original Karlo's files and"
            " a folder of CLIP. Then the folder to write."
        ),
    ],
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(help="Of the weights [default: as they are stored]."),
    ] = None,
    weights: Annotated[
        Literal["float", "int8"], typer.Option(help="int8: large weights take one byte each.")
    ] = "float",
) -> None:
    """Make a model folder of foreign files: unclip model import SOURCE... OUT."""
    import torch

    from unclip.checkpoints.converting import Storage, write_opened
    from unclip.checkpoints.folders import check_free
    from unclip.cli.progress import watch_parts
    from unclip.errors import RequestError

    *given, out = sources
    if not given:
        raise RequestError("name at least one folder or file to import, then the folder to write")
    if dtype and weights == "int8":
        raise RequestError(f"weights are of {dtype} or int8, not both: give --dtype or --weights int8")
    check_free(out)
    opened = _opened(given)
    storage = Storage(getattr(torch, dtype) if dtype else None, weights == "int8")
    with watch_parts() as say:
        write_opened(opened, out, storage, say)
    print(out)


def _opened(given: list[Path]) -> "Opened":
    from unclip import presets
    from unclip.checkpoints.converting import combined
    from unclip.checkpoints.interop.diffusers_folder import is_diffusers
    from unclip.checkpoints.interop.karlo_files import find_karlo, open_karlo
    from unclip.checkpoints.load import model_folder, open_model

    folders = [model_folder(path) for path in given]
    if all(map(is_diffusers, folders)):
        return combined([open_model(path) for path in given])
    shapes = presets.karlo()
    return open_karlo(find_karlo(folders), shapes.prior, shapes.decoder, shapes.upsampler256)
