from pathlib import Path

import pytest

from unclip.checkpoints.folders import check_free, new_folder
from unclip.errors import CheckpointError, RequestError


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    with new_folder(tmp_path / "deep" / "out") as folder:
        (folder / "file").write_text("whole")
        assert not (tmp_path / "deep" / "out").exists()
    assert (tmp_path / "deep" / "out" / "file").read_text() == "whole"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_an_empty_folder_is_filled_and_stays_the_one_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    check_free(Path())
    with new_folder(Path()) as folder:
        (folder / "file").touch()
        assert not list(here.iterdir())
    assert [path.name for path in Path().iterdir()] == ["file"]
    assert list(tmp_path.iterdir()) == [here]


def test_what_is_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(RequestError, match="is there already: choose another folder"):
            check_free(taken)
    check_free(tmp_path / "none")


def test_what_went_wrong_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnicodeError), new_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("\N{LATIN SMALL LETTER E WITH ACUTE}", encoding="ascii")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    with (
        pytest.raises(CheckpointError, match=rf"{out} cannot be written \(.*\): free space"),
        new_folder(out),
    ):
        pass


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"No space left"), new_folder(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())
