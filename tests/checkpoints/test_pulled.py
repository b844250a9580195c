import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from unclip.checkpoints.pulled import (
    Accepted,
    Pulled,
    PulledFile,
    all_pulled,
    find_pulled,
    forget,
    pulled_folder,
    read_accepted,
    read_pulled,
    repository_of,
    verify,
    write_accepted,
    write_pulled,
)
from unclip.errors import CheckpointError, RequestError

KARLO = "kakaobrain/karlo-v1-alpha"
FILES = {
    "model_index.json": b"{}",
    "prior/config.json": b'{"a": 1}',
    "prior/model.bin": b"weights",
    "a.txt": b"",
}


def quiet(part: str, done: int, of: int) -> None:
    pass


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("UNCLIP_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.fixture
def karlo(tmp_path: Path) -> Pulled:
    """A pulled model on the record."""
    folder = tmp_path / "snapshot"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    files = {name: PulledFile(len(content), sha256(content).hexdigest()) for name, content in FILES.items()}
    pulled = Pulled(KARLO, None, "c" * 40, "mit", str(folder), files, True)
    write_pulled(pulled)
    return pulled


def test_nothing_is_pulled_at_first(home: Path) -> None:
    assert pulled_folder("karlo") is None
    assert all_pulled() == []
    assert read_accepted(KARLO) is None
    assert not home.exists()
    with pytest.raises(RequestError, match=r"karlo is not pulled: run unclip model pull karlo$"):
        find_pulled("karlo")


def test_a_pulled_model_is_found_by_both_names(karlo: Pulled) -> None:
    assert pulled_folder("karlo") == pulled_folder(KARLO) == Path(karlo.folder)
    assert find_pulled("karlo") == karlo == find_pulled(KARLO)
    assert all_pulled() == [karlo]
    assert karlo.name == "karlo"
    assert karlo.size == 17
    verify(karlo, quiet)
    forget(karlo)
    assert pulled_folder("karlo") is None


@pytest.mark.parametrize(
    "path", ["model", "/a/b", "./a/b", "a/b/c", "../a", "a/..", "", ".", "a\\b", "C:\\a/b"]
)
def test_a_path_is_no_pulled_model(karlo: Pulled, path: str) -> None:
    assert pulled_folder(path) is None


def test_each_repository_has_a_record_of_its_own(karlo: Pulled) -> None:
    other = replace(karlo, repository="me/mine", revision="v1")
    write_pulled(other)
    assert all_pulled() == [karlo, other]
    assert pulled_folder("me/mine") is not None
    assert other.name == "me/mine"
    assert other.remedy == "unclip model pull me/mine --revision v1"


def test_a_file_that_is_gone_or_cut_is_named_with_the_remedy(karlo: Pulled) -> None:
    Path(karlo.folder, "prior/config.json").unlink()
    Path(karlo.folder, "prior/model.bin").write_bytes(b"weigh")
    assert not karlo.complete
    wrong = r"karlo lacks prior/config\.json, prior/model\.bin in .*snapshot: run unclip model pull karlo$"
    with pytest.raises(CheckpointError, match=wrong):
        pulled_folder("karlo")


def test_a_folder_that_is_gone(karlo: Pulled) -> None:
    Path(karlo.folder).rename(Path(karlo.folder).with_name("elsewhere"))
    with pytest.raises(
        CheckpointError, match=r"karlo lacks model_index\.json.* and 1 more in .*: run unclip"
    ):
        pulled_folder("karlo")
    with pytest.raises(CheckpointError, match="missing: "):
        verify(karlo, quiet)


def test_a_model_that_was_not_pulled_to_the_end(karlo: Pulled) -> None:
    begun = replace(karlo, checked=False)
    write_pulled(begun)
    assert not begun.complete
    for look in (lambda: pulled_folder("karlo"), lambda: verify(begun, quiet)):
        with pytest.raises(
            CheckpointError, match=r"karlo was not pulled to the end: run unclip model pull karlo$"
        ):
            look()


def test_a_changed_byte_is_found_and_every_byte_counted(karlo: Pulled) -> None:
    Path(karlo.folder, "prior/model.bin").write_bytes(b"weighty")
    said = list[tuple[str, int, int]]()
    with pytest.raises(CheckpointError, match=r"\(changed: prior/model\.bin\): run unclip model pull karlo$"):
        verify(karlo, lambda *step: said.append(step))
    assert said[-1] == ("check", 17, 17)
    assert pulled_folder("karlo") == Path(karlo.folder), (
        "a hash is not computed each time that a model is read"
    )


def test_what_was_accepted_outlives_the_model(karlo: Pulled) -> None:
    accepted = Accepted(KARLO, "mit", karlo.commit, "2026-01-31")
    write_accepted(accepted)
    forget(karlo)
    assert read_accepted(KARLO) == accepted


@pytest.mark.parametrize("text", ["", "{", "[]", '{"repository": 1}', '{"colour": "red"}'])
def test_a_record_that_cannot_be_read_is_named(karlo: Pulled, home: Path, text: str) -> None:
    (file,) = (home / "models").glob("*.json")
    file.write_text(text)
    for look in (lambda: pulled_folder("karlo"), all_pulled):
        with pytest.raises(
            CheckpointError, match=f"{file.name}.*: delete that file, and pull the model again"
        ):
            look()


def test_a_record_that_cannot_be_written(
    karlo: Pulled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNCLIP_HOME", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match=r"cannot be written: .*set UNCLIP_HOME to another folder"):
        write_pulled(karlo)


def test_names_that_are_known() -> None:
    assert repository_of("karlo") == KARLO == repository_of(KARLO)
    assert repository_of("me/my.model_2-x") == "me/my.model_2-x"
    assert read_pulled("me/my.model_2-x") is None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("carlo", "give karlo, or OWNER/REPOSITORY"),
        ("Karlo-Image-Variation", "give karlo-image-variations, or OWNER"),
        ("stable", "give karlo or karlo-image-variations, or OWNER/REPOSITORY"),
        ("https://huggingface.co/a/b", "or OWNER/REPOSITORY"),
        ("a--b/c", "or OWNER/REPOSITORY"),
        ("../b", "or OWNER/REPOSITORY"),
        ("", "no model '' is known"),
        ("bundled", "bundled comes with the package"),
    ],
)
def test_a_name_that_is_not_known_is_refused_with_the_nearest(name: str, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        repository_of(name)


def test_finding_a_model_needs_neither_torch_nor_the_library() -> None:
    program = (
        "import sys; from unclip.checkpoints.pulled import pulled_folder; pulled_folder('karlo');"
        "assert not {'torch', 'huggingface_hub', 'socket'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
