"""Put pictures into the model card: some that the judges call wrong, and those most like training.

    python runs/bundled/card_pictures.py wrong FOLDER          # the folder of `unclip evaluate`
    python runs/bundled/card_pictures.py memorisation FOLDER   # the folder of `unclip memorisation`

They go to docs/model-card/, the sentences of the wrong ones to evaluation/wrong.json; then run card.py.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from unclip.checkpoints.load import BUNDLED
from unclip.checkpoints.store import read_system_file
from unclip.cli.source import learned_world
from unclip.evaluation.draw import ABOUT, picture_file
from unclip.evaluation.evaluate import SUITES, sentences
from unclip.evaluation.judges.detector import Detector
from unclip.evaluation.judges.store import load_judges
from unclip.evaluation.rules import is_right
from unclip.evaluation.shown import drawn
from unclip.evaluation.suite import TASKS, Item
from unclip.imagefiles import read_image, save
from unclip.images import grid

HERE = Path(__file__).parent
PICTURES = HERE.parents[1] / "docs" / "model-card"
WRONG = HERE / "evaluation" / "wrong.json"
SHOWN, SIDE = 6, 128  # pictures of a task; pixels a side
SHEETS = ("worst-pixels.png", "worst-features.png", "distances.svg")


def wrong(items: Sequence[Item], detector: Detector, folder: Path, task: str) -> list[int]:
    """Return the first sentences of a task, of combinations that training shows, drawn wrong at first."""
    found: list[int] = []
    for index, item in enumerate(items):
        if task not in item.wanted or item.unseen or len(found) == SHOWN:
            continue
        (sight,) = detector.see(drawn(folder, 1)(index))
        if not is_right(item.wanted[task], sight):
            found.append(index)
    return found


def keep_wrong(options: argparse.Namespace) -> None:
    world, _ = learned_world(read_system_file(BUNDLED).card)
    about = json.loads((options.folder / ABOUT).read_text("utf-8"))
    items, detector = sentences(SUITES[about["suite"]], world), load_judges().detector
    for old in PICTURES.glob("wrong-*.png"):
        old.unlink()
    rows = []
    for task in TASKS:
        if chosen := wrong(items, detector, options.folder, task):
            images = [read_image(picture_file(options.folder, index, 0)) for index in chosen]
            file = PICTURES / f"wrong-{task.replace('_', '-')}.png"
            save(
                grid([image.resize((SIDE, SIDE)) for image in images], SHOWN), file, {"model": about["model"]}
            )
            said = [items[index].sentence for index in chosen]
            rows.append({"task": task, "file": file.name, "sentences": said})
    WRONG.parent.mkdir(exist_ok=True)
    WRONG.write_text(json.dumps(rows, indent=1), "utf-8")


def keep_sheets(options: argparse.Namespace) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in SHEETS:
        shutil.copyfile(options.folder / name, PICTURES / name)


def main() -> None:
    parser = argparse.ArgumentParser(description="Put pictures into the model card.")
    commands = parser.add_subparsers(required=True)
    judged = commands.add_parser("wrong", help="pictures that the judges call wrong")
    judged.set_defaults(run=keep_wrong)
    searched = commands.add_parser("memorisation", help="those most like training")
    searched.set_defaults(run=keep_sheets)
    for command in (judged, searched):
        command.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
