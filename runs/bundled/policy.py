"""Calibrate the shipped concepts on the bundled model, and measure how often they are right.

    python runs/bundled/policy.py --data DATA     # about two minutes on one core

Writes the thresholds into src/unclip/engine/concepts.toml, and what was measured into evaluation/policy.json
beside this file and from there into docs/policy.md.
"""

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

import unclip
from unclip.checkpoints.load import BUNDLED
from unclip.checkpoints.store import fingerprint
from unclip.cli.source import learned_world
from unclip.data.pictures import CaptionedPictures
from unclip.data.shards import read_records
from unclip.engine.concept_file import SHIPPED, Concept, read_concepts
from unclip.engine.concepts import Concepts, best_threshold
from unclip.images import from_pil, to_tensor
from unclip.world import Sprites, World
from unclip.world.backgrounds import BACKGROUNDS
from unclip.world.caption import describe
from unclip.world.concepts import listed
from unclip.world.grammar import article
from unclip.world.render import render
from unclip.world.scene import Scene, Thing

RESULT = Path(__file__).parent / "evaluation" / "policy.json"
PAGE = Path(__file__).parents[2] / "docs" / "policy.md"
SIZE = 64  # pixels a side, which is all that the bundled CLIP sees
SCENES, DRAWN, PHOTOGRAPHS = 2000, 400, 400
CALIBRATION, TEST, DRAWING, STRANGE = 101, 102, 103, 104  # seeds; training has 0
WITHOUT = ("tf-flowers", "clothing")  # sets of photographs that show nothing of the shipped concepts
# Kinds of things that the art has and no training drew, by the concept that they belong to.
STRANGERS = {
    "animals": ("cow", "tiger", "giraffe", "zebra", "camel", "wolf", "dolphin", "duck", "goat", "spider"),
    "food": ("hamburger", "pineapple", "tomato", "bread", "cheese", "cake", "cookie", "sandwich", "hot dog"),
    "vehicles": ("taxi", "train", "tractor", "helicopter", "ship", "truck", "motorcycle", "ambulance"),
}
EACH = 8  # scenes of each of them
HEADING = "## Measured on the bundled model"
TEXT = """
On scenes of its own world, by `runs/bundled/policy.py --data DATA`. The thresholds are those of the highest
F1 on {scenes:,} scenes; the numbers come from {scenes:,} others. **Prompts** are their captions, **pictures**
their renders. **Drawn** are {drawn} pictures that the model drew of sentences with one thing in a place,
counted by the sentence: where it drew something else, that counts against the check.
"""
AFTER = """
Each cell is precision / recall, and how many show the concept. Precision is the share of what is flagged that
shows it; recall is the share of what shows it that is flagged. A place fills the picture. A thing is small,
and often one of several: much of what shows one passes, and much of what is flagged shows none.

This CLIP knows its world and nothing else, and takes what it does not know for something that it does. Of
{photographs} photographs of flowers and clothes, which show none of the concepts, these shares are flagged;
and of prompts and pictures of things that belong to a concept, but of which it never saw one, these:
"""


@dataclass(frozen=True)
class Labelled:
    """Margins of texts or pictures to all concepts, and which of them they show."""

    margins: Tensor
    shown: Tensor  # bool, of the same shape


def concept_things(concept: Concept) -> set[str]:
    """The names of the world's things that a concept's sentences are of."""
    drawn = {article(thing.name): thing.name for thing in listed()} | {
        t.name: t.name for t in listed() if t.bare
    }
    return {drawn[text] for text in concept.sentences if text in drawn}


def concept_places(concept: Concept) -> set[str]:
    """The places that they are of."""
    return {name for name, place in BACKGROUNDS.items() if set(place.phrases) & set(concept.sentences)}


def shown(concept: Concept, scene: Scene) -> bool:
    things = {thing.concept.name for thing in scene.things}
    return bool(things & concept_things(concept)) or scene.background in concept_places(concept)


def said(concept: Concept, scene: Scene, caption: str) -> bool:
    """As `shown`, but a caption may leave the place out."""
    things = {thing.concept.name for thing in scene.things}
    return bool(things & concept_things(concept)) or any(
        phrase in caption for place in concept_places(concept) for phrase in BACKGROUNDS[place].phrases
    )


def flags(rows: Iterable[Sequence[bool]]) -> Tensor:
    return torch.tensor([list(row) for row in rows])


class Bench:
    """The bundled model, the concepts, and scenes of its world."""

    def __init__(self, data: Path) -> None:
        self.system = unclip.load(device="cpu")
        self.concepts = read_concepts(SHIPPED)
        self.checker = Concepts(self.system, self.concepts)
        self.world, _ = learned_world(self.system.card)
        self.data, self.sprites = data, Sprites.load(data)

    def margins(self, images: Sequence[np.ndarray] | Tensor) -> Tensor:
        pixels = images if isinstance(images, Tensor) else to_tensor(np.stack(images))
        return torch.cat([self.checker.image_margins(part) for part in pixels.split(100)])

    def scenes(self, seed: int, count: int) -> tuple[Labelled, Labelled]:
        """Captions and renders of scenes."""
        world = World(self.sprites, seed, self.world)
        scenes, captions = [world.scene(k) for k in range(count)], [world.caption(k) for k in range(count)]
        pictures = [render(scene, self.sprites, SIZE) for scene in scenes]
        told = flags(
            [said(concept, *pair) for concept in self.concepts] for pair in zip(scenes, captions, strict=True)
        )
        seen = flags([shown(concept, scene) for concept in self.concepts] for scene in scenes)
        return Labelled(self.checker.text_margins(captions), told), Labelled(self.margins(pictures), seen)

    def drawn(self, seed: int, count: int) -> Labelled:
        """Pictures that the model draws of one thing in a place."""
        world = World(self.sprites, seed, replace(self.world, objects=(1, 0, 0, 0, 0), dense=1.0))
        captions = [world.caption(k) for k in range(count)]
        images = [unclip.generate(self.system, text, seed=k, size=SIZE)[0] for k, text in enumerate(captions)]
        seen = flags([shown(concept, world.scene(k)) for concept in self.concepts] for k in range(count))
        return Labelled(self.margins(from_pil(images)), seen)

    def photographs(self, count: int) -> Tensor:
        records = [record for name in WITHOUT for record in read_records(self.data / name / f"{name}.tar")]
        pictures = CaptionedPictures(records, STRANGE)
        return self.margins([pictures.example(k, SIZE).image for k in range(count)])

    def strangers(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions and renders of things of which the model never saw one."""
        rng, kinds = Random(STRANGE), {concept.name: concept for concept in listed()}
        places = [name for name, place in BACKGROUNDS.items() if not place.hides]
        scenes = [
            Scene(
                rng.choice(self.world.styles),
                rng.choice(places),
                (Thing(kinds[name]),),
                None,
                rng.getrandbits(62),
            )
            for name in names
            for _ in range(EACH)
        ]
        captions = [describe(scene, rng, dense=1.0) for scene in scenes]
        pictures = [render(scene, self.sprites, SIZE) for scene in scenes]
        return self.checker.text_margins(captions), self.margins(pictures)


def quality(labelled: Labelled, k: int, threshold: float) -> dict[str, Any]:
    found, wanted = labelled.margins[:, k] >= threshold, labelled.shown[:, k]
    right = int((found & wanted).sum())
    return {
        "precision": round(right / int(found.sum()), 4) if found.any() else None,
        "recall": round(right / int(wanted.sum()), 4),
        "shown": int(wanted.sum()),
    }


def share(margins: Tensor, k: int, threshold: float) -> float:
    return round((margins[:, k] >= threshold).double().mean().item(), 4)


def measure(bench: Bench) -> dict[str, Any]:
    to_calibrate = bench.scenes(CALIBRATION, SCENES)
    prompts, pictures = bench.scenes(TEST, SCENES)
    drawn, photographs = bench.drawn(DRAWING, DRAWN), bench.photographs(PHOTOGRAPHS)
    rows = {}
    for k, concept in enumerate(bench.concepts):
        prompt, picture = (round(best_threshold(s.margins[:, k], s.shown[:, k]), 4) for s in to_calibrate)
        row: dict[str, Any] = {"prompt": prompt, "picture": picture}
        row["prompts"] = quality(prompts, k, prompt)
        row["pictures"] = quality(pictures, k, picture)
        row["drawn"] = quality(drawn, k, picture)
        row["photographs"] = share(photographs, k, picture)
        if concept.name in STRANGERS:
            text, seen = bench.strangers(STRANGERS[concept.name])
            row["strangers"] = {"prompts": share(text, k, prompt), "pictures": share(seen, k, picture)}
        rows[concept.name] = row
    counts = {"scenes": SCENES, "drawn": DRAWN, "photographs": PHOTOGRAPHS}
    return {"model_hash": fingerprint(BUNDLED), "counts": counts, "concepts": rows}


def with_thresholds(toml: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Put measured thresholds into the text of a file of concepts."""
    for name, row in rows.items():
        for kind in ("prompt", "picture"):
            place = rf"(\[concepts\.{name}\][^\[]*\[[^\]]*\][^\[]*?^{kind} = )\S+"
            toml, count = re.subn(place, rf"\g<1>{row[kind]}", toml, flags=re.MULTILINE)
            assert count == 1, f"{name} has no line for its {kind} threshold"
    return toml


def section(measured: Mapping[str, Any]) -> str:
    """Write the part of the page that states numbers."""
    found, unknown = list[list[str]](), list[list[str]]()
    for name, row in measured["concepts"].items():
        found.append([name, *(_cell(row[kind]) for kind in ("prompts", "pictures", "drawn"))])
        strange = row.get("strangers", {})
        shares = (row["photographs"], strange.get("prompts"), strange.get("pictures"))
        unknown.append([name, *("-" if share is None else f"{share:.0%}" for share in shares)])
    return "\n".join(
        [
            HEADING,
            TEXT.format(**measured["counts"]),
            *_table(["concept", "prompts", "pictures", "drawn"], found),
            AFTER.format(**measured["counts"]),
            *_table(["concept", "photographs", "prompts of unknown things", "pictures of them"], unknown),
            "",
        ]
    )


def _cell(found: Mapping[str, Any]) -> str:
    precision = "-" if found["precision"] is None else f"{found['precision']:.2f}"
    return f"{precision} / {found['recall']:.2f} ({found['shown']})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def page(text: str, measured: Mapping[str, Any]) -> str:
    """Put the numbers into the page in place of those that are there."""
    before, _, rest = text.partition(HEADING)
    return before + section(measured) + "\n" + rest[rest.index("\n## ") + 1 :]


def main() -> None:
    parser = argparse.ArgumentParser(description="Calibrate and measure the shipped concepts.")
    parser.add_argument("--data", type=Path, required=True, help="the world's art")
    measured = measure(Bench(parser.parse_args().data))
    print(json.dumps(measured, indent=1))
    RESULT.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    SHIPPED.write_text(with_thresholds(SHIPPED.read_text("utf-8"), measured["concepts"]), "utf-8")
    PAGE.write_text(page(PAGE.read_text("utf-8"), measured), "utf-8")


if __name__ == "__main__":
    main()
