"""The store of pictures, in a folder and in memory."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec
import pytest
from sample_records import a_digest

from unclip.errors import RequestError
from unclip.records.store import Store


@pytest.fixture(params=["folder", "file URL", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield f"memory://{secrets.token_hex(8)}"
        fsspec.filesystem("memory").store.clear()
    else:
        folder = tmp_path / "of all" / "pictures [1]"
        yield str(folder) if request.param == "folder" else f"file://{folder}"


@pytest.fixture
def store(url: str) -> Store:
    return Store(url)


def files(url: str) -> list[str]:
    """The names of all files in a store."""
    system, root = fsspec.core.url_to_fs(url)
    return [path[len(root) + 1 :] for path in system.find(root)]


def test_what_was_put_is_found_by_its_digest(store: Store, url: str) -> None:
    digest = store.put(b"a picture")
    assert digest == sha256(b"a picture").hexdigest()
    assert files(url) == [f"{digest[:2]}/{digest[2:4]}/{digest}"]
    assert store.has(digest)
    assert store.get(digest) == Store(url).get(digest) == b"a picture"
    assert store.get(store.put(b"")) == b""


def test_the_same_bytes_are_stored_once(store: Store, url: str) -> None:
    assert store.put(b"a picture") == store.put(b"a picture")
    assert len(files(url)) == 1


def test_what_is_deleted_is_gone(store: Store) -> None:
    digest = store.put(b"a picture")
    store.delete(digest)
    assert not store.has(digest)
    with pytest.raises(RequestError, match=f"picture {digest} is not in the store"):
        store.get(digest)
    store.delete(digest)
    assert store.get(store.put(b"a picture")) == b"a picture"


def test_bytes_that_have_changed(store: Store, url: str) -> None:
    digest = store.put(b"a picture")
    system, root = fsspec.core.url_to_fs(url)
    system.pipe_file(f"{root}/{files(url)[0]}", b"A picture")
    with pytest.raises(RequestError, match=f"picture {digest} has changed in the store"):
        store.get(digest)


def test_a_torn_file_is_put_again(store: Store, url: str) -> None:
    digest = store.put(b"a picture")
    system, root = fsspec.core.url_to_fs(url)
    system.pipe_file(f"{root}/{files(url)[0]}", b"")
    store.put(b"a picture")
    assert store.get(digest) == b"a picture"


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "/" * 64]
)
def test_what_is_no_digest_reaches_no_path(store: Store, name: str) -> None:
    for method in (store.get, store.has, store.delete):
        with pytest.raises(RequestError, match="is no digest: 64 hexadecimal digits are"):
            method(name)


def test_threads_put_and_get_side_by_side(store: Store, url: str) -> None:
    contents = [f"picture {k % 5}".encode() * 1000 for k in range(40)]
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(store.put, contents))
        assert list(pool.map(store.get, digests)) == contents
    assert len(files(url)) == 5


@pytest.mark.parametrize("step", ["pipe_file", "mv"])
def test_what_cannot_be_written_leaves_nothing(
    store: Store, url: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, _ = fsspec.core.url_to_fs(url)
    whole = type(system).pipe_file

    def fail(self: Any, path: str, *arguments: Any, **options: Any) -> None:
        if step == "pipe_file":
            whole(self, path, b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(system), step, fail)
    with pytest.raises(OSError, match="No space left"):
        store.put(b"a picture")
    assert files(url) == []
    assert not store.has(sha256(b"a picture").hexdigest())


def test_places_where_nothing_can_be_stored(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    remedy = "give a folder, or an URL that fsspec knows"
    for place in (tmp_path / "file" / "pictures", "/proc/pictures"):
        with pytest.raises(RequestError, match=rf"^pictures cannot be stored in {place} \(.*\): {remedy}$"):
            Store(str(place))
    with pytest.raises(RequestError, match=r"stored in nowhere://x \(.*nowhere.*\): give a folder"):
        Store("nowhere://x")
    with pytest.raises(RequestError) as refused:
        Store("nowhere://me:secret@host/x")
    assert "secret" not in str(refused.value)


def test_a_digest_of_another_store_is_not_here(store: Store) -> None:
    assert not store.has(a_digest("elsewhere"))
