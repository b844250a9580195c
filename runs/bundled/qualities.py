"""Evaluate every quality of the bundled model with WorldEval's quick suite, for the model card.

    python runs/bundled/qualities.py --data DATA

Writes evaluation/qualities.json beside this file; the pictures, and reports that are kept, go to --out.
"""

import argparse
import json
from pathlib import Path
from typing import get_args

from quick import quick

from unclip.checkpoints.load import load
from unclip.pipelines.text_to_image import TextToImage, resolved
from unclip.system import Quality

RESULT = Path(__file__).parent / "evaluation" / "qualities.json"


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate every quality of the bundled model.")
    parser.add_argument("--data", type=Path, required=True, help="the world's art")
    parser.add_argument("--out", type=Path, default=Path("work/qualities"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    system, rows = load(device="cpu"), []
    for quality in get_args(Quality):
        report = quick(options.out / f"{quality}.json", options.data, "--quality", quality)
        steps = resolved(system, TextToImage("a cat", quality=quality))["steps"]
        seconds, score = round(report["seconds_per_picture"], 2), round(report["overall"], 3)
        rows.append({"quality": quality, "steps": steps, "seconds": seconds, "score": score})
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
