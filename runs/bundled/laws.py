"""Measure on the bundled model what docs/manipulations.md says of edits, variations, priors and samplers.

    python runs/bundled/laws.py --data DATA [LAW...]

Each law is measured once and kept in evaluation/laws.json beside this file; name laws to measure them again.
The page is written from there.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from quick import quick
from torch import Tensor

import unclip
from unclip.cli.source import learned_world
from unclip.diffusion.driver import finish, run
from unclip.evaluation.judges.store import load_judges
from unclip.evaluation.metrics import frechet_distance
from unclip.images import to_pil, to_tensor
from unclip.pipelines import stages
from unclip.pipelines.generation import result
from unclip.pipelines.given import embed
from unclip.pipelines.inversion import Latent, decode, invert
from unclip.pipelines.sentences import PriorSettings, draw_embeds
from unclip.system import System
from unclip.world import Sprites, World

RESULT = Path(__file__).parent / "evaluation" / "laws.json"
PAGE = Path(__file__).parents[2] / "docs" / "manipulations.md"
SEED = 1  # of scenes that no training drew

HEAD = """# Manipulations, measured

What the bundled model reaches in [variations](variations.md), [edits](edits.md) and [sampling](sampling.md),
on scenes of its own world that no training drew. Written by `runs/bundled/laws.py --data DATA`.
"""
PRIORS = """## The two priors

Cosine of the drawn image embedding to that of the true render of 500 captions, and the median rank of that
render among all 500. Scenes of the heldout split have a combination that training never showed. The text
embedding alone is the baseline that a prior must beat. Ramesh et al. 2022, section 2.2, train both priors and
find the diffusion prior better for its compute.
"""
PICTURES = (
    """[WorldEval](evaluate.md)'s quick suite, 280 pictures each (`unclip evaluate --prior diffusion|ar`):"""
)


class Scenes:
    """Scenes of the world that the model learned from, but others."""

    def __init__(self, system: System, data: Path):
        self.config, _ = learned_world(system.card)
        self.data, self.sprites = data, Sprites.load(data)

    def __call__(self, count: int, split: Any = "train", size: int = 64) -> tuple[Tensor, list[str]]:
        world = World(self.sprites, SEED, replace(self.config, split=split))
        examples = [world.example(index, size) for index in range(count)]
        return to_tensor(np.stack([example.image for example in examples])), [e.caption for e in examples]


def psnr(a: Tensor, b: Tensor) -> Tensor:
    return 10 * torch.log10(4 / (a - b).square().flatten(1).mean(1))


def batches(count: int, size: int) -> Iterator[slice]:
    yield from (slice(start, min(start + size, count)) for start in range(0, count, size))


def inversion(system: System, scenes: Scenes) -> dict[str, Any]:
    images, _ = scenes(32)
    found = {}
    for num_steps, refinements in ((50, 1), (100, 0)):
        latent: Latent = result(invert(system, images, num_steps, refinements))
        again = finish(run(decode(system, latent, range(32), 0.0, num_steps)))
        deviation = latent.x_T.flatten(1).std(dim=1)
        queries = "2 queries" if refinements else "1 query"
        found[f"{num_steps} steps, {queries} a step"] = {
            "psnr_median": psnr(again, images).median().item(),
            "psnr_least": psnr(again, images).min().item(),
            "x_T_std_median": deviation.median().item(),
            "x_T_std_least": deviation.min().item(),
            "x_T_std_most": deviation.max().item(),
        }
    return found


def edits(system: System, scenes: Scenes) -> dict[str, Any]:
    found = {}
    for size in (256, 1024):
        pixels, captions = scenes(4, size=size)
        differing, seams, elsewhere = 0, list[float](), list[float]()
        for image, caption in zip(to_pil(pixels), captions, strict=True):
            hole = Image.new("L", image.size, 255)
            ImageDraw.Draw(hole).rectangle((size // 2, size // 4, size, 3 * size // 4), fill=0)
            given = image.convert("RGBA")
            given.putalpha(hole)
            (edited,) = unclip.edit(system, given, caption)
            before, after = (np.asarray(picture.convert("RGB"), dtype=int) for picture in (image, edited))
            known = np.asarray(hole) == 255
            differing += int((before != after)[known].sum())
            steps = np.abs(np.diff(after, axis=1)).mean(axis=2)  # between neighbours in a row
            rows = slice(size // 4, 3 * size // 4)
            seams.append(float(steps[rows, size // 2 - 1].mean()))
            elsewhere.append(float(np.delete(steps[rows], size // 2 - 1, axis=1).mean()))
        found[f"{size} px"] = {
            "pictures": len(pixels),
            "known_values_changed": differing,
            "step_across_seam": float(np.mean(seams)),
            "step_elsewhere": float(np.mean(elsewhere)),
        }
    return found


def alike(system: System, scenes: Scenes) -> dict[str, Any]:
    images, _ = scenes(101)
    embeds = embed(system, images)
    drawn: dict[str, list[Tensor]] = {"eta 0.5": [], "eta 1": [], "fresh": []}
    assert system.decoder is not None
    for part in batches(100, 25):
        latent: Latent = result(invert(system, images[part]))
        twice = Latent(*(t.repeat_interleave(2, 0) for t in (latent.image_embed, latent.x_T, latent.error)))
        seeds = range(2 * part.start, 2 * part.stop)
        for name, eta in (("eta 0.5", 0.5), ("eta 1", 1.0)):
            drawn[name].append(finish(run(decode(system, twice, seeds, eta))))
        chosen = stages.settings(system.decoder)
        fresh = stages.decoder_of_embeds(system, system.decoder, chosen, twice.image_embed, seeds)
        drawn["fresh"].append(finish(run(fresh)))
    found = {}
    for name, parts in drawn.items():
        pictures = torch.cat(parts).clamp(-1, 1)
        seen = embed(system, pictures[::2])
        own, other = (F.cosine_similarity(seen, embeds[k : k + 100]) for k in (0, 1))
        siblings = psnr(pictures[::2], pictures[1::2])
        found[name] = {
            "nearer_to_source_of_100": int((own > other).sum()),
            "siblings_psnr_median": siblings.median().item(),
            "siblings_under_25_dB_of_100": int((siblings < 25).sum()),
        }
    return found


def quantising(system: System, scenes: Scenes) -> dict[str, Any]:
    assert system.prior_ar is not None
    images, captions = scenes(1000)
    image_embed = torch.cat([embed(system, images[part]) for part in batches(1000, 100)])
    text_embed = stages.encode_text(system.clip, system.tokenizer, captions)["text_embed"]
    network = system.prior_ar
    back = network.dequantise(network.quantise(image_embed, text_embed))
    kept = network.pca.reconstruct(network.pca.project(image_embed, network.config.components))

    def relative(a: Tensor, b: Tensor) -> float:
        return ((a - b).norm(dim=1) / b.norm(dim=1)).mean().item()

    return {
        "components": network.config.components,
        "kept_variance": network.pca.kept_variance(network.config.components),
        "relative_error": relative(back, kept),
        "relative_error_to_whole_embedding": relative(back, image_embed),
    }


def priors(system: System, scenes: Scenes) -> dict[str, Any]:
    found = {}
    for split in ("heldout", "train"):
        images, captions = scenes(500, split)
        true = torch.cat([embed(system, images[part]) for part in batches(500, 100)])
        text, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, captions)
        row = {"text embedding": F.cosine_similarity(text["text_embed"], true).mean().item()}
        for name, kind, candidates in (
            ("diffusion prior", "diffusion", 1),
            ("diffusion prior, best of 2", "diffusion", 2),
            ("autoregressive prior", "ar", 1),
            ("autoregressive prior, best of 2", "ar", 2),
        ):
            drawn = list[Tensor]()
            for part in batches(500, 50):
                given, without = ({n: t[part] for n, t in rows.items()} for rows in (text, empty))
                seeds = range(part.start, part.stop)
                asked = PriorSettings(kind, candidates=candidates)
                drawn.append(result(draw_embeds(system, given, without, seeds, asked)))
            guess = torch.cat(drawn)
            likeness = F.normalize(guess, dim=-1) @ F.normalize(true, dim=-1).T
            row[name] = likeness.diagonal().mean().item()
            row[f"{name}: rank of 500"] = (
                (likeness >= likeness.diagonal()[:, None]).sum(dim=1).float().median().item()
            )
        found[f"captions of {split} scenes"] = row
    return found


def guidance_off(system: System, scenes: Scenes) -> dict[str, Any]:
    del scenes
    assert system.decoder is not None
    rows, forward = list[int](), system.decoder.network.forward

    def counted(x_t: Tensor, *inputs: Any, **conditions: Any) -> Tensor:
        rows.append(len(x_t))
        return forward(x_t, *inputs, **conditions)

    system.decoder.network.forward = counted
    pictures, asked = {}, {"quality": "best", "size": 64, "seed": 3}
    for name, settings in (
        ("scale 1", {"guidance_scale": 1.0}),
        ("empty interval", {"guidance_scale": 3.0, "guidance_interval": (1, 2)}),
    ):
        rows.clear()
        pictures[name] = np.asarray(unclip.generate(system, "a red apple on a beach", **asked, **settings)[0])
        pictures[f"rows of {name}"] = sum(rows)
    system.decoder.network.forward = forward
    return {
        "same_picture": bool((pictures["scale 1"] == pictures["empty interval"]).all()),
        "rows_a_step": pictures["rows of empty interval"] / system.decoder.defaults.num_steps,
    }


def solvers(system: System, scenes: Scenes) -> dict[str, Any]:
    clip = load_judges().clip
    renders, _ = scenes(5000)

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        return torch.cat([clip.encode_image(images[part]) for part in batches(len(images), 100)])

    true, found = features(renders), {}
    _, captions = scenes(250)
    for sampler, num_steps in (("dpm++", 12), ("ddpm", 250)):
        drawn = list[Tensor]()
        for part in batches(250, 50):
            text, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, captions[part])
            seeds = range(part.start, part.stop)
            image_embed = result(draw_embeds(system, text, empty, seeds, PriorSettings()))
            chosen = stages.settings(system.decoder, sampler=sampler, num_steps=num_steps)
            drawn.append(finish(run(stages.decoder(system.decoder, chosen, image_embed, text, empty, seeds))))
            print(sampler, part.stop, flush=True)
        found[f"{sampler}, {num_steps} steps"] = frechet_distance(
            features(torch.cat(drawn).clamp(-1, 1)), true
        )
    found["250 of the renders themselves"] = frechet_distance(true[:250], true)
    return found


def prior_pictures(system: System, scenes: Scenes) -> dict[str, Any]:
    del system
    found = {}
    for name in ("diffusion", "ar"):
        report = quick(Path("work/priors") / f"{name}.json", scenes.data, "--prior", name)
        found[name] = {
            "overall": report["overall"],
            "clip_score": report["likeness"]["clip_score"],
            "frechet": report["distances"]["frechet"],
        }
    return found


LAWS: dict[str, Callable[[System, Scenes], dict[str, Any]]] = {
    "inversion": inversion,
    "edits": edits,
    "variations": alike,
    "quantising": quantising,
    "priors": priors,
    "prior pictures": prior_pictures,
    "guidance off": guidance_off,
    "solvers": solvers,
}


def page(known: dict[str, Any]) -> str:
    """Write the page of what is known by now."""
    rows = list[tuple[str, str, str]]()

    def row(what: str, found: str, wanted: str = "") -> None:
        rows.append((what, found, wanted))

    for name, found in known.get("inversion", {}).items():
        least, most = found["x_T_std_least"], found["x_T_std_most"]
        row(
            f"PSNR of 32 scenes inverted and decoded with eta 0, {name}",
            f"{found['psnr_median']:.1f} dB in the median, {found['psnr_least']:.1f} at least",
            "28 dB in the median",
        )
        row(
            f"standard deviation of their x_T, {name}",
            f"{found['x_T_std_median']:.2f} in the median, {least:.2f} to {most:.2f}",
            "0.9 to 1.1",
        )
    for name, found in known.get("edits", {}).items():
        row(
            f"values outside the hole that an edit changes, {found['pictures']} pictures of {name}",
            str(found["known_values_changed"]),
            "0",
        )
        across, other = found["step_across_seam"], found["step_elsewhere"]
        row(
            f"step between neighbours across the hole's edge, and between others, of 255, {name}",
            f"{across:.2f}, {other:.2f}",
            "no larger than others",
        )
    for name, found in known.get("variations", {}).items():
        row(
            f"variations nearer to their source than to another scene, by the image embedding, {name}",
            f"{found['nearer_to_source_of_100']} of 100",
            "95 of 100",
        )
        row(
            f"PSNR between two variations of one picture, {name}",
            f"{found['siblings_psnr_median']:.1f} dB in the median,"
            f" under 25 dB in {found['siblings_under_25_dB_of_100']} of 100",
            "under 25 dB",
        )
    if found := known.get("quantising"):
        row(
            f"variance of image embeddings in {found['components']} principal components",
            f"{100 * found['kept_variance']:.2f} %",
            "99 %",
        )
        row(
            "error of an embedding quantised and back, of its length",
            f"{100 * found['relative_error']:.2f} %; {100 * found['relative_error_to_whole_embedding']:.1f} %"
            " with the components left out",
            "2 %",
        )
    if found := known.get("guidance off"):
        row(
            "guidance of scale 3 over an empty interval: rows a step, and the picture of scale 1",
            f"{found['rows_a_step']:g}, {'the same' if found['same_picture'] else 'another'}",
            "1, the same",
        )
    if found := known.get("solvers"):
        for name, distance in found.items():
            row(
                f"Fréchet distance of 250 pictures to 5,000 renders, in the judges' CLIP: {name}",
                f"{distance:.4f}",
                "within 10 % of 250 steps of ddpm" if name.startswith("dpm++") else "",
            )
    lines = [
        HEAD,
        "| what | measured | wanted |",
        "|---|---|---|",
        *(f"| {' | '.join(cells)} |" for cells in rows),
        "",
    ]
    if found := known.get("priors"):
        lines += [PRIORS, *_prior_table(found, known.get("prior pictures", {})), ""]
    return "\n".join(lines).rstrip() + "\n"


def _prior_table(found: dict[str, dict[str, float]], pictures: dict[str, Any]) -> list[str]:
    names = [name for name in next(iter(found.values())) if "rank" not in name]
    lines = [
        "| drawn by | " + " | ".join(f"{split}: cosine, rank" for split in found) + " |",
        "|---|" + "---|" * len(found),
    ]
    for name in names:
        cells = [
            f"{row[name]:.3f}"
            + (f", {row[f'{name}: rank of 500']:g}" if f"{name}: rank of 500" in row else "")
            for row in found.values()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if pictures:
        lines += ["", PICTURES, "", "| prior | overall | CLIP score | Fréchet distance |"]
        lines += ["|---|---|---|---|"]
        lines += [
            f"| {name} | {row['overall']:.3f} | {row['clip_score']:.3f} | {row['frechet']:.1f} |"
            for name, row in pictures.items()
        ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the world's art")
    parser.add_argument("--model", type=Path, help="a model folder [default: the bundled model]")
    parser.add_argument("laws", nargs="*", metavar="LAW", help=f"of {', '.join(LAWS)}")
    options = parser.parse_args()
    known = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    system = unclip.load(options.model, device="cpu")
    scenes = Scenes(system, options.data)
    for name, measure in LAWS.items():
        if name in options.laws or (not options.laws and name not in known):
            known[name] = measure(system, scenes)
            print(name, json.dumps(known[name], indent=1), flush=True)
            RESULT.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    PAGE.write_text(page(known), "utf-8")


if __name__ == "__main__":
    main()
