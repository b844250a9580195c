"""Links to pictures that open without a key and die: signed, with an end."""

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

from unclip.errors import RequestError

LIFE_SECONDS = 3600
SECRET_BYTES = 32


class Links:
    """Makes links under one secret, and tells whether one is good."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def path(self, picture: str) -> str:
        """Return the path and query of a picture's link, good for an hour."""
        end = int(time.time()) + LIFE_SECONDS
        return f"/v1/files-public/{picture}.png?exp={end}&sig={self._signature(picture, end)}"

    def is_good(self, picture: str, end: str, signature: str) -> bool:
        """Tell whether this server has made the link, and whether it still lives."""
        if not (end.isascii() and end.isdigit()) or len(end) > 12 or not signature.isascii():
            return False
        made = hmac.compare_digest(signature, self._signature(picture, int(end)))
        return made and time.time() < int(end)

    def _signature(self, picture: str, end: int) -> str:
        return hmac.new(self._secret, f"{picture} {end}".encode(), hashlib.sha256).hexdigest()


def read_secret(path: Path) -> bytes:
    """Read the secret of a home, or make one. Raises RequestError if it can be neither."""
    try:
        if not path.exists() or path.stat().st_size < SECRET_BYTES:  # a short one could be guessed
            partial = path.with_name(f".{secrets.token_hex(8)}.tmp")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(SECRET_BYTES))
            partial.replace(path)
        return path.read_bytes()
    except OSError as error:
        raise RequestError(
            f"{path}: cannot be read or written ({error.strerror}); choose another home"
        ) from error
