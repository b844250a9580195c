"""Train WorldEval's judges: the detector, the features, and a CLIP of another shape than the models'.

    PYTHONPATH=src python runs/judges/train.py detector --data DATA --out work/judges
    PYTHONPATH=src python runs/judges/train.py features --data DATA --out work/judges
    PYTHONPATH=src python runs/judges/train.py clip     --data DATA --out work/judges
    PYTHONPATH=src python runs/judges/train.py store    --data DATA --out work/judges

Their world has seeds of its own and shows held-out combinations too: a judge must know what a model may draw.
A run that is there goes on; `store` writes the averaged weights, as int8, into the package.
"""

import argparse
import json
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from unclip import presets
from unclip.checkpoints.store import save_component
from unclip.checkpoints.tensors import load_strictly, read_tensors
from unclip.data.example import Example
from unclip.evaluation.judges.detector import Detector, DetectorConfig
from unclip.evaluation.judges.features import Features, FeaturesConfig
from unclip.evaluation.judges.learning import DetectorTask, FeaturesTask
from unclip.evaluation.judges.store import WEIGHTS
from unclip.models.clip import Clip, ClipConfig
from unclip.text.tokenizer import Tokenizer
from unclip.training.config import TrainConfig
from unclip.training.ema import average_name
from unclip.training.loop import Trainer
from unclip.training.state import newest_checkpoint
from unclip.training.tasks import ClipTask, Task
from unclip.world import Sprites, World, WorldConfig
from unclip.world.backgrounds import BACKGROUNDS
from unclip.world.concepts import SOLIDS, listed
from unclip.world.words import COLOURS, STYLES

SEED = 1_000_003  # of the judges' worlds; the models' are small numbers
OBJECTS = (0.35, 0.35, 0.12, 0.12, 0.06)  # the suite asks for one to four things, most often for two

RECIPES = {
    "detector": TrainConfig(
        images=120_000,
        batch_size=32,
        learning_rate=1e-3,
        muon_learning_rate=0.01,
        image_size=128,
        warmup_images=3_000,
        decay_share=0.3,
    ),
    "features": TrainConfig(
        images=40_000,
        batch_size=64,
        learning_rate=1e-3,
        muon_learning_rate=0.01,
        image_size=64,
        warmup_images=3_000,
        decay_share=0.3,
    ),
    "clip": TrainConfig(
        images=60_000,
        batch_size=256,
        learning_rate=1e-3,
        muon_learning_rate=0.02,
        image_size=96,
        weight_decay=0.1,
        beta2=0.98,
        warmup_images=6_000,
        decay_share=0.3,
    ),
}


@dataclass(frozen=True)
class BothSplits:
    """A world's scenes of training and of its held-out combinations in turns."""

    trained: World
    heldout: World

    def example(self, index: int, size: int) -> Example:
        return self.of(index).example(index, size)

    def crop(self, index: int, size: int, window: int):
        return self.of(index).crop(index, size, window)

    def caption(self, index: int) -> str:
        return self.of(index).caption(index)

    def scene(self, index: int):
        return self.of(index).scene(index)

    def of(self, index: int) -> World:
        return (self.trained, self.heldout)[index % 2]

    @property
    def seed(self) -> int:
        return self.trained.seed

    @property
    def sprites(self) -> Sprites:
        return self.trained.sprites


Words = tuple[str, ...]


def known(concepts: int) -> tuple[Words, Words, Words, Words]:
    """Concepts, colours, styles and backgrounds: what detector and features can name."""
    names = tuple(concept.name for concept in (*listed()[:concepts], *SOLIDS))
    return names, tuple(COLOURS), tuple(STYLES), tuple(BACKGROUNDS)


def clip_shape() -> ClipConfig:
    """Another CLIP than the bundled model's: narrower, deeper, of larger patches, with another vocabulary."""
    return replace(
        presets.bundled().clip,
        embed_dim=128,
        image_size=96,
        patch_size=12,
        image_width=160,
        image_depth=5,
        image_heads=5,
        vocab_size=768,
        text_width=160,
        text_depth=2,
        text_heads=5,
    )


def begin(name: str, pictures: BothSplits, run: Path, concepts: int) -> tuple[Task, nn.Module]:
    torch.manual_seed(SEED)
    if name == "detector":
        return DetectorTask(), Detector(DetectorConfig(*known(concepts), channels=(48, 96, 160)))
    if name == "features":
        return FeaturesTask(), Features(FeaturesConfig(*known(concepts)))
    if not (run / "tokenizer").exists():
        shape = clip_shape()
        captions = (pictures.caption(index) for index in range(20_000))
        Tokenizer.train(captions, shape.vocab_size, shape.context_length).save(run / "tokenizer")
    tokenizer = Tokenizer.load(run / "tokenizer")
    return ClipTask(tokenizer), Clip(replace(clip_shape(), vocab_size=tokenizer.vocab_size))


def store(pictures: BothSplits, out: Path, folder: Path, concepts: int) -> None:
    for name in RECIPES:
        _, network = begin(name, pictures, out / name, concepts)
        checkpoint = newest_checkpoint(out / name, print)
        assert checkpoint, f"{out / name} has no checkpoint yet"
        average = average_name(min(RECIPES[name].ema))  # the rate has fallen to 0: the last weights are best
        load_strictly(network, read_tensors(checkpoint / f"{average}.safetensors"), name)
        save_component(folder / name, network, int8=True)
    Tokenizer.load(out / "clip" / "tokenizer").save(folder / "clip" / "tokenizer")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train WorldEval's judges.")
    parser.add_argument("what", choices=[*RECIPES, "store"])
    parser.add_argument("--data", type=Path, required=True, help="the world's art")
    parser.add_argument("--out", type=Path, default=Path("work/judges"), help="runs with their checkpoints")
    parser.add_argument("--store", type=Path, default=WEIGHTS, help="where `store` writes")
    parser.add_argument("--concepts", type=int, default=60)
    parser.add_argument("--images", type=int, help="of the whole run")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after these, to be resumed")
    options = parser.parse_args()
    sprites = Sprites.load(options.data)
    config = WorldConfig(concepts=options.concepts, objects=OBJECTS)
    trained, heldout = (World(sprites, SEED, replace(config, split=split)) for split in ("train", "heldout"))
    pictures = BothSplits(trained, heldout)
    if options.what == "store":
        store(pictures, options.out, options.store, options.concepts)
    else:
        train(options, pictures)


def train(options: argparse.Namespace, pictures: BothSplits) -> None:
    recipe, run = RECIPES[options.what], options.out / options.what
    recipe = replace(recipe, images=options.images or recipe.images)
    run.mkdir(parents=True, exist_ok=True)
    task, network = begin(options.what, pictures, run, options.concepts)
    end, asked = time.monotonic() + 60 * options.minutes, list[int]()
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def should_stop() -> bool:
        return bool(asked) or time.monotonic() > end

    for report in Trainer(task, network, pictures, recipe, run, device, should_stop=should_stop).train():
        print(f"{report.images_per_second:.1f}/s {json.dumps(report.metrics)}", flush=True)


if __name__ == "__main__":
    main()
