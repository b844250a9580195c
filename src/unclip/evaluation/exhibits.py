"""What a report on memorisation is shown with: the worst cases side by side, and the histograms."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from unclip.data.example import Pictures
from unclip.evaluation.draw import picture_file
from unclip.evaluation.memorisation import Case, Comparison, Nearness
from unclip.evaluation.neighbours import SIDE
from unclip.imagefiles import read_image
from unclip.images import grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN_PX = 2 * SIDE
BORDER, PAIRS = 4, 4  # pixels around a pair; pairs in a row


def side_by_side(cases: Sequence[Case], folder: Path, training: Pictures) -> Image.Image:
    """Lay out pairs, the worst first: on the left the picture, on the right its training picture.

    Raises DataError for a picture that cannot be read.
    """
    pairs = [
        _pair(
            read_image(picture_file(folder, case.picture, 0)),
            Image.fromarray(training.example(case.training, SIDE).image),
        )
        for case in cases
    ]
    return grid(pairs, PAIRS)


def _pair(*images: Image.Image) -> Image.Image:
    small = [image.resize((SIDE, SIDE), Image.Resampling.BOX) for image in images]
    large = [image.resize((SHOWN_PX, SHOWN_PX), Image.Resampling.BICUBIC) for image in small]
    return ImageOps.expand(grid(large, 2), BORDER, "white")


def plot(nearness: Mapping[str, Nearness], file: Path) -> None:
    """Write the histograms as an SVG or PNG. Needs matplotlib; raises ModuleNotFoundError without it."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3 * len(nearness)), layout="constrained")
    rows = figure.subplots(len(nearness), 2, squeeze=False)
    for axes, (name, near) in zip(rows, nearness.items(), strict=True):
        _draw(axes[0], near.distance, f"distance to the nearest, {name}")
        _draw(axes[1], near.ratio, f"d1/d50, {name}")
    rows[0, 0].legend()
    with rc_context({"svg.hashsalt": "unclip"}):  # the same numbers, the same file
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _draw(axes: "Axes", found: Comparison, title: str) -> None:
    axes.stairs(found.counts, found.edges, label="pictures")
    axes.stairs(found.counts_of_renders, found.edges, label="fresh renders")
    axes.set(title=f"{title} (p = {found.p:.2g})", ylabel="pictures")
