"""`unclip probe`: what leading parts of a picture's embedding say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unclip.cli.models import ModelChoice, takes_model
from unclip.cli.numbers import whole_numbers
from unclip.cli.output import (
    GridOption,
    JsonOption,
    OutOption,
    RowOption,
    SeedOption,
    SizeOption,
)
from unclip.cli.pictures import PictureArgument

if TYPE_CHECKING:
    from unclip.models.pca import Pca
    from unclip.system import System

EMBEDDED = 4096  # pictures, to find the components in
BATCH = 64


@takes_model
def probe(
    image: Annotated[Path, PictureArgument],
    components: Annotated[
        str | None,
        typer.Option(
            help="How many leading ones each picture is drawn from, as 20,40 [default: the paper's]."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Pictures to find the components in [default: those that come with the model]."),
    ] = None,
    size: SizeOption = None,
    seed: SeedOption = None,
    guidance_scale: Annotated[float | None, typer.Option(help="1 is off [default: the model's].")] = None,
    out: OutOption = Path(),
    *,
    model: ModelChoice,
    grid: GridOption = False,
    animation: RowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a picture from ever more principal components of its embedding."""
    from unclip.cli.output import Drawing, Output, deliver, random_seed
    from unclip.imagefiles import read_picture
    from unclip.pipelines.given import without_pictures
    from unclip.pipelines.probe import Probe, basis, check_probe
    from unclip.pipelines.probe import probe as plan

    counts = whole_numbers("components", components)
    request = Probe(read_picture(image), counts, random_seed(seed), size, guidance_scale)
    system = model.load()
    request = check_probe(system, request)
    assert request.components is not None
    pca = basis(system) if data is None else _found_in(system, data)
    drawing = Drawing(
        lambda: plan(system, request, pca),
        f"{image.stem}-components",
        [f"{k:03}" for k in request.components],
        {"task": "probe", "image": image.name, **without_pictures(request)},
        [{"components": k, "kept_variance": pca.kept_variance(k)} for k in request.components],
    )
    deliver(system, model, drawing, Output(out, grid, as_json, animation, trajectory=False))


def _found_in(system: "System", data: Path) -> "Pca":
    """Find the principal components of the embeddings of a folder's pictures, or of the world's."""
    import numpy as np
    import torch

    from unclip.cli.progress import watch_parts
    from unclip.cli.source import learned_pictures
    from unclip.images import to_tensor
    from unclip.models.pca import fit_pca
    from unclip.pipelines.given import embed

    pictures, size = learned_pictures(data, system.card), system.clip.config.image_size
    embeds = list[torch.Tensor]()
    with watch_parts() as say:
        for start in range(0, EMBEDDED, BATCH):
            batch = [pictures.example(start + k, size).image for k in range(BATCH)]
            embeds.append(embed(system, to_tensor(np.stack(batch))))
            say("embeddings", start + BATCH, EMBEDDED)
    return fit_pca(torch.cat(embeds))
