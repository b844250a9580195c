"""An operator's own signing certificate: read from two files, and checked before a picture needs it."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from unclip.errors import RequestError
from unclip.provenance.identity import PURPOSES, Identity, algorithm_of, certificate_pem, key_pem


def given_identity(certificate: Path, key: Path) -> Identity:
    """Return the identity of a PEM chain, the signing certificate first, and its private key.

    The way of signing follows from the key: ES256, ES384, ES512, PS256 or Ed25519.

    Raises `RequestError` for files that cannot be read, a key of another certificate or of no use, a chain
    out of order, and a certificate that has expired or may not sign.
    """
    chain, private = _chain(certificate), _private_key(key)
    if chain[0].public_key() != private.public_key():
        raise RequestError(
            f"{key}: not the key of the first certificate in {certificate}; give the two that match"
        )
    _check_order(certificate, chain)
    _check_dates(certificate, chain[0])
    _check_purpose(certificate, chain[0])
    expires = chain[0].not_valid_after_utc.timestamp()
    return Identity(certificate_pem(*chain), key_pem(private), algorithm_of(private), expires, None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}); give a PEM file") from error


def _chain(path: Path) -> list[x509.Certificate]:
    data = _read(path)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise RequestError(f"{path}: holds no certificate; give a PEM file with the chain") from error


def _private_key(path: Path) -> PrivateKeyTypes:
    data = _read(path)
    try:
        return load_pem_private_key(data, None)
    except TypeError as error:
        raise RequestError(f"{path}: is encrypted; give a private key without a password") from error
    except Exception as error:  # UnsupportedAlgorithm, and whatever else a parser stumbles on
        raise RequestError(f"{path}: holds no private key; give a PEM file with one") from error


def _check_order(path: Path, chain: list[x509.Certificate]) -> None:
    for below, above in pairwise(chain):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature) as error:
            order = "the signing certificate first, and after each the one that issued it"
            raise RequestError(f"{path}: its certificates are no chain; put {order}") from error


def _check_dates(path: Path, certificate: x509.Certificate) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= datetime.now(UTC) <= ends:
        raise RequestError(
            f"{path}: valid from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}; give one that is valid today"
        )


def _check_purpose(path: Path, certificate: x509.Certificate) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        purposes = {purpose.dotted_string for purpose in usage}
    except x509.ExtensionNotFound:
        purposes = set[str]()
    if not purposes & PURPOSES.keys():
        raise RequestError(
            f"{path}: may not sign pictures; give a certificate whose extended key usage is one of "
            f"{', '.join(PURPOSES.values())}"
        )
