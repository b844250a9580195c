"""WorldEval, whole: a suite is drawn by a model, shown to the judges beside the anchors, and reported."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from jaxtyping import Float
from torch import Tensor

from unclip.evaluation.draw import Drawn, Say, draw
from unclip.evaluation.judges.store import Judges
from unclip.evaluation.look import Look, look, sights
from unclip.evaluation.metrics import frechet_distance, precision_recall, r_precision, squared_mmd
from unclip.evaluation.prior_quality import prior_quality
from unclip.evaluation.report import Distances, Likeness, Report, TaskScore
from unclip.evaluation.scores import Sights, by_chance, scores
from unclip.evaluation.shown import Shown, drawn, rendered, retrieved, text_embeds, upsampled
from unclip.evaluation.suite import Item, suite
from unclip.evaluation.templates import Templates, best_fit, templates
from unclip.pipelines.generation import generate
from unclip.system import System
from unclip.world import World, WorldConfig
from unclip.world.concepts import SOLIDS, listed

RENDER_SEEDS = (1, 2, 3)  # of true renders, of those they are compared with, and of those judges are held to
CAPTIONS = 10_000  # of training, among which the nearest are looked for
JUDGED = 4  # renders of each sentence that the judges are held to
TEMPLATE_PICTURES = 40  # looked at without a network


@dataclass(frozen=True)
class Suite:
    """How much is drawn: sentences of each kind, seen and unseen, and pictures of each sentence."""

    name: str
    seen: int
    unseen: int
    per_sentence: int


SUITES = {suite.name: suite for suite in (Suite("quick", 14, 6, 2), Suite("full", 100, 100, 4))}


def sentences(asked: Suite, world: WorldConfig) -> list[Item]:
    """Return the sentences of a suite on what a world shows."""
    return [*suite(world, asked.seen, unseen=False), *suite(world, asked.unseen, unseen=True)]


@dataclass(frozen=True)
class Bench:
    """What a model is evaluated on and by. `world` is the one of its training."""

    asked: Suite
    world: World
    judges: Judges
    folder: Path  # of the pictures


def evaluate(system: System, bench: Bench, about: Drawn, say: Say) -> Report:
    """Draw what is missing in the folder, look at all of it, and report.

    Raises DataError for a folder that is not usable, RequestError for settings that the model cannot take.
    """
    items = sentences(bench.asked, bench.world.config)
    for index in draw(system, items, about, bench.folder):
        say("drawing", index + 1, len(items))
    k, size, sprites, judges = about.per_sentence, about.size, bench.world.sprites, bench.judges
    true, other = (rendered(items, sprites, k, size, seed) for seed in RENDER_SEEDS[:2])
    pictures, judged = drawn(bench.folder, k), rendered(items, sprites, JUDGED, size, RENDER_SEEDS[2])
    measured: dict[str, Shown] = {"pictures": pictures, "renders": true, "other renders": other}
    only_judged: dict[str, Shown] = {
        "judged": judged,
        "retrieval": retrieved(items, bench.world, CAPTIONS, judges.clip, judges.tokenizer, k, size),
    }
    if system.upsamplers:
        only_judged["upsampled"] = upsampled(judged, system.upsamplers[0])
    looks, seen, total = dict[str, Look](), dict[str, Sights](), len(measured) + len(only_judged)
    for name, shown in measured.items():
        looks[name] = look(judges, shown, len(items))
        say("looking", len(looks), total)
    for name, shown in only_judged.items():
        seen[name] = sights(judges, shown, len(items))
        say("looking", len(looks) + len(seen), total)
    made, renders, others = looks["pictures"], looks["renders"], looks["other renders"]
    seen["pictures"] = made.sights
    embeds = text_embeds(judges.clip, judges.tokenizer, [item.sentence for item in items])
    art = templates(sprites, (*listed()[: bench.world.config.concepts], *SOLIDS))
    return Report(
        model=about.model,
        suite=bench.asked.name,
        pictures=len(items) * k,
        size=size,
        settings=about.settings,
        scores=_task_scores(items, seen),
        distances=_distances(made, renders),
        floor=_distances(others, renders),
        likeness=_likeness(made, embeds, k),
        likeness_of_renders=_likeness(renders, embeds, k),
        prior=prior_quality(system, items, rendered(items, sprites, 2, size, RENDER_SEEDS[0])),
        templates=_found_by_templates(items, pictures, art),
        templates_of_renders=_found_by_templates(items, true, art),
        seconds_per_picture=_seconds(system, items, about),
    )


def _task_scores(items: Sequence[Item], seen: dict[str, Sights]) -> list[TaskScore]:
    right = {name: scores(items, sights) for name, sights in seen.items()}
    chance = by_chance(items, seen["pictures"])
    upsampled = right["upsampled"] if "upsampled" in seen else [None] * len(chance)
    rows = zip(right["pictures"], right["judged"], upsampled, chance, right["retrieval"], strict=True)
    return [
        TaskScore(
            made.task,
            made.unseen,
            made.sentences,
            made.right,
            judge=true.right.mean,
            judge_upsampled=soft and soft.right.mean,
            chance=by_chance.right.mean,
            retrieval=near.right.mean,
        )
        for made, true, soft, by_chance, near in rows
    ]


def _distances(made: Look, true: Look) -> Distances:
    x, y = made.features, true.features
    usual = torch.cdist(y, y).median().item()  # the width of the kernel: set by the renders alone
    return Distances(frechet_distance(x, y), squared_mmd(x, y, usual), *precision_recall(y, x))


def _likeness(seen: Look, text_embed: Float[Tensor, "n d"], per_sentence: int) -> Likeness:
    every = text_embed.repeat_interleave(per_sentence, dim=0)
    first = seen.image_embed[::per_sentence]  # no two of one sentence, or both would be right
    score = (seen.image_embed * every).sum(dim=1).mean().item()
    return Likeness(score, r_precision(first, text_embed, among=min(100, len(first))))


def _found_by_templates(items: Sequence[Item], shown: Shown, art: Sequence[Templates]) -> float:
    """Share of single objects that the art finds in their pictures."""
    single = [index for index, item in enumerate(items) if "single_object" in item.wanted][:TEMPLATE_PICTURES]
    named = [best_fit(shown(index)[:1], art)[0] for index in single]
    wanted = [items[index].scene.things[0].concept.name for index in single]
    return sum(a == b for a, b in zip(named, wanted, strict=True)) / len(wanted)


def _seconds(system: System, items: Sequence[Item], about: Drawn) -> float:
    """Median time of one picture, over a few."""
    taken = list[float]()
    for item in items[:5]:
        began = time.perf_counter()
        generate(system, item.sentence, size=about.size, **about.settings)
        taken.append(time.perf_counter() - began)
    return median(taken)
