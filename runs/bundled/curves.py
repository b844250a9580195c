"""Plot the logs beside this file, one panel a run: python runs/bundled/curves.py"""

import json
from pathlib import Path

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
SHOWN = {  # what each stage is judged by, beside its loss
    "clip": ("accuracy",),
    "prior": ("cosine", "cosine_shuffled"),
    "decoder": ("text_gap", "image_gap"),
    "upsampler": ("psnr", "psnr_bicubic"),
    "distilled": ("psnr", "psnr_unguided"),
}


def main() -> None:
    logs = sorted((HERE / "logs").glob("*.metrics.jsonl"))
    figure, panels = plt.subplots(2, len(logs), figsize=(3.4 * len(logs), 5.2), squeeze=False)
    for (above, below), log in zip(panels.T, logs, strict=True):
        lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        run = log.name.split(".")[0]
        images = [line["images"] / 1000 for line in lines]
        above.plot(images, [line["loss"] for line in lines])
        above.set(title=run, yscale="log")
        measures = next(names for stage, names in SHOWN.items() if stage in run)
        for name in measures:
            below.plot(images, [line.get(name) for line in lines], label=name)
        below.legend()
        below.set_xlabel("thousand images")
    panels[0, 0].set_ylabel("loss")
    figure.tight_layout()
    figure.savefig(HERE / "curves.svg")


if __name__ == "__main__":
    main()
