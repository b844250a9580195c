"""Evaluate every quality of the bundled model with WorldEval's quick suite, for the model card.

    python runs/bundled/qualities.py --data DATA

Writes evaluation/qualities.json beside this file; the pictures, and reports that are kept, go to --out.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

from unclip.checkpoints.load import load
from unclip.pipelines.text_to_image import TextToImage, resolved
from unclip.system import Quality

RESULT = Path(__file__).parent / "evaluation" / "qualities.json"


def evaluated(quality: str, options: argparse.Namespace) -> dict:
    report = options.out / f"{quality}.json"
    if not report.exists():
        command = [
            sys.executable,
            "-c",
            "from unclip.cli import main; main()",
            "evaluate",
            "--suite",
            "quick",
        ]
        command += ["--quality", quality, "--data", options.data, "--json", report]
        command += ["--out", report.with_suffix("")]
        subprocess.run([str(part) for part in command], check=True)
    return json.loads(report.read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate every quality of the bundled model.")
    parser.add_argument("--data", type=Path, required=True, help="the world's art")
    parser.add_argument("--out", type=Path, default=Path("work/qualities"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    system, rows = load(device="cpu"), []
    for quality in get_args(Quality):
        report = evaluated(quality, options)
        steps = resolved(system, TextToImage("a cat", quality=quality))["steps"]
        seconds, score = round(report["seconds_per_picture"], 2), round(report["overall"], 3)
        rows.append({"quality": quality, "steps": steps, "seconds": seconds, "score": score})
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
