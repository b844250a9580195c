"""Seconds and memory of one picture after loading, stage by stage.

    python benchmarks/generate.py [--model FOLDER] [--size 256] [--runs 5] [--json FILE]

Without the bundled weights, or with --untrained, it times the bundled shapes with random ones: the same work.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from unclip import presets
from unclip.checkpoints.load import load, model_folder
from unclip.checkpoints.store import build
from unclip.diffusion.process import Process
from unclip.pipelines.generation import steps
from unclip.system import Card, Stage, System
from unclip.text.tokenizer import Tokenizer

SENTENCE = "a 3D render of a red apple on a wooden table"


def untrained() -> System:
    shapes = presets.bundled()
    torch.manual_seed(0)
    stages = {
        name: Stage(build(name, getattr(shapes, name)).eval(), Process(stage.process), stage.defaults)
        for name, stage in shapes.stages.items()
    }
    return System(
        Card("untrained", "Apache-2.0", (), ()),
        Tokenizer.train([SENTENCE], shapes.clip.vocab_size, shapes.clip.context_length),
        build("clip", shapes.clip).eval(),
        stages["prior"],
        stages["decoder"],
        (stages["upsampler256"], stages["upsampler1024"]),
    )


def timed(system: System, size: int, seed: int) -> dict[str, float]:
    """Seconds of each stage, and of the whole."""
    spent = dict[str, float]()
    started = last = time.perf_counter()
    for step in (generation := steps(system, SENTENCE, size=size, seed=seed)):
        now = time.perf_counter()
        spent[step.stage] = spent.get(step.stage, 0.0) + now - last
        last = now
    assert generation.images[0].size == (size, size)
    return {**spent, "whole": time.perf_counter() - started}


def peak_mib() -> float:
    """The most memory this process has held, in MiB; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder; the bundled model if left out")
    parser.add_argument("--untrained", action="store_true", help="random weights of the bundled shapes")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.perf_counter()
    bare = options.untrained or not model_folder(options.model).exists()
    system = untrained() if bare else load(options.model)
    loading = time.perf_counter() - began
    first = timed(system, options.size, 0)
    runs = [timed(system, options.size, seed) for seed in range(1, options.runs + 1)]
    median = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
    print(
        f"{system.card.name}, {options.size} px, {torch.get_num_threads()} threads: loaded in {loading:.2f} s"
    )
    for stage, seconds in median.items():
        print(f"  {stage:>13}: {seconds:6.3f} s (median of {options.runs})")
    print(f"  the first picture took {first['whole']:.3f} s; peak memory {peak_mib():.0f} MiB")
    if options.json:
        result = {"model": system.card.name, "size": options.size, "seconds": median, "peak_mib": peak_mib()}
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
