"""`unclip model export`: models as other programs read them."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def export(
    model: Annotated[str, typer.Argument(help="A model folder, or the name of a pulled model.")],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    layout: Annotated[
        Literal["diffusers"], typer.Option("--format", help="Whose programs are to read it.")
    ] = "diffusers",
) -> None:
    """Write a model of Karlo's structure as diffusers reads it, and print the folder."""
    from unclip.checkpoints.interop.diffusers_export import export_diffusers
    from unclip.checkpoints.load import open_model
    from unclip.cli.progress import watch_parts

    del layout  # the only one there is
    with watch_parts() as say:
        left_out = export_diffusers(open_model(model), out, say)
    for name in left_out:
        typer.echo(f"{name} is left out: diffusers has no place for it", err=True)
    print(out)
