"""Memory and speed of a model of Karlo's full shapes, beside diffusers on the same folder.

    python benchmarks/karlo.py --folder FOLDER [--rounds 2] [--device cpu] [--json FILE]

The folder is written first if it is not there: random weights in float32, 14 GB, laid out as diffusers does.
Each program runs in a process of its own, one after another, in every round; of a step the least time counts.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from unclip import presets
from unclip.checkpoints.interop.diffusers_export import export_diffusers
from unclip.checkpoints.load import load
from unclip.checkpoints.store import Opened, build_empty, system_of
from unclip.checkpoints.tensors import Source, shapes_of
from unclip.pipelines.generation import steps
from unclip.system import Card
from unclip.text.tokenizer import Tokenizer

SENTENCE = "a red fox in the snow, watching two birds"
STEPS = {
    "prior": 6,
    "decoder": 5,
    "upsampler": 4,
}  # the first of a stage, and the upsampler's last, are not timed
BARS = {
    "prior": (1.25, 2.5),
    "decoder": (1.15, 3.2),
    "upsampler": (1.15, 3.0),
}  # against diffusers in both dtypes
PROGRAMS = ("unclip bfloat16", "diffusers bfloat16", "diffusers float32", "unclip short", "unclip int8")


def write_random(folder: Path) -> None:
    """Write Karlo's layout with random weights, in the size that keeps what flows through it near 1."""
    shapes = presets.karlo()
    shapes = replace(shapes, clip=replace(shapes.clip, image_size=0))
    networks = {
        name: build_empty(name, getattr(shapes, name))
        for name in ("clip", "prior", "decoder", "upsampler256")
    }
    card = Card("random", "none", ("nothing",), ())
    tokenizer = Tokenizer.train([SENTENCE], 300, shapes.clip.context_length)
    sources = {name: random_source(name, network) for name, network in networks.items()}
    export_diffusers(Opened(system_of(card, tokenizer, networks, shapes.stages), sources), folder)


def random_source(name: str, network: torch.nn.Module) -> Source:
    shapes = shapes_of(network.state_dict().items())

    def tensor(key: str) -> torch.Tensor:
        empty = torch.empty(shapes[key])
        if empty.ndim < 2:
            return empty.fill_(0.0 if key.endswith(("bias", "mean")) else 1.0)
        return empty.uniform_(-1, 1) * (3 / empty[0].numel()) ** 0.5

    return Source(name, shapes, lambda keys: {key: tensor(key) for key in keys})


def peak_gib() -> float:
    """The most memory this process has held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmHWM"))


def fastest_product(dtype: torch.dtype = torch.bfloat16, size: int = 4096, times: int = 6) -> float:
    """Floating-point operations per second of this machine's fastest matrix product."""
    a, b = torch.randn(2, size, size).to(dtype)
    best = 0.0
    for _ in range(times):
        began = time.perf_counter()
        a @ b
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def by_unclip(folder: Path, device: str, few: bool = False, **how: Any) -> dict[str, Any]:
    began = time.perf_counter()
    system = load(folder, device=device, **how)
    counts = dict.fromkeys(STEPS, 2) if few else STEPS
    spent, last, first = dict[str, list[float]](), began, 0.0
    for step in (
        generation := steps(
            system,
            SENTENCE,
            seed=1,
            candidates=1,
            prior_steps=counts["prior"],
            steps=counts["decoder"],
            upsampler_steps=counts["upsampler"],
        )
    ):
        now = time.perf_counter()
        first = first or now - began
        spent.setdefault(step.stage.removesuffix("256"), []).append(now - last)
        last = now
    assert generation.images[0].size == (256, 256)
    return {"seconds": spent, "first": first, "whole": last - began, "peak_gib": peak_gib()}


def by_diffusers(folder: Path, device: str, dtype: torch.dtype) -> dict[str, Any]:
    import diffusers
    import transformers
    from diffusers.pipelines.deprecated.unclip import UnCLIPPipeline
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    began = time.perf_counter()
    networks = {
        "prior": diffusers.PriorTransformer,
        "decoder": diffusers.UNet2DConditionModel,
        "super_res_first": diffusers.UNet2DModel,
        "super_res_last": diffusers.UNet2DModel,
        "text_proj": UnCLIPTextProjModel,
        "text_encoder": transformers.CLIPTextModelWithProjection,
    }
    parts = {
        name: kind.from_pretrained(folder, subfolder=name, dtype=dtype)
        if name == "text_encoder"
        else kind.from_pretrained(folder, subfolder=name, torch_dtype=dtype)
        for name, kind in networks.items()
    }
    for name in ("prior_scheduler", "decoder_scheduler", "super_res_scheduler"):
        parts[name] = diffusers.UnCLIPScheduler.from_pretrained(folder, subfolder=name)
    parts["tokenizer"] = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
    # On a CPU torch resizes no picture in bfloat16, and the pipeline stops there.
    interpolate = torch.nn.functional.interpolate
    torch.nn.functional.interpolate = lambda x, *args, **how: interpolate(
        x.float() if how.get("antialias") else x, *args, **how
    ).to(x.dtype)
    pipe = UnCLIPPipeline(**parts).to(device)
    pipe.set_progress_bar_config(disable=True)
    ended = {"prior": list[float](), "decoder": list[float](), "upsampler": list[float]()}
    for stage, name in zip(ended, ("prior", "decoder", "super_res"), strict=True):
        scheduler = parts[f"{name}_scheduler"]

        def step(*args: Any, _step: Any = scheduler.step, _stage: str = stage, **kwargs: Any) -> Any:
            result = _step(*args, **kwargs)
            ended[_stage].append(time.perf_counter())
            return result

        scheduler.step = step
    pipe(
        SENTENCE,
        prior_num_inference_steps=STEPS["prior"],
        decoder_num_inference_steps=STEPS["decoder"],
        super_res_num_inference_steps=STEPS["upsampler"],
    )
    seconds = {
        stage: [times[0] - began, *(after - before for before, after in itertools.pairwise(times))]
        for stage, times in ended.items()
    }
    first = ended["prior"][0] - began
    return {
        "seconds": seconds,
        "first": first,
        "whole": ended["upsampler"][-1] - began,
        "peak_gib": peak_gib(),
    }


def run(program: str, folder: Path, device: str) -> dict[str, Any]:
    match program:
        case "unclip bfloat16":
            result = by_unclip(folder, device, dtype="bfloat16")
        case "unclip short":
            result = by_unclip(folder, device, few=True, dtype="bfloat16")
        case "unclip int8":
            result = by_unclip(folder, device, few=True, dtype="bfloat16", weights="int8")
        case _:
            result = by_diffusers(folder, device, getattr(torch, program.split()[1]))
    return result | {"product": fastest_product()}


def timed_steps(seconds: dict[str, list[float]]) -> Iterator[tuple[str, float]]:
    """The least time of a step of each stage, loading left out."""
    for stage, all_steps in seconds.items():
        kept = all_steps[1:-1] if stage == "upsampler" else all_steps[1:]
        if kept:
            yield stage, min(kept)


def operations() -> dict[str, int]:
    """Floating-point operations of a guided step of the decoder, and of one of the upsampler."""
    shapes = presets.karlo()
    clip, length = shapes.clip, shapes.clip.context_length

    def rows(*shape: int) -> torch.Tensor:
        return torch.empty(2, *shape, device="meta")

    t = torch.zeros(2, dtype=torch.int64, device="meta")
    decoder, upsampler = (build_empty(name, getattr(shapes, name)) for name in ("decoder", "upsampler256"))
    with FlopCounterMode(display=False) as of_decoder:
        mask = torch.ones(2, length, dtype=torch.bool, device="meta")
        texts = (rows(clip.embed_dim), rows(length, clip.text_width), mask)
        decoder(rows(3, 64, 64), t, rows(clip.embed_dim), mask[:, 0], *texts)
    with FlopCounterMode(display=False) as of_upsampler:
        upsampler.unet(rows(6, 256, 256)[:1], t[:1])
    return {"decoder": of_decoder.get_total_flops(), "upsampler": of_upsampler.get_total_flops()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the random model is, or is written")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--program", choices=PROGRAMS, help="run this one alone, here, and print its numbers")
    options = parser.parse_args()
    if options.program:
        print(json.dumps(run(options.program, options.folder, options.device)))
        return
    if not options.folder.exists():
        print(f"writing {options.folder}", file=sys.stderr)
        write_random(options.folder)
    results = dict[str, list[dict[str, Any]]]()
    for turn in range(options.rounds):
        for program in PROGRAMS:
            command = [sys.executable, __file__, "--folder", options.folder, "--device", options.device]
            done = subprocess.run(
                [*command, "--program", program], capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(f"{program} failed: {done.stderr[-2000:]}")
            results.setdefault(program, []).append(json.loads(done.stdout.splitlines()[-1]))
            last = results[program][-1]
            print(
                f"round {turn + 1}, {program}: first step after {last['first']:.1f} s, whole run"
                f" {last['whole']:.0f} s, peak {last['peak_gib']:.2f} GiB",
                file=sys.stderr,
            )
    summary = summarised(results)
    print_summary(summary)
    if options.json:
        options.json.write_text(json.dumps(summary, indent=1) + "\n")


def summarised(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    product = max(result["product"] for turns in results.values() for result in turns)
    steps_of = {
        program: {stage: min(dict(timed_steps(turn["seconds"]))[stage] for turn in turns) for stage in STEPS}
        for program, turns in results.items()
        if program in PROGRAMS[:3]
    }
    ours, half, single = (steps_of[program] for program in PROGRAMS[:3])
    shares = {
        program: {stage: count / steps_of[program][stage] / product for stage, count in operations().items()}
        for program in PROGRAMS[:2]
    }
    return {
        "tera_operations_per_second": product / 1e12,
        "seconds_per_step": steps_of,
        "times_as_fast_as_bfloat16": {stage: half[stage] / ours[stage] for stage in STEPS},
        "times_as_fast_as_float32": {stage: single[stage] / ours[stage] for stage in STEPS},
        "share_of_the_fastest_product": shares,
        "peak_gib": {program: max(turn["peak_gib"] for turn in turns) for program, turns in results.items()},
        "seconds_to_the_first_step": {
            program: min(turn["first"] for turn in turns) for program, turns in results.items()
        },
    }


def print_summary(summary: dict[str, Any]) -> None:
    print(f"fastest product, bfloat16: {summary['tera_operations_per_second']:.2f} tera operations/s")
    for stage in STEPS:
        seconds = {program: each[stage] for program, each in summary["seconds_per_step"].items()}
        print(f"{stage:>10}: " + ", ".join(f"{program} {value:.3f} s" for program, value in seconds.items()))
        half, single = (summary[f"times_as_fast_as_{dtype}"][stage] for dtype in ("bfloat16", "float32"))
        print(
            f"{'':>10}  {half:.2f}x bfloat16 (bar {BARS[stage][0]}),"
            f" {single:.2f}x float32 (bar {BARS[stage][1]})"
        )
    for program, shares in summary["share_of_the_fastest_product"].items():
        print(f"{program}: " + ", ".join(f"{stage} {share:.0%} of it" for stage, share in shares.items()))
    for program, peak in summary["peak_gib"].items():
        first = summary["seconds_to_the_first_step"][program]
        print(f"{program}: peak {peak:.2f} GiB, first step after {first:.1f} s")


if __name__ == "__main__":
    main()
