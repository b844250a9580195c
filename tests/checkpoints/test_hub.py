"""Pulling, against a hub on this machine that speaks the protocol of the real one (hub_endpoint.py)."""

import random
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.constants
import pytest
from filelock import FileLock

from unclip.checkpoints.hub import offered, pull
from unclip.checkpoints.pulled import all_pulled, home, pulled_folder, read_pulled, verify
from unclip.checkpoints.store import load_system
from unclip.errors import CheckpointError, RequestError

KARLO = "kakaobrain/karlo-v1-alpha"
PRIOR = "prior/diffusion_pytorch_model.safetensors"
TEXT_ENCODER = "text_encoder/model.safetensors"
REST = {
    "README.md",
    "model_index.json",
    "prior/config.json",
    "prior_scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
}
Files = dict[str, bytes]


def quiet(part: str, done: int, of: int) -> None:
    pass


def pull_karlo(revision: str | None = None) -> Path:
    return pull(offered(KARLO, revision), quiet)


def contents(folder: Path) -> Files:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def hub(local_hub: Any, karlo: Files) -> Iterator[Any]:
    """The hub on this machine, with Karlo."""
    local_hub.add(KARLO, karlo)
    yield local_hub
    assert not list(home().rglob("*.tmp"))


@pytest.fixture
def cache() -> Path:
    return Path(huggingface_hub.constants.HF_HUB_CACHE)


def test_a_model_comes_whole_and_nothing_else(hub: Any, karlo: Files, cache: Path) -> None:
    offer = offered(KARLO, None)
    assert hub.gets() == []
    assert offer.licence == "creativeml-openrail-m"
    assert offer.page == f"{hub.endpoint}/{KARLO}"
    folder = pull(offer, quiet)
    wanted = {PRIOR, TEXT_ENCODER, *REST}
    assert contents(folder) == {name: karlo[name] for name in wanted}
    assert sorted(hub.fetched()) == sorted(wanted), "each once"
    assert folder == cache / "models--kakaobrain--karlo-v1-alpha" / "snapshots" / offer.commit
    assert (folder.parents[1] / "refs" / "main").read_text() == offer.commit
    assert not list(cache.rglob("*.incomplete"))


def test_the_record_has_size_and_hash_of_every_file(hub: Any, karlo: Files) -> None:
    folder = pull_karlo()
    pulled = read_pulled(KARLO)
    assert pulled is not None
    assert pulled.complete
    assert pulled.licence == "creativeml-openrail-m"
    assert {name: (file.size, file.sha256) for name, file in pulled.files.items()} == {
        name: (len(karlo[name]), sha256(karlo[name]).hexdigest()) for name in pulled.files
    }
    assert pulled_folder("karlo") == folder
    verify(pulled, quiet)


def test_progress_counts_every_byte(hub: Any) -> None:
    said = list[tuple[str, int, int]]()
    offer = offered(KARLO, None)
    pull(offer, lambda *step: said.append(step))
    for part in ("download", "check"):
        steps = [(done, of) for name, done, of in said if name == part]
        assert steps == sorted(steps)
        assert steps[-1] == (offer.size, offer.size)


def test_what_is_here_is_not_fetched_again(hub: Any) -> None:
    folder = pull_karlo()
    hub.log.clear()
    offer = offered(KARLO, None)
    assert offer.size_here == offer.size
    assert pull(offer, quiet) == folder
    assert hub.gets() == []


def test_what_another_program_downloaded_is_not_fetched_again(hub: Any) -> None:
    huggingface_hub.snapshot_download(KARLO)
    hub.log.clear()
    pull_karlo()
    assert hub.gets() == []


def test_another_program_finds_what_was_pulled(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pull_karlo()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert huggingface_hub.hf_hub_download(KARLO, PRIOR) == str(folder / PRIOR)


def test_a_connection_that_breaks_is_made_anew(hub: Any, karlo: Files) -> None:
    hub.cut[PRIOR] = [1000, 20000, 0]
    folder = pull_karlo()
    starts = [asked.start for asked in hub.gets() if asked.path.endswith(PRIOR)]
    assert starts == [None, 1000, 21000, 21000]
    assert (folder / PRIOR).read_bytes() == karlo[PRIOR]


def test_a_pull_that_broke_off_goes_on_where_it_stopped(hub: Any, karlo: Files) -> None:
    hub.cut[TEXT_ENCODER] = [30000, *[0] * 5]
    with pytest.raises(RequestError, match=r"cannot be reached \(.*\): pull again to go on where it stopped"):
        pull_karlo()
    with pytest.raises(CheckpointError, match="karlo was not pulled to the end: run unclip model pull karlo"):
        pulled_folder("karlo")
    assert [pulled.complete for pulled in all_pulled()] == [False]
    assert PRIOR in hub.fetched()
    hub.log.clear()
    folder = pull_karlo()
    assert PRIOR not in hub.fetched()
    assert [asked.start for asked in hub.gets() if asked.path.endswith(TEXT_ENCODER)] == [30000]
    assert (folder / TEXT_ENCODER).read_bytes() == karlo[TEXT_ENCODER]
    assert pulled_folder("karlo") == folder


def test_a_hub_that_knows_no_ranges_is_asked_for_the_whole_again(hub: Any, karlo: Files) -> None:
    hub.deaf, hub.cut[PRIOR] = True, [30000]
    said = list[tuple[str, int, int]]()
    folder = pull(offered(KARLO, None), lambda *step: said.append(step))
    assert (folder / PRIOR).read_bytes() == karlo[PRIOR]
    assert [step for step in said if step[0] == "download"][-1][1:] == (read_size(), read_size())


def read_size() -> int:
    pulled = read_pulled(KARLO)
    assert pulled is not None
    return pulled.size


def test_a_hub_that_gives_too_little_is_not_asked_forever(hub: Any) -> None:
    hub.short.add(PRIOR)
    with pytest.raises(RequestError, match="has 65535 bytes, expected 65536"):
        pull_karlo()


@pytest.mark.parametrize("name", [PRIOR, "tokenizer/vocab.json"])
def test_a_wrong_hash_names_the_file_which_then_comes_anew(
    hub: Any, karlo: Files, cache: Path, name: str
) -> None:
    hub.wrong.add(name)
    wrong = f"{name} of karlo came with a wrong hash and is removed: run unclip model pull karlo again"
    with pytest.raises(CheckpointError, match=wrong):
        pull_karlo()
    assert bytes(len(karlo[name])) not in contents(cache).values()
    assert pulled_is_unfinished()
    hub.wrong.clear()
    hub.log.clear()
    assert (pull_karlo() / name).read_bytes() == karlo[name]
    assert [asked.start for asked in hub.gets() if asked.path.endswith(name)] == [None]


def pulled_is_unfinished() -> bool:
    pulled = read_pulled(KARLO)
    return pulled is not None and not pulled.complete


@pytest.mark.parametrize("name", [PRIOR, "tokenizer/vocab.json"])
def test_a_file_that_changed_in_the_cache_comes_anew(hub: Any, karlo: Files, name: str) -> None:
    folder = pull_karlo()
    changed = bytearray(karlo[name])
    changed[-1] ^= 1
    (folder / name).write_bytes(changed)
    hub.log.clear()
    pull_karlo()
    assert hub.fetched() == [name]
    assert (folder / name).read_bytes() == karlo[name]


def test_a_part_that_is_too_long_is_thrown_away(hub: Any, karlo: Files, cache: Path) -> None:
    blobs = cache / "models--kakaobrain--karlo-v1-alpha" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{sha256(karlo[PRIOR]).hexdigest()}.incomplete").write_bytes(bytes(1 << 17))
    assert (pull_karlo() / PRIOR).read_bytes() == karlo[PRIOR]


def test_a_new_commit_shares_what_did_not_change(hub: Any, karlo: Files) -> None:
    old = pull_karlo()
    hub.add(KARLO, karlo | {TEXT_ENCODER: random.Random(1).randbytes(1 << 16)})
    hub.log.clear()
    offer = offered(KARLO, None)
    assert offer.size_here == offer.size - (1 << 16)
    new = pull(offer, quiet)
    assert new != old
    assert hub.fetched() == [TEXT_ENCODER]
    assert pulled_folder("karlo") == new


def test_a_whole_model_serves_until_the_new_commit_is_here(hub: Any, karlo: Files) -> None:
    old = pull_karlo()
    hub.add(KARLO, karlo | {TEXT_ENCODER: random.Random(1).randbytes(1 << 16)})
    hub.cut[TEXT_ENCODER] = [0] * 9
    with pytest.raises(RequestError, match="cannot be reached"):
        pull_karlo()
    assert pulled_folder("karlo") == old


def test_a_revision_by_its_commit(hub: Any) -> None:
    commit = hub.repositories[KARLO].commit
    folder = pull_karlo(commit)
    assert folder.name == commit
    assert not (folder.parents[1] / "refs").exists()
    pulled = read_pulled(KARLO)
    assert pulled is not None
    assert pulled.remedy == f"unclip model pull karlo --revision {commit}"


def test_a_model_of_our_own(local_hub: Any, model_folder: Path) -> None:
    local_hub.add("me/mine", contents(model_folder))
    folder = pull(offered("me/mine", None), quiet)
    assert contents(folder) == contents(model_folder)
    assert load_system(folder).card.name == "tiny"
    assert pulled_folder("me/mine") == folder


def test_weights_that_are_there_as_bin_alone(local_hub: Any, karlo: Files) -> None:
    del karlo["text_encoder/model.safetensors"]
    local_hub.add(KARLO, karlo)
    assert (pull_karlo() / "text_encoder" / "pytorch_model.bin").read_bytes() == karlo[
        "text_encoder/pytorch_model.bin"
    ]


def test_a_disk_without_links(hub: Any, karlo: Files, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda *_: False)
    folder = pull_karlo()
    assert contents(folder) == {name: karlo[name] for name in (PRIOR, TEXT_ENCODER, *REST)}
    assert not list((folder.parents[1] / "blobs").iterdir()), "nothing is there twice"
    hub.log.clear()
    pull_karlo()
    assert hub.gets() == []


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        (
            {"config.json": b"{}", "model.safetensors": b"1"},
            "it has neither model_index.json nor system.json",
        ),
        ({"model_index.json": b"{}", "a/config.json": b"{}", "a/model.ckpt": b"1"}, "no weights .* in a$"),
    ],
)
def test_what_is_no_model_is_refused_before_anything_is_downloaded(
    local_hub: Any, files: Files, wrong: str
) -> None:
    local_hub.add("me/other", files)
    with pytest.raises(RequestError, match=f"^me/other .*{wrong}"):
        offered("me/other", None)
    assert local_hub.gets() == []


def test_a_model_that_the_hub_does_not_have(hub: Any) -> None:
    with pytest.raises(
        RequestError, match="shows you no model me/none: check the name, or run hf auth login"
    ):
        offered("me/none", None)


def test_a_revision_that_the_repository_does_not_have(hub: Any) -> None:
    with pytest.raises(RequestError, match=f"{KARLO} has no revision 'v9': {hub.endpoint}/{KARLO}/tree/main"):
        offered(KARLO, "v9")


def test_a_gated_model(local_hub: Any, karlo: Files) -> None:
    local_hub.add(KARLO, karlo, gated=True)
    with pytest.raises(RequestError, match=f"is gated: ask for access at .*/{KARLO}, then run hf auth login"):
        pull_karlo()


@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_with_troubles_of_its_own(hub: Any, status: int) -> None:
    hub.status = status
    with pytest.raises(RequestError, match=f"answers {status} for {KARLO}: try again later"):
        offered(KARLO, None)


@pytest.mark.parametrize(
    "answer",
    [b"<html>Log in to this network</html>", b'{"id": "a/b", "siblings": [{"rfilename": "system.json"}]}'],
)
def test_an_answer_that_is_not_the_hubs(hub: Any, answer: bytes) -> None:
    hub.answer = answer
    with pytest.raises(RequestError, match=f"does not answer for {KARLO} as the hub does"):
        offered(KARLO, None)


def test_no_network(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RequestError, match=r"http://127\.0\.0\.1:9 cannot be reached .*give --offline"):
        offered(KARLO, None)


def test_too_little_room_on_the_disk(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(
        CheckpointError, match=r"0\.00 GB are to come, and .* has room for .*: free some, or set HF_HOME"
    ):
        pull_karlo()
    assert hub.gets() == []


def test_a_commit_that_shares_its_files_needs_no_room(
    hub: Any, karlo: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull_karlo()
    hub.add(KARLO, karlo | {"tokenizer/vocab.json": b"{}"})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    pull_karlo()


def test_a_cache_that_cannot_be_written(hub: Any, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(
        CheckpointError, match=f"{cache} cannot take {KARLO}: .*: mend that, or set HF_HOME to another folder"
    ):
        pull_karlo()


def test_two_pulls_of_a_model_do_not_meet(hub: Any) -> None:
    pull_karlo()
    with (
        FileLock(home() / "models" / "kakaobrain--karlo-v1-alpha.lock"),
        pytest.raises(RequestError, match=f"another program is pulling {KARLO}: wait until it is done"),
    ):
        pull_karlo()
    pull_karlo()
