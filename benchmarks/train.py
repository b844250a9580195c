"""Images per second in training the bundled decoder, beside what this machine can compute.

    python benchmarks/train.py [--steps 5] [--batch-size 64] [--data FOLDER] [--json FILE]

With --data, a folder of the world's art, also scenes per second that the world draws.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from unclip import presets
from unclip.checkpoints.store import build
from unclip.data.example import Example
from unclip.diffusion.process import Process
from unclip.text.tokenizer import Tokenizer
from unclip.training.batches import Steps
from unclip.training.config import Precision, TrainConfig
from unclip.training.loop import Trainer
from unclip.training.recipes import recipe
from unclip.training.tasks import DecoderTask, TextConditions
from unclip.world import Sprites, World

CAPTION = "a 3D render of a red apple on a wooden table"
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Result:
    """Throughput of one size and precision; flops count a multiplication and an addition as two."""

    image_size: int
    precision: Precision
    images_per_second: float
    gflop_per_image: float
    gflops: float  # per second
    share_of_peak: float


class Noise:
    """Pictures that cost nothing to draw."""

    def example(self, index: int, size: int) -> Example:
        pixels = np.random.default_rng(index).integers(0, 256, (size, size, 3), dtype=np.uint8)
        return Example(pixels, CAPTION)


def peak_gflops(dtype: torch.dtype, size: int = 512) -> float:
    """Best of the square matrix products of a second."""
    a, b = torch.randn(2, size, size).to(dtype)
    ends, taken = time.perf_counter() + 1.0, list[float]()
    while time.perf_counter() < ends:
        taken.append(seconds(lambda: a @ b))
    return 2 * size**3 / min(taken) / 1e9


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def trainer_of(config: TrainConfig) -> Trainer:
    shapes = presets.bundled()
    clip = build("clip", shapes.clip).eval().requires_grad_(False)
    tokenizer = Tokenizer.train([CAPTION], shapes.clip.vocab_size, shapes.clip.context_length)
    process = Process(shapes.stages["decoder"].process)
    task = DecoderTask(TextConditions(clip, tokenizer), process, config.snr_range)
    network = build("decoder", shapes.decoder)
    return Trainer(task, network, Noise(), config, Path("nowhere"), torch.device("cpu"))


def gflop_per_image(trainer: Trainer) -> float:
    """Count the forward passes of CLIP and decoder, and twice the decoder's for its backward pass."""
    batch = Steps(trainer.examples, 1)[0]
    # Of the kernels of attention only the plain one is counted.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        trainer.task.loss(trainer.network, batch, torch.Generator())
    decoder = sum(counter.get_flop_counts()["Decoder"].values())
    return (counter.get_total_flops() + 2 * decoder) / 1e9


def throughput(config: TrainConfig, steps: int, peak: float) -> Result:
    trainer = trainer_of(config)
    state = trainer.start()
    batch = Steps(trainer.examples, config.batch_size)[0]
    trainer.step(state, batch)  # the first one allocates
    taken = seconds(lambda: [trainer.step(state, batch) for _ in range(steps)])
    rate, gflop = steps * config.batch_size / taken, gflop_per_image(trainer)
    return Result(config.image_size, config.precision, rate, gflop, rate * gflop, rate * gflop / peak)


def scenes_per_second(data: Path, size: int = 64, at_least: float = 5.0) -> float:
    """Draw scenes with captions in this process, the first hundred unmeasured: they read the art."""
    world = World(Sprites.load(data), seed=0)
    for index in range(100):
        world.example(index, size)
    started = time.perf_counter()
    for index in count(100):
        world.example(index, size)
        if (spent := time.perf_counter() - started) > at_least:
            return (index - 99) / spent
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--data", type=Path, help="a folder of the world's art")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    peaks = {name: peak_gflops(dtype) for name, dtype in DTYPES.items()}
    print(f"{torch.get_num_threads()} threads; matrix products in GFLOP/s:", end="")
    print("".join(f" {name} {peak:.0f}" for name, peak in peaks.items()))
    print("  px  precision  images/s  GFLOP/image  GFLOP/s  share of peak")
    results = list[Result]()
    for precision in (name for name, peak in peaks.items() if peak >= peaks["float32"]):
        for size in (64, 32):
            config = recipe("decoder", batch_size=options.batch_size, image_size=size, precision=precision)
            result = throughput(config, options.steps, peaks[precision])
            results.append(result)
            print(
                f"{size:4}  {precision:9} {result.images_per_second:9.1f} {result.gflop_per_image:12.2f}"
                f" {result.gflops:8.0f} {result.share_of_peak:14.0%}"
            )
    scenes = scenes_per_second(options.data) if options.data else None
    if scenes:
        print(f"the world draws {scenes:.0f} scenes/s at 64 px in one process")
    if options.json:
        report = {"peak_gflops": peaks, "decoder": [asdict(r) for r in results], "scenes_per_second": scenes}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
