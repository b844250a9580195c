from pathlib import Path
from typing import Any

from PIL import Image


def test_preview_writes_a_sheet(unclip: Any, tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    outcome = unclip("world", "preview", "--count", 2, "--size", 32, "-o", file)
    assert (outcome.code, outcome.out) == (0, f"{file}\n")
    with Image.open(file) as image:
        assert image.width > 2 * 32


def test_preview_of_other_data_is_refused(refused: Any, tmp_path: Path) -> None:
    assert str(tmp_path) in refused("world", "preview", "--data", tmp_path)
