"""Evaluate models at several guidance scales with WorldEval's quick suite, and plot the trade-off.

    python runs/bundled/sweep.py --data DATA --out work/sweep --scales 1 1.5 2 3 4 MODEL...

What was evaluated before is read again. The table names the best point by WorldEval's overall score.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
from quick import quick

SHOWN = {  # over the guidance scale
    "WorldEval, overall": lambda report: report["overall"],
    "CLIP score": lambda report: report["likeness"]["clip_score"],
    "Fréchet distance": lambda report: report["distances"]["frechet"],
}


def evaluated(model: Path, scale: float, options: argparse.Namespace) -> dict:
    report = options.out / f"{model.name}-{scale:g}.json"
    return quick(report, options.data, "--model", model, "--guidance-scale", scale, *options.world)


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate models at several guidance scales.")
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="the world's art")
    parser.add_argument("--out", type=Path, default=Path("work/sweep"))
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 1.5, 2.0, 3.0, 4.0])
    parser.add_argument("--world", nargs="*", default=[], help="further options of unclip evaluate, after --")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = {(m, s): evaluated(m, s, options) for m in options.models for s in options.scales}
    figure, panels = plt.subplots(
        1, len(SHOWN) + 1, figsize=(3.4 * (len(SHOWN) + 1), 3), layout="constrained"
    )
    for model in options.models:
        reports = [found[model, scale] for scale in options.scales]
        for panel, (name, value) in zip(panels, SHOWN.items(), strict=False):
            panel.plot(options.scales, [value(report) for report in reports], marker="o", label=model.name)
            panel.set(xlabel="guidance scale", title=name)
        clip, frechet = ([SHOWN[name](r) for r in reports] for name in ("CLIP score", "Fréchet distance"))
        panels[-1].plot(clip, frechet, marker="o")
        panels[-1].set(xlabel="CLIP score", title="Fréchet distance")
    panels[0].legend()
    figure.savefig(options.out / "tradeoff.svg")
    for (model, scale), report in sorted(found.items(), key=lambda pair: -pair[1]["overall"]):
        print(f"{report['overall']:.3f}  {model.name} at {scale:g}")


if __name__ == "__main__":
    main()
