"""Signing pictures, the last thing done to a file: a byte changed afterwards breaks the signature."""

import time
from io import BytesIO

from PIL import Image

from unclip.errors import DataError, RequestError
from unclip.provenance.content_credentials import (
    Refused,
    SigningKey,
    read_store,
    without_manifest,
)
from unclip.provenance.identity import Identity
from unclip.provenance.manifest import Manifest, Parent, definition, ingredients
from unclip.provenance.wording import problems_of

__all__ = ["Manifest", "Parent", "Signer"]


class Signer:
    """Signs pictures in the name of an identity. Threads may share it.

    Raises `RequestError` if the identity's certificate makes no valid signature.
    """

    def __init__(self, identity: Identity) -> None:
        self._expires = identity.expires
        try:
            self._key = SigningKey(identity)
            problems = _problems(self._key)
        except Refused as error:
            problems = (str(error),)
        if problems:
            why = " ".join("; ".join(problems).split())
            raise RequestError(f"the certificate cannot sign pictures ({why}); give another")

    def sign(self, data: bytes, mime: str, manifest: Manifest) -> bytes:
        """Return a PNG, JPEG or WebP with a signed manifest, in place of any it had; its other bytes stay.

        A parent whose own manifest is broken is named without it.

        Raises `DataError` if `data` is no picture of that type, and `RequestError` if the certificate has
        expired meanwhile.
        """
        if time.time() > self._expires:
            raise RequestError("the signing certificate has expired; restart with one that is valid")
        said, parents = definition(manifest, mime), ingredients(manifest)
        refused: Refused | None = None
        # What is broken in a parent's manifest may show only when it is signed: then all go without theirs.
        for carried in (parents, [without_manifest(parent) for parent in parents]):
            try:
                return self._key.sign(said, carried, data, mime)
            except Refused as error:
                refused = error
        why = " ".join(str(refused).split())
        raise DataError(f"not a whole picture of type {mime} ({why}); give a PNG, JPEG or WebP") from refused


def _problems(key: SigningKey) -> tuple[str, ...]:
    """Sign a picture of one pixel, and return what is wrong with that; not that nobody knows the CA."""
    pixel = BytesIO()
    Image.new("RGB", (1, 1)).save(pixel, "PNG")
    trial = Manifest("a trial", "trainedAlgorithmicMedia", "c2pa.created", "unclip", "none")
    store = read_store(key.sign(definition(trial, "image/png"), [], pixel.getvalue(), "image/png"), None)
    assert store is not None
    return problems_of(store["validation_results"])
