"""Whether a model repeats its training pictures: how near its own come to them, beside true renders.

A model that learned the world and not its pictures comes no nearer to training than a fresh render of the
same sentence does. Source: Carlini et al. 2023 (arXiv 2301.13188), section 5.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unclip.data.example import Pictures
from unclip.data.pictures import CaptionedPictures
from unclip.errors import RequestError
from unclip.evaluation.draw import Drawn, Say, draw
from unclip.evaluation.judges.features import Features
from unclip.evaluation.membership import Membership, losses, membership, timesteps
from unclip.evaluation.neighbours import Describe, Nearest, in_features, in_pixels, nearest, reduced
from unclip.evaluation.ranks import kolmogorov_smirnov
from unclip.evaluation.shown import Shown, drawn, rendered
from unclip.evaluation.suite import Item
from unclip.system import System
from unclip.training.conditions import TextConditions
from unclip.world import World, described

SENTENCES = 2_000_003  # seeds of training and of the judges are smaller by far
RENDERS = 1
COPIED = 0.5  # d1/d50 below which a picture counts as a copy; Carlini et al. hold d1 against half their mean
BINS = 40
WORST = 8
PHOTOGRAPHS = 500  # of training and held out, at most


@dataclass(frozen=True)
class Comparison:
    """One number of each picture, of a model's pictures and of fresh renders.

    ks, p: the largest gap of the two distributions, and the chance of one as large if they were the same.
    edges: of the bins in which `counts` and `counts_of_renders` count pictures, one edge more than bins.
    """

    median: float
    median_of_renders: float
    ks: float
    p: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    counts_of_renders: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A picture and the training picture nearest to it, each by its index."""

    picture: int
    sentence: str
    training: int
    caption: str
    distance: float
    ratio: float


@dataclass(frozen=True)
class Nearness:
    """How near pictures come to training by one measure.

    ratio: of the distance to the nearest training picture to that to the 50th nearest.
    copies: pictures whose ratio is below `COPIED`.
    worst: of the model's pictures, those with the smallest ratios.
    """

    distance: Comparison
    ratio: Comparison
    copies: int
    copies_of_renders: int
    worst: tuple[Case, ...]


@dataclass(frozen=True)
class Memorisation:
    """What was found of one model. photographs: None if it was trained on none."""

    model: str
    learned_from: str
    pictures: int
    training: int  # pictures of the training stream that were looked through
    settings: dict[str, str | int | float]
    nearness: Mapping[str, Nearness]  # by "pixels" and "features"
    photographs: Membership | None


@dataclass(frozen=True)
class Search:
    """Where copies are looked for. `training` is the world that the model was trained on."""

    training: World
    count: int  # training pictures looked through
    judge: Features
    folder: Path  # of the model's pictures
    heldout: CaptionedPictures | None  # photographs, where the world has others of them


def sentences(training: World) -> World:
    """Return the scenes that a model is asked for: of its training's kind, from another seed."""
    return World(training.sprites, training.seed + SENTENCES, replace(training.config, photographs=0.0))


def suite_name(training: World) -> str:
    """Name the sentences, for the folder of their pictures."""
    asked = sentences(training)
    return f"memorisation, {described(asked.config, asked.seed)}"


def memorisation(system: System, search: Search, samples: int, about: Drawn, say: Say) -> Memorisation:
    """Draw what is missing of `samples` pictures in the folder, and look for them in the training stream.

    Raises DataError for a folder that is not usable, RequestError for settings that the model cannot take.
    """
    asked = sentences(search.training)
    items = [Item(asked.caption(index), asked.scene(index), False, {}) for index in range(samples)]
    for index in draw(system, items, about, search.folder):
        say("drawing", index + 1, samples)
    renders = rendered(items, asked.sprites, about.per_sentence, about.size, RENDERS)
    measures = {"pixels": in_pixels, "features": in_features(search.judge)}
    found = nearness(
        _small(drawn(search.folder, about.per_sentence), samples),
        _small(renders, samples),
        [item.sentence for item in items],
        search.training,
        search.count,
        measures,
        lambda done: say("comparing", done, search.count),
    )
    learned_from = described(search.training.config, search.training.seed)
    photographs = _photographs(system, search, say)
    return Memorisation(about.model, learned_from, samples, search.count, about.settings, found, photographs)


def nearness(
    images: Float[Tensor, "n 3 64 64"],
    renders: Float[Tensor, "m 3 64 64"],
    sentences: Sequence[str],
    training: Pictures,
    count: int,
    measures: Mapping[str, Describe],
    say: Callable[[int], None],
) -> dict[str, Nearness]:
    """Compare pictures and fresh renders with training pictures 0 to `count`, by each measure."""
    both = torch.cat([images, renders])
    found = nearest(both, training, count, list(measures.values()), say)
    n = len(images)
    return {
        name: _nearness(near[:n], near[n:], sentences, training)
        for name, near in zip(measures, found, strict=True)
    }


def _small(shown: Shown, count: int) -> Float[Tensor, "n 3 64 64"]:
    return torch.cat([reduced(shown(index)) for index in range(count)])


def _nearness(made: Nearest, renders: Nearest, sentences: Sequence[str], training: Pictures) -> Nearness:
    return Nearness(
        compare(made.first, renders.first),
        compare(made.ratio, renders.ratio),
        int((made.ratio < COPIED).sum()),
        int((renders.ratio < COPIED).sum()),
        tuple(_worst(made, sentences, training)),
    )


def _worst(made: Nearest, sentences: Sequence[str], training: Pictures) -> list[Case]:
    cases = list[Case]()
    for place in map(int, made.ratio.sort(stable=True).indices[:WORST]):
        index = int(made.indices[place, 0])
        distance, ratio = made.first[place].item(), made.ratio[place].item()
        cases.append(Case(place, sentences[place], index, training.caption(index), distance, ratio))
    return cases


def compare(made: Float[Tensor, " n"], renders: Float[Tensor, " m"]) -> Comparison:
    """Compare numbers of pictures with those of fresh renders."""
    edges = np.linspace(0, max(made.max().item(), renders.max().item()) or 1.0, BINS + 1)
    counts, counts_of_renders = (
        tuple(np.histogram(one.numpy(), edges)[0].tolist()) for one in (made, renders)
    )
    ks, p = kolmogorov_smirnov(made, renders)
    return Comparison(
        made.median().item(),
        renders.median().item(),
        ks,
        p,
        tuple(edges.tolist()),
        counts,
        counts_of_renders,
    )


def _photographs(system: System, search: Search, say: Say) -> Membership | None:
    trained = search.training.photographs
    if trained is None or search.heldout is None:
        return None
    if system.decoder is None:
        raise RequestError("what a decoder knows of photographs needs one: load the model with it")
    stage, reader, found = system.decoder, TextConditions(system.clip, system.tokenizer), list[Tensor]()
    for part, pictures in (("trained on", trained), ("held out", search.heldout)):
        count = min(PHOTOGRAPHS, len(pictures))
        found.append(losses(stage, reader, pictures, count, lambda n, part=part, of=count: say(part, n, of)))
    return membership(found[0], found[1], timesteps(stage))


def table(report: Memorisation) -> str:
    """Write a report as Markdown."""
    lines = [
        f"{report.model}: {report.pictures:,} pictures beside {report.training:,} training pictures of the"
        f" {report.learned_from}",
        "",
        "| median over pictures | this model | fresh renders | gap (Kolmogorov-Smirnov) | p |",
        "|---|---|---|---|---|",
        *(row for name, near in report.nearness.items() for row in _rows(name, near)),
        "",
        *(_copies(name, near, report.pictures) for name, near in report.nearness.items()),
        "",
        "Photographs: none among the training pictures."
        if report.photographs is None
        else _told_apart(report.photographs),
    ]
    return "\n".join(lines) + "\n"


def _rows(name: str, near: Nearness) -> list[str]:
    pairs = {f"distance to the nearest, {name}": near.distance, f"d1/d50, {name}": near.ratio}
    return [
        f"| {what} | {c.median:.3g} | {c.median_of_renders:.3g} | {c.ks:.3f} | {c.p:.2g} |"
        for what, c in pairs.items()
    ]


def _copies(name: str, near: Nearness, pictures: int) -> str:
    return (
        f"By {name}, {near.copies} of {pictures:,} pictures and {near.copies_of_renders} of as many renders"
        f" have a d1/d50 below {COPIED:g}; the smallest of a picture is {near.worst[0].ratio:.3f}."
    )


def _told_apart(found: Membership) -> str:
    trained, heldout = found.pictures
    by_timestep = ", ".join(
        f"{one.mean:.2f} at t = {t}" for t, one in zip(found.timesteps, found.by_timestep, strict=True)
    )
    low, high = found.overall.low, found.overall.high
    return (
        f"Photographs: the decoder's loss tells {trained} that it was trained on from {heldout} held out with"
        f" AUC {found.overall.mean:.2f} ({low:.2f} to {high:.2f}; 0.5 is chance): {by_timestep}."
    )
