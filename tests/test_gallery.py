"""The gallery shows the model that is in the package."""

import re
from pathlib import Path

from unclip.checkpoints.load import BUNDLED
from unclip.checkpoints.store import fingerprint
from unclip.imagefiles import read_metadata

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"


def test_every_picture_is_of_the_sentence_below_it_by_the_bundled_model() -> None:
    cells = re.findall(r'<td><img src="(\S+)"[^>]*><br>(.*?)<br>(.*?)</td>', PAGE.read_text("utf-8"))
    assert len(cells) == 42
    model = fingerprint(BUNDLED)
    for file, sentence, verdict in cells:
        about = read_metadata(PAGE.parent / file)
        assert (about["prompt"], about["model_hash"]) == (sentence, model)
        assert verdict in ("as asked", "**not** as asked")
    there = {f"gallery/{path.name}" for path in PAGE.with_suffix("").iterdir()}
    assert there == {file for file, _, _ in cells}
