"""A certificate authority of this server's own, and the certificate it issues to sign pictures with.

It proves that one server made two pictures, and that nobody has changed them since. Nobody else trusts it
until they are given `ca.pem`.
"""

import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from unclip.errors import RequestError
from unclip.imagefiles import write_whole
from unclip.provenance.identity import Identity, certificate_pem, key_pem

# No timestamp authority is asked, so a signature is good only for as long as its certificate: both last long.
CA_LASTS = timedelta(days=30 * 365)
SIGNING_LASTS = timedelta(days=10 * 365)
RENEWED_BEFORE = timedelta(days=30)


def local_identity(folder: Path) -> Identity:
    """Return the identity of the CA in a folder, and make what is missing there.

    Several processes may call at once. Each key is made once and stays. Certificates may be written twice,
    but they are of the same keys, so that either serves.

    Raises `RequestError` if the folder cannot be written or holds a file that is no key or certificate.
    """
    ca_key, key = _key(folder / "ca.key"), _key(folder / "signing.key")
    ca = _certificate(folder / "ca.pem")
    if ca is None or ca.public_key() != ca_key.public_key() or _ends_soon(ca):
        ca = _ca(ca_key)
        write_whole(folder / "ca.pem", certificate_pem(ca))
    signing = _certificate(folder / "signing.pem")
    if (
        signing is None
        or signing.public_key() != key.public_key()
        or _ends_soon(signing)
        or _foreign(signing, ca)
    ):
        signing = _signing(key.public_key(), ca, ca_key)
        write_whole(folder / "signing.pem", certificate_pem(signing))
    expires = signing.not_valid_after_utc.timestamp()
    return Identity(certificate_pem(signing), key_pem(key), "es256", expires, certificate_pem(ca))


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a key, which is made if there is none."""
    if not path.exists():
        _create(path, key_pem(ec.generate_private_key(ec.SECP256R1())))
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise RequestError(
            f"{path}: cannot be read as a key; restore it, or delete it for a new one"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise RequestError(f"{path}: not a P-256 key; restore it, or delete it for a new one")
    return key


def _create(path: Path, data: bytes) -> None:
    """Write a private file, whole or not at all, unless there is one by now."""
    partial = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(data)
        try:
            with suppress(FileExistsError):
                os.link(partial, path)  # unlike a rename, it replaces no key of a faster process
        finally:
            partial.unlink()
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def _certificate(path: Path) -> x509.Certificate | None:
    """Read a certificate, if there is one."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RequestError(f"{path}: cannot be read as a certificate; delete it for a new one") from error


def _ends_soon(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc < datetime.now(UTC) + RENEWED_BEFORE


def _foreign(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    """Whether another CA has issued a certificate."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, InvalidSignature):
        return True
    return False


def _ca(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name, public = _name("unclip local CA", key.public_key()), key.public_key()
    begun = _begin(name, name, public, datetime.now(UTC) + CA_LASTS)
    begun = begun.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return begun.add_extension(_usage(issues=True), critical=True).sign(key, SHA256())


def _signing(
    public: ec.EllipticCurvePublicKey, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    ends = min(datetime.now(UTC) + SIGNING_LASTS, ca.not_valid_after_utc)
    begun = _begin(_name("unclip server", public), ca.subject, public, ends)
    begun = begun.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    begun = begun.add_extension(_usage(issues=False), critical=True)
    # What C2PA asks of a certificate that signs: one of a few purposes, of which this is the plainest.
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return begun.add_extension(purpose, False).add_extension(issuer, False).sign(ca_key, SHA256())


def _begin(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, ends: datetime
) -> x509.CertificateBuilder:
    """Begin a certificate, valid from yesterday on: clocks differ."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(called: str, public: ec.EllipticCurvePublicKey) -> x509.Name:
    """Name a key by a part of its own hash: it tells servers apart, and nothing about them."""
    short = x509.SubjectKeyIdentifier.from_public_key(public).digest.hex()[:8]
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "a local unclip server"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{called} {short}"),
        ]
    )


def _usage(issues: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not issues,
        key_cert_sign=issues,
        crl_sign=issues,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
