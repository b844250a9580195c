"""The certificates a server signs with: its own local CA's, or the operator's."""

from pathlib import Path

from unclip.errors import RequestError
from unclip.provenance.given_certificate import given_identity
from unclip.provenance.identity import Identity
from unclip.provenance.local_ca import local_identity


def signing_identity(folder: Path, certificate: Path | None = None, key: Path | None = None) -> Identity:
    """Return the identity to sign with: of the two PEM files, or of a local CA in `folder`.

    The local CA is made at the first call; its signing certificate is renewed when it is about to expire.

    Raises `RequestError` for files that cannot be read or do not fit, or if only one of the two is given.
    """
    if certificate is None and key is None:
        return local_identity(folder)
    if certificate is None or key is None:
        alone = (
            f"{certificate}: a certificate without its key"
            if certificate
            else f"{key}: a key without its certificate"
        )
        raise RequestError(f"{alone}; give the certificate and its private key, or neither")
    return given_identity(certificate, key)
