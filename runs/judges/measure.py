"""Measure the judges on true renders, as they are and after they went through 64 pixels and an upsampler.

    python runs/judges/measure.py --data DATA

Of each task: the share found right by its own rule, at other thresholds too, and what is mistaken for
what. Written to accuracy.json beside this file.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch

from unclip.checkpoints.load import load
from unclip.evaluation import rules
from unclip.evaluation.evaluate import Suite, sentences
from unclip.evaluation.judges.store import WEIGHTS, load_judges
from unclip.evaluation.look import Look, look
from unclip.evaluation.metrics import r_precision
from unclip.evaluation.scores import scores
from unclip.evaluation.shown import rendered, text_embeds, upsampled
from unclip.evaluation.suite import Item
from unclip.world import Sprites, WorldConfig

SEED = 77  # of the renders; training had others


def by_task(items: list[Item], seen: Look) -> dict[str, float]:
    """Share right of every task, seen and unseen combinations together."""
    found = scores([replace(item, unseen=False) for item in items], seen.sights)
    return {score.task: score.right.mean for score in found}


def mistakes(items: list[Item], seen: Look) -> Counter[str]:
    """What single things are taken for."""
    found = Counter[str]()
    for item, (sight,) in zip(items, seen.sights, strict=True):
        if "single_object" in item.wanted and sight.detections:
            true, said = item.scene.things[0].concept.name, sight.detections[0].concept
            found[f"{true} taken for {said}"] += true != said
            style, background = item.scene.style, item.scene.background
            found[f"{style} style taken for {sight.style}"] += style != sight.style
            found[f"{background} taken for {sight.background}"] += background != sight.background
    return +found


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the judges on true renders.")
    parser.add_argument("--data", type=Path, required=True, help="the world's art")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--sentences", type=int, default=60, help="of every kind, seen, and as many unseen")
    options = parser.parse_args()
    torch.set_num_threads(2)
    count = options.sentences
    items = sentences(Suite("measure", count, count, 1), WorldConfig())
    judges, sprites = load_judges(options.weights), Sprites.load(options.data)
    shown = rendered(items, sprites, 1, 256, SEED)
    true = look(judges, shown, len(items))
    soft = look(
        judges, upsampled(shown, load(stages=["upsampler256"], device="cpu").upsamplers[0]), len(items)
    )
    report = {
        "sentences": len(items),
        "renders": by_task(items, true),
        "renders through 64 px": by_task(items, soft),
        "mistakes": dict(mistakes(items, true).most_common(12)),
        "mistakes through 64 px": dict(mistakes(items, soft).most_common(12)),
        "r_precision": r_precision(
            true.image_embed, text_embeds(judges.clip, judges.tokenizer, [item.sentence for item in items])
        ),
    }
    for name in ("THRESHOLD", "COUNTING_THRESHOLD"):
        report[name.lower()] = sweep(items, soft, name)
    (Path(__file__).parent / "accuracy.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(json.dumps(report, indent=1))


def sweep(items: list[Item], seen: Look, name: str) -> dict[str, float]:
    """Share right of the tasks that a threshold of confidence decides, at other thresholds."""
    task, before = ("counting" if name.startswith("COUNTING") else "two_objects"), getattr(rules, name)
    found: dict[str, float] = {}
    for threshold in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        setattr(rules, name, threshold)
        found[f"{task} at {threshold:g}"] = by_task(items, seen)[task]
    setattr(rules, name, before)
    return found


if __name__ == "__main__":
    main()
