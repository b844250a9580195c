"""Train all stages of the bundled model into a given time, in slices that stop and resume by themselves.

    PYTHONPATH=src python runs/bundled/train.py --data DATA --minutes 25 --slice 9

One call runs one slice; the same call goes on where the last one stopped. Each stage is first timed on real
steps, then told how many images fit into its share of the time that is left. After every slice `--export`
holds what has been learned so far, small enough to carry (a tar of a model folder in parts, and the plan): on
a machine where `--work` is empty, the next slice begins from there. Needs no more than training does (see
docs/architecture.md).
"""

import argparse
import json
import os
import shutil
import sys
import tarfile
import time
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import torch

from unclip import presets
from unclip.training.assemble import assemble
from unclip.training.begin import Order, begin
from unclip.training.config import Precision
from unclip.training.loop import Progress, Trainer
from unclip.training.recipes import RECIPES
from unclip.training.runs import is_run
from unclip.world import Sprites, World, WorldConfig, described, load_photographs

# Shares of the time. CLIP comes first, since prior and decoder stand on it.
SHARES = {
    "clip": 0.14,
    "prior": 0.06,
    "prior_ar": 0.06,
    "decoder": 0.56,
    "upsampler256": 0.10,
    "upsampler1024": 0.08,
}
# What a GPU is fed instead of the recipe's batches, which suit two CPU cores.
GPU = {
    "clip": {"batch_size": 2048},
    "prior": {"batch_size": 1024},
    "prior_ar": {"batch_size": 1024},
    "decoder": {"batch_size": 512, "learning_rate": 1e-3},
    "upsampler256": {"batch_size": 256},
    "upsampler1024": {"batch_size": 64},
}
WORLDS = {  # what two CPU cores can learn to draw, and all there is
    "small": WorldConfig(concepts=60, styles=("3d", "flat"), variation=0.2),
    "large": WorldConfig(concepts=386, photographs=0.25),
}
ENDLESS = 10**9  # images of a run that is only being timed
TIMING_SHARE = 0.1  # of a stage's time, spent before its length is fixed
PART_BYTES = 15 << 20


@dataclass
class Plan:
    """What has been decided and done; kept in `plan.json`."""

    spent: float = 0.0  # seconds, of all slices
    images: dict[str, int] = field(default_factory=dict)  # length of each stage, once timed
    done: dict[str, int] = field(default_factory=dict)  # images trained on so far
    precision: Precision = "float32"  # of all stages; measured once

    def finished(self, stage: str) -> bool:
        return stage in self.images and self.done.get(stage, 0) >= self.images[stage]


@dataclass
class Slice:
    """One call of this script."""

    options: argparse.Namespace
    plan: Plan
    carried: Path | None  # a model folder with what earlier slices learned elsewhere
    started: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def over(self) -> bool:
        return self.elapsed() > 60 * self.options.slice

    def allotted(self, stage: str) -> float:
        """Seconds for a stage: its share, among the stages not finished, of the time that is left."""
        left = 60 * self.options.minutes - self.plan.spent - self.elapsed()
        shares = sum(share for name, share in SHARES.items() if not self.plan.finished(name))
        return max(left, 1.0) * SHARES[stage] / shares

    def train(self, stage: str) -> None:
        """Train a stage to its end or the slice's, timing it first if its length is not yet known."""
        if stage not in self.plan.images:
            allotted, began = self.allotted(stage), time.monotonic()
            rate = self.time(stage, until=began + TIMING_SHARE * allotted)
            left = allotted - (time.monotonic() - began)
            done = self.plan.done[stage]
            # A run can be given its length only before its rate would have begun to fall.
            self.plan.images[stage] = max(int(done + rate * left), int(1.5 * done))
        for report in self.trainer(stage, self.plan.images[stage], self.over).train():
            self.show(stage, report)
        if not self.over():
            self.plan.done[stage] = self.plan.images[stage]

    def time(self, stage: str, until: float) -> float:
        """Train for a while; return images per second, the first report (compilation) left out."""
        points = list[tuple[float, int]]()
        for report in self.trainer(
            stage, ENDLESS, lambda: time.monotonic() > until and len(points) > 1
        ).train():
            points.append((time.monotonic(), report.images))
            self.show(stage, report)
        (t0, n0), (t1, n1) = points[0], points[-1]
        return (n1 - n0) / (t1 - t0)

    def show(self, stage: str, report: Progress) -> None:
        self.plan.done[stage] = report.images
        metrics = ", ".join(
            f"{name} {value:.4g}" for name, value in report.metrics.items() if name != "images"
        )
        print(f"{stage}: {report.images:,} images, {report.images_per_second:.0f}/s, {metrics}", flush=True)

    def trainer(self, stage: str, images: int, should_stop) -> Trainer:
        cuda = self.options.device.type == "cuda"
        config = replace(
            RECIPES[stage],
            images=images,
            precision=self.plan.precision,
            log_steps=self.options.log_steps,
            **(GPU[stage] if cuda else {}),
        )
        work = self.options.work
        source = self.carried if self.carried and (self.carried / stage).is_dir() else None
        clip = work / "clip" if is_run(work / "clip") else self.carried
        decoder = work / "decoder" if is_run(work / "decoder") else self.carried
        order = Order(
            stage,
            work / stage,
            self.options.world,
            self.options.world_name,
            presets.bundled(),
            config,
            clip,
            source,
            decoder if stage == "upsampler256" else None,
            self.options.device,
            workers=max((os.cpu_count() or 2) - 2, 1) if cuda else 0,
            compiled=cuda,
        )
        return begin(order, should_stop=should_stop)

    def export(self) -> None:
        """Write a model folder of all there is, packed into parts, and the plan."""
        self.plan.spent += self.elapsed()
        out, work = self.options.export, self.options.work
        shutil.rmtree(work / "model", ignore_errors=True)
        runs = [work / stage for stage in SHARES if list((work / stage).glob("step-*"))]
        assemble(
            runs,
            work / "model",
            name="unclip bundled",
            licence="Apache-2.0",
            base=self.carried,
            int8=True,
            warn=print,
        )
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(work / "model", "model")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        data = packed.getvalue()
        for part in range(-(-len(data) // PART_BYTES)):
            (out / f"model.tar.{part}").write_bytes(data[part * PART_BYTES : (part + 1) * PART_BYTES])
        (out / "plan.json").write_text(json.dumps(vars(self.plan), indent=1))


def has_bfloat16() -> bool:
    """Whether this CPU multiplies matrices in bfloat16 at least twice as fast as in float32."""

    def seconds(dtype: torch.dtype) -> float:
        a, taken = torch.randn(512, 512).to(dtype), list[float]()
        for _ in range(10):
            began = time.perf_counter()
            a @ a
            taken.append(time.perf_counter() - began)
        return min(taken)

    return 2 * seconds(torch.bfloat16) < seconds(torch.float32)


def carry_on(options: argparse.Namespace) -> tuple[Plan, Path | None]:
    """Return the plan so far and, if the work folder is bare, the model that was carried here."""
    path = options.export / "plan.json"
    if not path.exists():
        fast = options.device.type == "cuda" or has_bfloat16()
        return Plan(precision="bfloat16" if fast else "float32"), None
    plan = Plan(**json.loads(path.read_text()))
    carried = options.work / "carried" / "model"
    if not carried.exists() and not is_run(options.work / "clip"):
        parts = sorted(options.export.glob("model.tar.*"), key=lambda part: int(part.suffix[1:]))
        with tarfile.open(fileobj=BytesIO(b"".join(part.read_bytes() for part in parts))) as tar:
            tar.extractall(carried.parent, filter="data")
        # Optimizer states stayed behind: unfinished stages begin again from their weights, for what is left.
        plan.images = {
            stage: n - (0 if plan.finished(stage) else plan.done.get(stage, 0))
            for stage, n in plan.images.items()
        }
        plan.done = {stage: n for stage, n in plan.done.items() if plan.finished(stage)}
    return plan, carried if carried.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the world's art")
    parser.add_argument("--minutes", type=float, default=25, help="for all stages and slices")
    parser.add_argument("--slice", type=float, default=9, help="minutes of this call")
    parser.add_argument("--work", type=Path, default=Path("work/bundled"), help="runs with their checkpoints")
    parser.add_argument("--export", type=Path, default=Path("work/export"), help="what to carry elsewhere")
    parser.add_argument("--world", choices=WORLDS, help="default: large on a GPU, small else")
    parser.add_argument("--concepts", type=int, help="default: the world's")
    parser.add_argument("--log-steps", type=int, default=20)
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    config = WORLDS[options.world or ("large" if options.device.type == "cuda" else "small")]
    config = replace(config, concepts=options.concepts or config.concepts)
    photographs = load_photographs(options.data, 0) if config.photographs else None
    options.world = World(Sprites.load(options.data), 0, config, photographs)
    options.world_name = described(config, 0)
    plan, carried = carry_on(options)
    now = Slice(options, plan, carried)
    for stage in SHARES:
        if not plan.finished(stage) and not now.over():
            now.train(stage)
    now.export()
    left = [stage for stage in SHARES if not plan.finished(stage)]
    print(
        f"spent {plan.spent / 60:.1f} min; "
        + (f"left: {', '.join(left)}: call again" if left else "all stages are trained")
    )
    sys.exit(0)


if __name__ == "__main__":
    main()
