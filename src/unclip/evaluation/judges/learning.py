"""How the judges learn: from scenes whose truth is known, roughened as a model's pictures are."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn

from unclip.data.example import Example, Pictures
from unclip.evaluation.judges.detector import Detector, DetectorConfig, Maps
from unclip.evaluation.judges.features import Features
from unclip.evaluation.judges.roughen import roughened
from unclip.evaluation.rules import Sight
from unclip.evaluation.truth import sight_of
from unclip.training.batches import Batch
from unclip.training.tasks import WholePictures
from unclip.world import World

BOX_WEIGHT = 4.0  # edges are off by hundredths of a picture
SPREAD = 0.12  # of a thing's lesser side: how far from its middle a cell still counts half


@dataclass(frozen=True)
class Targets:
    """What the maps of a batch should say; `rows`, `y`, `x` are the cells with the middle of a thing."""

    heat: Float[Tensor, "b k h w"]
    rows: Int64[Tensor, " n"]
    y: Int64[Tensor, " n"]
    x: Int64[Tensor, " n"]
    boxes: Float[Tensor, "n 4"]
    colours: Int64[Tensor, " n"]  # -100: not named
    style: Int64[Tensor, " b"]
    background: Int64[Tensor, " b"]


class RoughScenes(WholePictures):
    """Tasks that are shown roughened scenes with their truths; there is nothing to see of them."""

    def draw(self, pictures: Pictures, index: int, size: int) -> Example:
        """Return a roughened scene with its truth."""
        world = cast(World, pictures)
        example = world.example(index, size)
        rough = roughened(example.image, Random(f"{world.seed}/{index}/rough"))
        return Example(rough, example.caption, sight_of(world.scene(index), world.sprites))

    def sheet(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Nothing to see."""
        del network, batch
        return []


@dataclass(frozen=True)
class DetectorTask(RoughScenes):
    """Focal loss of the heat maps, L1 of the edges, cross-entropy of colours, style and background.

    Source: Zhou et al. 2019, eq. 1.
    """

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        """Return the sum of the losses."""
        del generator
        return sum(self._losses(network, batch).values(), torch.zeros(()))

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        """The parts of the loss."""
        del generator
        return {name: loss.item() for name, loss in self._losses(network, batch).items()}

    def _losses(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        detector = cast(Detector, network)
        device = next(detector.parameters()).device
        maps: Maps = network(batch.pixels(device))
        t = targets(cast(list[Sight], batch.truths), detector.config, detector.grid, device)
        boxes = maps.boxes[t.rows, :, t.y, t.x].float()
        colours = maps.colours[t.rows, :, t.y, t.x].float()
        named = (t.colours >= 0).sum().clamp(min=1)
        return {
            "loss_things": focal_loss(maps.concepts.float(), t.heat) / len(t.rows),
            "loss_boxes": BOX_WEIGHT * F.l1_loss(boxes, t.boxes),
            "loss_colours": F.cross_entropy(colours, t.colours, reduction="sum") / named,
            "loss_style": F.cross_entropy(maps.style.float(), t.style),
            "loss_background": F.cross_entropy(maps.background.float(), t.background),
        }


def focal_loss(logits: Float[Tensor, "b k h w"], heat: Float[Tensor, "b k h w"]) -> Tensor:
    """Sum over cells; where `heat` is 1 there is a middle, and near 1 a miss weighs little."""
    p = logits.sigmoid()
    hit = (1 - p).square() * F.logsigmoid(logits)
    miss = (1 - heat).pow(4) * p.square() * F.logsigmoid(-logits)
    return -torch.where(heat == 1, hit, miss).sum()


def targets(sights: list[Sight], config: DetectorConfig, grid: int, device: torch.device) -> Targets:
    """Lay truths out on the grid; where two middles share a cell, box and colour are the front one's."""
    heat = np.zeros((len(sights), len(config.concepts), grid, grid), dtype=np.float32)
    cells = dict[tuple[int, int, int], tuple[list[float], int]]()
    axis = np.arange(grid)
    for row, sight in enumerate(sights):
        for thing in sight.detections:
            left, top, right, bottom = thing.box
            middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
            x, y = (min(max(int(at * grid), 0), grid - 1) for at in (middle_x, middle_y))
            sigma = max(SPREAD * min(right - left, bottom - top) * grid, 0.4)
            bump = np.exp(-((axis[:, None] - y) ** 2 + (axis - x) ** 2) / (2 * sigma**2))
            plane = heat[row, config.concepts.index(thing.concept)]
            np.maximum(plane, bump, out=plane)
            at_x, at_y = (x + 0.5) / grid, (y + 0.5) / grid
            colour = config.colours.index(thing.colour) if thing.colour else -100
            cells[row, y, x] = [at_x - left, at_y - top, right - at_x, bottom - at_y], colour
    where = torch.tensor(list(cells), dtype=torch.int64, device=device).view(-1, 3)

    def integers(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    rows, y, x = where.unbind(dim=1)
    return Targets(
        torch.from_numpy(heat).to(device),
        rows,
        y,
        x,
        torch.tensor([box for box, _ in cells.values()], dtype=torch.float32, device=device).view(-1, 4),
        integers([colour for _, colour in cells.values()]),
        integers([config.styles.index(sight.style) for sight in sights]),
        integers([config.backgrounds.index(sight.background) for sight in sights]),
    )


@dataclass(frozen=True)
class FeaturesTask(RoughScenes):
    """Cross-entropies of what is in a picture: each concept and colour or not, its style and background."""

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        """Return the sum of the four, each a mean over the batch."""
        del generator
        concepts, colours, style, background = self._said_and_held(network, batch)
        things = [F.binary_cross_entropy_with_logits(*pair, reduction="sum") for pair in (concepts, colours)]
        return sum(things) / len(batch) + F.cross_entropy(*style) + F.cross_entropy(*background)

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        """Shares of pictures of which all concepts, all colours, the style, the background are said right."""
        del generator
        concepts, colours, style, background = self._said_and_held(network, batch)

        def all_right(said: Tensor, held: Tensor) -> float:
            return ((said > 0) == (held > 0)).all(dim=1).float().mean().item()

        def right(said: Tensor, held: Tensor) -> float:
            return (said.argmax(dim=1) == held.argmax(dim=1)).float().mean().item()

        return {
            "concepts": all_right(*concepts),
            "colours": all_right(*colours),
            "style": right(*style),
            "background": right(*background),
        }

    def _said_and_held(self, network: nn.Module, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """Logits, and 1 for each word that holds of a picture, of the four kinds of words."""
        judge = cast(Features, network)
        config, device = judge.config, next(judge.parameters()).device
        truths = cast(list[Sight], batch.truths)
        held = (
            (config.concepts, [{thing.concept for thing in truth.detections} for truth in truths]),
            (config.colours, [{thing.colour for thing in truth.detections} for truth in truths]),
            (config.styles, [{truth.style} for truth in truths]),
            (config.backgrounds, [{truth.background} for truth in truths]),
        )
        features = judge(batch.pixels(device))
        return [
            (says(features).float(), _marked(words, rows, device))
            for says, (words, rows) in zip(judge.says, held, strict=True)
        ]


def _marked(words: Sequence[str], rows: Sequence[set[str]], device: torch.device) -> Float[Tensor, "b w"]:
    return torch.tensor([[float(word in row) for word in words] for row in rows], device=device)
