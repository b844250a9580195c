"""Draw the gallery, docs/gallery.md: WorldEval's first sentences of every kind, and what the judge says.

    python runs/bundled/gallery.py

Every picture comes from the command that the page shows.
"""

import shlex
import subprocess
import sys
from pathlib import Path

from unclip.checkpoints.load import BUNDLED
from unclip.checkpoints.store import read_system_file
from unclip.cli.source import learned_world
from unclip.evaluation.judges.store import load_judges
from unclip.evaluation.rules import is_right
from unclip.evaluation.suite import KINDS, Item, suite
from unclip.imagefiles import read_image
from unclip.images import from_pil

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "gallery.md"
PICTURES = PAGE.with_suffix("")
PER_KIND, SEED = 6, 7
HEAD = f"""# Gallery

The first {PER_KIND} sentences of every kind that [WorldEval](evaluate.md) asks, and one picture each by the
bundled model, as the command draws it. None is chosen, and so some are wrong; below each stands what
WorldEval's detector says. Written by `runs/bundled/gallery.py`; the requests are in the pictures' metadata.

```sh
unclip generate "SENTENCE" --seed {SEED} --out picture.webp
```
"""


def drawn(item: Item, file: Path) -> Path:
    command = [sys.executable, "-c", "from unclip.cli import main; main()", "generate", item.sentence]
    command += ["--seed", str(SEED), "--out", str(file)]
    print(shlex.join(command[2:]), flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return file


def verdict(right: bool) -> str:
    return "as asked" if right else "<b>not</b> as asked"


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*.webp"):
        old.unlink()
    detector = load_judges().detector
    world, _ = learned_world(read_system_file(BUNDLED).card)
    items, lines = list(suite(world, PER_KIND, unseen=False)), [HEAD]
    for place, kind in enumerate(KINDS):
        lines += [f"## {kind.replace('_', ' ').capitalize()}", ""]
        rows = items[place * PER_KIND : (place + 1) * PER_KIND]
        cells = []
        for k, item in enumerate(rows):
            file = drawn(item, PICTURES / f"{kind}-{k}.webp")
            (sight,) = detector.see(from_pil([read_image(file)]))
            right = all(is_right(wanted, sight) for wanted in item.wanted.values())
            image = f'<img src="{PICTURES.name}/{file.name}" width="180" alt="">'
            cells.append(f"<td>{image}<br>{item.sentence}<br>{verdict(right)}</td>")
        half = PER_KIND // 2
        table = ["<tr>", *cells[:half], "</tr><tr>", *cells[half:], "</tr>"]
        lines += ["<table>", *table, "</table>", ""]
    PAGE.write_text("\n".join(lines).rstrip() + "\n", "utf-8")


if __name__ == "__main__":
    main()
