"""The judge that sees things: what is where, its colour, the picture's style and background.

Source: Zhou et al. 2019, Objects as Points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unclip.evaluation.rules import Detection, Sight

PEAKS = 24  # looked at in a picture; more than it can hold things
SHARED = 0.5  # of the smaller of two boxes of one concept, above which they are one thing


@dataclass(frozen=True)
class DetectorConfig:
    """What a detector can tell apart, and its shape."""

    concepts: tuple[str, ...]
    colours: tuple[str, ...]
    styles: tuple[str, ...]
    backgrounds: tuple[str, ...]
    image_size: int = 128
    patch_size: int = 4  # side of the patches folded into channels in front
    channels: tuple[int, int, int] = (64, 128, 192)  # at the patches' side, its half and its quarter
    groups: int = 16


@dataclass(frozen=True)
class Maps:
    """What the network says of each cell of a grid, and of the whole picture; logits but for `boxes`.

    boxes: left, top, right and bottom edge as shares of the picture, seen from the cell's middle outwards.
    """

    concepts: Float[Tensor, "b k h w"]
    boxes: Float[Tensor, "b 4 h w"]
    colours: Float[Tensor, "b c h w"]
    style: Float[Tensor, "b s"]
    background: Float[Tensor, "b g"]
    features: Float[Tensor, "b d"]


class Block(nn.Module):
    """Norm, SiLU, convolution, twice, as a residual."""

    def __init__(self, in_channels: int, out_channels: int, groups: int):
        super().__init__()
        self.norm_1 = nn.GroupNorm(groups, in_channels)
        self.conv_1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm_2 = nn.GroupNorm(groups, out_channels)
        self.conv_2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c_out h w"]:
        """Transform a feature map."""
        h = self.conv_1(F.silu(self.norm_1(x)))
        return self.skip(x) + self.conv_2(F.silu(self.norm_2(h)))


def resized(x: Float[Tensor, "b 3 h w"], size: int) -> Float[Tensor, "b 3 {size} {size}"]:
    """Return pictures at `size` pixels a side."""
    if x.shape[-1] == size:
        return x
    return F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)


class Detector(nn.Module):
    """Finds things by the middles of their boxes, on a grid of half the patches' side."""

    def __init__(self, config: DetectorConfig):
        super().__init__()
        self.config = config
        fine, middle, coarse = config.channels
        self.conv_in = nn.Conv2d(3 * config.patch_size**2, fine, 3, padding=1)
        self.fine = Block(fine, fine, config.groups)
        self.middle = nn.Sequential(*(Block(c, middle, config.groups) for c in (fine, middle)))
        self.coarse = nn.Sequential(*(Block(c, coarse, config.groups) for c in (middle, coarse)))
        self.merged = Block(middle + coarse, middle, config.groups)
        outputs = len(config.concepts) + 4 + len(config.colours)
        self.cells = nn.Sequential(
            nn.GroupNorm(config.groups, middle),
            nn.SiLU(),
            nn.Conv2d(middle, middle, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(middle, outputs, 1),
        )
        self.whole = nn.Linear(middle + coarse, len(config.styles) + len(config.backgrounds))
        with torch.no_grad():  # few cells hold a thing; without this the first steps learn only that
            self.cells[-1].bias[: len(config.concepts)] = -4.0  # pyright: ignore[reportIndexIssue, reportOptionalSubscript]

    @property
    def grid(self) -> int:
        """Cells a side."""
        return self.config.image_size // (2 * self.config.patch_size)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Maps:
        """Look at pictures in [-1, 1] of any size; they are resized to `image_size`."""
        config = self.config
        fine = self.conv_in(F.pixel_unshuffle(resized(x, config.image_size), config.patch_size))
        fine = self.fine(fine)
        middle = self.middle(F.avg_pool2d(fine, 2))
        coarse = self.coarse(F.avg_pool2d(middle, 2))
        merged = self.merged(torch.cat([middle, F.interpolate(coarse, scale_factor=2.0)], dim=1))
        concepts, boxes, colours = self.cells(merged).split(
            (len(config.concepts), 4, len(config.colours)), dim=1
        )
        features = torch.cat([merged.mean(dim=(2, 3)), coarse.mean(dim=(2, 3))], dim=1)
        style, background = self.whole(features).split((len(config.styles), len(config.backgrounds)), dim=1)
        return Maps(concepts, boxes, colours, style, background, features)

    @torch.no_grad()
    def see(self, x: Float[Tensor, "b 3 h w"]) -> list[Sight]:
        """Return what is seen in each picture."""
        maps = self(x)
        scores = maps.concepts.sigmoid()
        scores = scores * (scores == F.max_pool2d(scores, 3, stride=1, padding=1))
        return [self._sight(maps, scores[row], row) for row in range(len(x))]

    def _sight(self, maps: Maps, scores: Float[Tensor, "k h w"], row: int) -> Sight:
        side = scores.shape[-1]
        found = list[Detection]()
        values, places = scores.flatten().topk(PEAKS)
        for score, place in zip(values.tolist(), places.tolist(), strict=True):
            concept, y, x = place // side**2, place % side**2 // side, place % side
            left, top, right, bottom = maps.boxes[row, :, y, x].tolist()
            middle_x, middle_y = (x + 0.5) / side, (y + 0.5) / side
            found.append(
                Detection(
                    self.config.concepts[concept],
                    score,
                    (middle_x - left, middle_y - top, middle_x + right, middle_y + bottom),
                    self.config.colours[int(maps.colours[row, :, y, x].argmax())],
                )
            )
        style = self.config.styles[int(maps.style[row].argmax())]
        return Sight(
            tuple(distinct(found)), style, self.config.backgrounds[int(maps.background[row].argmax())]
        )


def distinct(found: Sequence[Detection]) -> list[Detection]:
    """Drop what lies over a surer thing of its concept; `found` begins with the surest."""
    kept = list[Detection]()
    for thing in found:
        if not any(thing.concept == other.concept and _overlap(thing, other) > SHARED for other in kept):
            kept.append(thing)
    return kept


def _overlap(one: Detection, other: Detection) -> float:
    width = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    height = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (one.box, other.box))
    return max(width, 0) * max(height, 0) / max(smaller, 1e-9)
