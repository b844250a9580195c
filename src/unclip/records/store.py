"""The pictures' bytes, by their SHA-256: in a local folder, or wherever fsspec can write."""

import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from threading import Lock
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from unclip.errors import RequestError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTIAL = re.compile(r"[0-9a-f]{16}\.tmp")


class Store:
    """Bytes that are found by their digest. Threads may share the object.

    Who stores bytes and then a row that needs them, or deletes both, holds `changing` meanwhile: the same
    bytes may come again while they are deleted.
    """

    def __init__(self, url: str) -> None:
        """Open a store: a folder's path, made if it is not there, or an URL that fsspec knows.

        Raises RequestError for a place that cannot be opened.
        """
        try:
            files, root = url_to_fs(url)
            files.makedirs(root, exist_ok=True)
        except (OSError, ValueError, ImportError) as error:
            place = re.sub(r"//[^/]*@", "//***@", url)  # without a password
            raise RequestError(
                f"pictures cannot be stored in {place} ({error}): give a folder, or an URL that fsspec knows"
            ) from error
        self.changing = Lock()
        self._files: Any = files
        self._root = root.rstrip("/")

    def put(self, data: bytes) -> str:
        """Store bytes, whole or not at all, and return their digest. Raises OSError if that fails."""
        digest = sha256(data).hexdigest()
        path = self._path(digest)
        if self._size(path) != len(data):  # nothing, or what a power failure left
            partial = f"{self._root}/{secrets.token_hex(8)}.tmp"
            try:
                self._files.pipe_file(partial, data)
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._files.mv(partial, path)
            except BaseException:
                self._remove(partial)
                raise
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes of a digest. Raises RequestError if they are not there, or have changed."""
        try:
            data: bytes = self._files.cat_file(self._path(digest))
        except FileNotFoundError:
            raise RequestError(f"picture {digest} is not in the store: it was deleted from outside") from None
        if sha256(data).hexdigest() != digest:
            raise RequestError(f"picture {digest} has changed in the store: put it back from a backup")
        return data

    def has(self, digest: str) -> bool:
        """Say whether the bytes of a digest are there."""
        return self._size(self._path(digest)) is not None

    def delete(self, digest: str) -> None:
        """Delete the bytes of a digest, if they are there."""
        self._remove(self._path(digest))

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine, which is quickly looked through."""
        return isinstance(self._files, LocalFileSystem)

    def digests(self) -> Iterator[str]:
        """Give the digest of all that is there."""
        for _, _, names in self._files.walk(self._root):
            yield from filter(_DIGEST.fullmatch, names)

    def delete_partial(self) -> None:
        """Delete what was left half stored when a server ended; nothing may be stored meanwhile."""
        for path in self._files.ls(self._root, detail=False):
            if _PARTIAL.fullmatch(path.rpartition("/")[2]):
                self._remove(path)

    def _size(self, path: str) -> int | None:
        try:
            return self._files.info(path)["size"]
        except FileNotFoundError:
            return None

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._files.rm_file(path)

    def _path(self, digest: str) -> str:
        if not _DIGEST.fullmatch(digest):
            raise RequestError(f"{digest[:70]!r} is no digest: 64 hexadecimal digits are")
        return f"{self._root}/{digest[:2]}/{digest[2:4]}/{digest}"
