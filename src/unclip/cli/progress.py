"""Live progress on standard error; plain lines, or nothing, where that is no terminal."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from unclip.pipelines.generation import Generation
    from unclip.training.loop import Progress as Report


def watch(generation: "Generation", seen: "list[Image] | None" = None) -> list["Image"]:
    """Run a generation to its end, with one bar per stage.

    `seen` takes the first picture as it is predicted at every step, at the size of its stage.
    """
    columns = (TextColumn("{task.description:>14}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = dict[str, TaskID]()
        for step in generation:
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(step.stage, total=step.num_steps)
            bars.update(tasks[step.stage], completed=step.index)
            if seen is not None and step.stage.startswith(("decoder", "upsampler")):
                seen.append(_first(step.x0))
    return generation.images


def _first(images: "Tensor") -> "Image":
    from unclip.images import to_pil

    return to_pil(images[:1])[0]


@contextmanager
def watch_parts(in_bytes: bool = False) -> Generator[Callable[[str, int, int], None]]:
    """Give a function that is told a part's name, how much of it is done, and of how much."""
    console = Console(stderr=True)
    amounts = (
        (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        if in_bytes
        else (MofNCompleteColumn(),)
    )
    columns = (TextColumn("{task.description:>14}"), BarColumn(), *amounts)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = dict[str, TaskID]()

        def say(part: str, done: int, of: int) -> None:
            if part not in tasks:
                tasks[part] = bars.add_task(part, total=of)
            bars.update(tasks[part], completed=done)

        yield say


def watch_training(name: str, images: int, reports: Iterable["Report"]) -> None:
    """Show images done, rate, loss and time left; where there is no terminal, one line per report."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}/{task.total:,} images"),
        TextColumn("{task.fields[rate]:.1f}/s, loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(name, total=images, rate=0.0, loss=float("nan"))
        for report in reports:
            bars.update(task, completed=report.images, rate=report.images_per_second, loss=report.loss)
            if not console.is_terminal:
                left = f"{report.seconds_left / 60:.0f} min left"
                rate = f"{report.images_per_second:.1f}/s"
                console.print(
                    f"{name}: {report.images:,}/{images:,} images, {rate}, loss {report.loss:.4f}, {left}"
                )
