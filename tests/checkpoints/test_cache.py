"""The Hugging Face cache with no network: after each test the hub was asked for nothing."""

import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from unclip.checkpoints.cache import adopt, cached, library, licence_of, remove
from unclip.checkpoints.hub import offered, pull
from unclip.checkpoints.pulled import Pulled, find_pulled, forget, pulled_folder, read_pulled
from unclip.errors import CheckpointError, RequestError

KARLO = "kakaobrain/karlo-v1-alpha"
PRIOR = "prior/diffusion_pytorch_model.safetensors"
Files = dict[str, bytes]


def quiet(part: str, done: int, of: int) -> None:
    pass


@pytest.fixture
def filled(local_hub: Any, karlo: Files) -> Iterator[Path]:
    """The folder of a Karlo that another program downloaded, both formats of its weights and all."""
    local_hub.add(KARLO, karlo)
    folder = Path(huggingface_hub.snapshot_download(KARLO))
    local_hub.log.clear()
    yield folder
    assert local_hub.log == []


@pytest.fixture
def pulled(local_hub: Any, karlo: Files) -> Pulled:
    """A Karlo that was pulled."""
    local_hub.add(KARLO, karlo)
    pull(offered(KARLO, None), quiet)
    return find_pulled("karlo")


def drop(folder: Path, name: str) -> None:
    (folder / name).unlink()


def test_a_model_of_another_program_is_adopted(filled: Path, karlo: Files) -> None:
    offer = cached(KARLO, None)
    assert offer.licence == "creativeml-openrail-m"
    assert adopt(offer, quiet) == filled
    pulled = find_pulled("karlo")
    assert pulled.commit == filled.name
    assert pulled.files[PRIOR].sha256 == sha256(karlo[PRIOR]).hexdigest()
    assert not [name for name in pulled.files if name.endswith(".bin") or "fp16" in name]
    assert pulled_folder("karlo") == filled


@pytest.mark.parametrize("card", [None, b"# Karlo", b"---\nlicense: [\n---\n", b"---\n- 1\n---\n", b"\xff"])
def test_without_a_card_that_names_it_the_licence_is_unknown(
    filled: Path, local_hub: Any, card: bytes | None
) -> None:
    drop(filled, "README.md")
    if card is not None:
        (filled / "README.md").write_bytes(card)
    offer = cached(KARLO, None)
    assert (offer.licence, offer.page) == ("unknown", f"{local_hub.endpoint}/{KARLO}")
    adopt(offer, quiet)
    assert find_pulled("karlo").licence == "unknown"


def test_by_the_name_of_a_revision_and_by_its_commit(filled: Path) -> None:
    assert cached(KARLO, "main").folder == cached(KARLO, filled.name).folder == filled
    with pytest.raises(
        RequestError, match=r"karlo at v9 is not in .*: run unclip model pull karlo --revision v9 online"
    ):
        cached(KARLO, "v9")


def test_a_model_that_is_not_here(local_hub: Any) -> None:
    with pytest.raises(RequestError, match=r"karlo is not in .*cache: run unclip model pull karlo online$"):
        cached(KARLO, None)
    assert local_hub.log == []


def test_a_model_that_is_not_whole(filled: Path) -> None:
    drop(filled, PRIOR)
    drop(filled, PRIOR.replace("safetensors", "bin"))
    for name in ("tokenizer/merges.txt", "tokenizer/vocab.json"):
        drop(filled, name)
    with pytest.raises(
        CheckpointError, match=r"karlo lacks tokenizer, prior's weights in .*: run unclip .* online"
    ):
        cached(KARLO, None)
    assert read_pulled(KARLO) is None


@pytest.mark.parametrize("name", [PRIOR, "tokenizer/vocab.json"])
def test_a_file_that_is_not_what_the_cache_calls_it(filled: Path, name: str) -> None:
    (filled / name).write_bytes(b"x" + (filled / name).read_bytes()[1:])
    with pytest.raises(
        CheckpointError, match=rf"karlo has changed {name} in .*: run unclip model pull karlo online"
    ):
        adopt(cached(KARLO, None), quiet)
    assert (filled / name).exists(), "what cannot be had again is not removed"
    assert read_pulled(KARLO) is None


def test_files_that_are_no_links_are_taken_as_they_are(filled: Path) -> None:
    content = (filled / PRIOR).read_bytes()
    drop(filled, PRIOR)
    (filled / PRIOR).write_bytes(b"x" + content[1:])
    assert adopt(cached(KARLO, None), quiet) == filled


def test_the_record_is_believed_where_the_cache_moved(
    pulled: Pulled, local_hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_hub.log.clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert adopt(cached(KARLO, None), quiet) == Path(pulled.folder)
    (Path(pulled.folder) / "tokenizer" / "vocab.json").write_bytes(b'{"?": 0}')
    with pytest.raises(CheckpointError, match=r"karlo has changed tokenizer/vocab\.json"):
        adopt(cached(KARLO, None), quiet)
    drop(Path(pulled.folder), PRIOR)
    with pytest.raises(CheckpointError, match=f"karlo lacks {PRIOR}"):
        cached(KARLO, None)
    assert local_hub.log == []


def test_removing_the_only_revision_leaves_nothing(pulled: Pulled) -> None:
    assert remove(pulled) == pulled.size
    assert not Path(pulled.folder).parents[1].exists()
    forget(pulled)
    assert pulled_folder("karlo") is None


def test_removing_a_revision_leaves_what_others_share(local_hub: Any, karlo: Files, pulled: Pulled) -> None:
    local_hub.add(KARLO, karlo | {"tokenizer/vocab.json": b"{}"})
    pull(offered(KARLO, None), quiet)
    assert remove(pulled) == len(karlo["tokenizer/vocab.json"])
    assert not Path(pulled.folder).exists()
    assert pulled_folder("karlo") is not None


def test_removing_leaves_a_copy_of_the_repository(local_hub: Any, karlo: Files, pulled: Pulled) -> None:
    local_hub.add("me/copy", karlo)
    copy = pull(offered("me/copy", None), quiet)
    assert copy.name == pulled.commit
    remove(pulled)
    assert not Path(pulled.folder).exists()
    assert pulled_folder("me/copy") == copy


def test_removing_what_broke_off(local_hub: Any, karlo: Files) -> None:
    local_hub.add(KARLO, karlo)
    local_hub.cut[PRIOR] = [30000, *[0] * 5]
    with pytest.raises(RequestError):
        pull(offered(KARLO, None), quiet)
    before = len(karlo["README.md"]) + len(karlo["model_index.json"]) + len(karlo["prior/config.json"])
    assert remove(find_pulled("karlo")) == 30000 + before
    assert not list(Path(huggingface_hub.constants.HF_HUB_CACHE).rglob("*.incomplete"))


def test_removing_what_is_gone(pulled: Pulled, tmp_path: Path) -> None:
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    assert remove(pulled) == 0


def test_parts_that_cannot_be_deleted(pulled: Pulled, karlo: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    digest = sha256(karlo[PRIOR]).hexdigest()
    (Path(pulled.folder).parents[1] / "blobs" / f"{digest}.incomplete").write_bytes(b"x")
    monkeypatch.setattr(Path, "unlink", refuse)
    for delete in (remove, forget):
        with pytest.raises(CheckpointError, match=r"cannot be deleted: Permission denied$"):
            delete(pulled)


def test_a_model_that_cannot_be_deleted(pulled: Pulled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: None)
    with pytest.raises(CheckpointError, match=r"snapshots/\w+ cannot be deleted: see who may write there"):
        remove(pulled)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(RequestError, match=r"needs huggingface_hub: pip install 'unclip\[hub\]'"):
        library()


def test_with_an_old_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "__version__", "0.36.2")
    with pytest.raises(
        RequestError, match=r"is 0\.36\.2, expected 1\.0 or newer: pip install 'unclip\[hub\]'"
    ):
        library()


@pytest.mark.parametrize(
    ("card", "licence", "page"),
    [
        ({"license": "mit"}, "mit", "the repository's"),
        ({}, "unknown", "the repository's"),
        ({"license": ["mit", "apache-2.0"]}, "mit, apache-2.0", "the repository's"),
        (
            {"license": "other", "license_name": "mine", "license_link": "https://a.b/c"},
            "mine",
            "https://a.b/c",
        ),
        ({"license": "other", "license_name": "mine", "license_link": "LICENSE"}, "mine", "the repository's"),
    ],
)
def test_licences(local_hub: Any, card: dict[str, Any], licence: str, page: str) -> None:
    expected = f"{local_hub.endpoint}/me/mine" if page == "the repository's" else page
    assert licence_of("me/mine", card) == (licence, expected)
