"""`unclip train`: one stage at a time."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from unclip.cli.models import DeviceOption
from unclip.cli.source import DataOption, ObjectsOption, StylesOption, VariationOption

Component = Literal["clip", "prior", "prior-ar", "decoder", "upsampler256", "upsampler1024"]


def train(
    component: Annotated[Component, typer.Argument(help="What to train.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The run's folder; a run that is there goes on.")],
    data: Annotated[Path | None, DataOption] = None,
    clip: Annotated[
        Path | None, typer.Option(help="A run of CLIP or a model folder, for priors and decoder to stand on.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A run or model folder to start from, with its tokenizer and shape."),
    ] = None,
    decoder: Annotated[
        Path | None,
        typer.Option(help="A run or model folder: upsampler256 gets to know the faults of its decoder."),
    ] = None,
    preset: Annotated[
        Literal["bundled", "tiny"], typer.Option(help="Shape of a network trained anew.")
    ] = "bundled",
    images: Annotated[
        int | None, typer.Option(help="Images to train on in all [default: the recipe's].")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step [default: the recipe's].")] = None,
    micro_batches: Annotated[
        int | None, typer.Option(help="Parts a batch is run in, to save memory.")
    ] = None,
    checkpointing: Annotated[
        bool | None, typer.Option(help="Recompute activations in the backward pass, to save memory.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of AdamW [default: the recipe's].")] = None,
    muon_learning_rate: Annotated[
        float | None, typer.Option(help="Of Muon; 0: AdamW takes all weights.")
    ] = None,
    timestep_power: Annotated[
        float | None,
        typer.Option(help="Below 1 the decoder's timesteps are more often noisy [default: the recipe's]."),
    ] = None,
    degradation: Annotated[
        Literal["blur", "bsr"] | None,
        typer.Option(help="Of the small pictures that upsamplers are shown [default: the recipe's]."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels a side of what the network is shown.")
    ] = None,
    concepts: Annotated[int, typer.Option(help="Kinds of things in the world.")] = 60,
    styles: Annotated[str, StylesOption] = "3d,flat,cartoon,blob",
    variation: Annotated[float, VariationOption] = 1.0,
    objects: Annotated[str | None, ObjectsOption] = None,
    seed: Annotated[int, typer.Option(help="Of weights, batches and noise.")] = 0,
    precision: Annotated[
        Literal["float32", "bfloat16"] | None,
        typer.Option(help="Of the forward pass [default: bfloat16 on a GPU, float32 else]."),
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this time, to be resumed.")] = None,
    device: DeviceOption = "auto",
    workers: Annotated[
        int, typer.Option(help="Processes that draw the pictures; 0: the training process.")
    ] = 0,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Run the network through torch.compile.")
    ] = False,
) -> None:
    """Train one stage; to resume, run the same command again."""
    from unclip import presets
    from unclip.checkpoints.load import choose_device, model_folder
    from unclip.cli.progress import watch_training
    from unclip.cli.source import open_source, world_config
    from unclip.cli.stopping import stop_signal
    from unclip.training.begin import Order, begin
    from unclip.training.recipes import recipe

    target = choose_device(device)
    name = component.replace("-", "_")
    config = recipe(
        name,
        images=images,
        batch_size=batch_size,
        micro_batches=micro_batches,
        checkpointing=checkpointing,
        learning_rate=learning_rate,
        muon_learning_rate=muon_learning_rate,
        timestep_power=timestep_power,
        degradation=degradation,
        image_size=image_size,
        seed=seed,
        precision=precision or ("bfloat16" if target.type == "cuda" else "float32"),
    )
    pictures, what = open_source(data, seed, world_config(concepts, styles, variation, objects))
    shapes = getattr(presets, preset)()
    order = Order(
        name,
        out,
        pictures,
        what,
        shapes,
        config,
        clip and model_folder(clip),
        source and model_folder(source),
        decoder and model_folder(decoder),
        target,
        workers,
        compiled,
    )
    trainer = begin(order, should_stop=stop_signal(max_minutes), warn=lambda text: typer.echo(text, err=True))
    watch_training(component, config.images, trainer.train())
