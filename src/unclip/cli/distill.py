"""`unclip distill`: pictures in fewer evaluations."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from unclip.cli.models import DeviceOption
from unclip.cli.source import DataOption, StylesOption, VariationOption

Stage = Literal["guidance", "steps", "upsampler256", "upsampler1024"]


def distill(
    stage: Annotated[Stage, typer.Argument(help="What to teach.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The run's folder; a run that is there goes on.")],
    model: Annotated[
        Path | None, typer.Option(help="A model folder, which teaches [default: the bundled model].")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A run that teaches in the model's place, such as that of guidance."),
    ] = None,
    data: Annotated[Path | None, DataOption] = None,
    steps: Annotated[
        int | None, typer.Option(help="Of the student, for a whole picture [default: the lesson's].")
    ] = None,
    teacher_steps: Annotated[
        int | None, typer.Option(help="Of the teacher within each step of the student.")
    ] = None,
    scales: Annotated[
        tuple[float, float] | None, typer.Option(help="Least and largest guidance scale to be taught.")
    ] = None,
    feature_weight: Annotated[
        float | None, typer.Option(help="Of the distance in CLIP's features, for upsamplers.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(help="Images to train on in all [default: the recipe's].")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step [default: the recipe's].")] = None,
    micro_batches: Annotated[
        int | None, typer.Option(help="Parts a batch is run in, to save memory.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of AdamW [default: the recipe's].")] = None,
    concepts: Annotated[int, typer.Option(help="Kinds of things in the world.")] = 60,
    styles: Annotated[str, StylesOption] = "3d,flat,cartoon,blob",
    variation: Annotated[float, VariationOption] = 1.0,
    seed: Annotated[int, typer.Option(help="Of batches and noise.")] = 0,
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
        bool, typer.Option("--compile", help="Run the student through torch.compile.")
    ] = False,
) -> None:
    """Teach a copy of a network to need fewer evaluations; to resume, run the same command again."""
    from unclip.checkpoints.load import choose_device, model_folder
    from unclip.cli.progress import watch_training
    from unclip.cli.source import open_source, world_config
    from unclip.cli.stopping import stop_signal
    from unclip.training.begin_distillation import DistillOrder, begin_distillation
    from unclip.training.lessons import lesson
    from unclip.training.recipes import recipe

    target = choose_device(device)
    chosen = lesson(
        stage, steps=steps, teacher_steps=teacher_steps, scales=scales, feature_weight=feature_weight
    )
    config = recipe(
        f"distill {stage}",
        images=images,
        batch_size=batch_size,
        micro_batches=micro_batches,
        learning_rate=learning_rate,
        seed=seed,
        precision=precision or ("bfloat16" if target.type == "cuda" else "float32"),
    )
    pictures, what = open_source(data, seed, world_config(concepts, styles, variation))
    order = DistillOrder(
        chosen, out, pictures, what, config, model_folder(model), source, target, workers, compiled
    )
    trainer = begin_distillation(
        order, should_stop=stop_signal(max_minutes), warn=lambda text: typer.echo(text, err=True)
    )
    watch_training(stage, config.images, trainer.train())
