"""The gallery shows what its command draws, by the model that comes with the package."""

import re
from pathlib import Path

import pytest

from unclip.checkpoints.load import BUNDLED
from unclip.checkpoints.store import fingerprint, read_system_file
from unclip.cli.source import learned_world
from unclip.evaluation.suite import KINDS, suite
from unclip.imagefiles import read_metadata

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
CELL = re.compile(r'<img src="([^"]+)"[^>]*><br>([^<]+)<br>(?:<b>not</b> )?as asked</td>')
SHOWN = CELL.findall(PAGE.read_text("utf-8"))


def test_its_sentences_are_the_first_that_worldeval_asks() -> None:
    world, _ = learned_world(read_system_file(BUNDLED).card)
    asked = suite(world, len(SHOWN) // len(KINDS), unseen=False)
    assert [sentence for _, sentence in SHOWN] == [item.sentence for item in asked]


def test_it_shows_every_picture_that_lies_beside_it() -> None:
    beside = {path.relative_to(PAGE.parent).as_posix() for path in PAGE.with_suffix("").iterdir()}
    assert {file for file, _ in SHOWN} == beside


@pytest.mark.parametrize(("file", "sentence"), SHOWN, ids=[Path(file).stem for file, _ in SHOWN])
def test_every_picture_is_of_its_sentence_by_this_model(file: str, sentence: str) -> None:
    about = read_metadata(PAGE.parent / file)
    assert about["prompt"] == sentence
    assert about["model_hash"] == fingerprint(BUNDLED)
    assert f"--seed {about['seed']} " in PAGE.read_text("utf-8")
