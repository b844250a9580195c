"""Who signs: a key, and the certificates that speak for it."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from unclip.errors import RequestError

Algorithm: TypeAlias = Literal["es256", "es384", "es512", "ps256", "ed25519"]

# The extended key usages of certificates that may sign C2PA manifests.
PURPOSES = {
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.36": "documentSigning",
    "1.3.6.1.4.1.62558.2.1": "C2PA claim signing",
    "1.3.6.1.4.1.311.76.59.1.9": "Microsoft C2PA signing",
}

_CURVES: dict[str, Algorithm] = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Identity:
    """What a signature needs."""

    chain: bytes  # PEM: the signing certificate, then those between it and the root
    key: bytes = field(repr=False)  # PEM, PKCS #8, not encrypted
    algorithm: Algorithm
    expires: float  # unix seconds: the signing certificate, and with it every signature, is valid until then
    anchor: bytes | None  # PEM of the local CA, for those who want to trust it; None: the operator's own


def algorithm_of(key: PrivateKeyTypes) -> Algorithm:
    """Return how a key signs. Raises `RequestError` for a key that C2PA does not allow."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise RequestError(
        "this kind of key cannot sign pictures; give EC P-256, P-384, RSA of 2048 bits, or Ed25519"
    )


def certificate_pem(*certificates: x509.Certificate) -> bytes:
    """Return certificates as PEM."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def key_pem(key: PrivateKeyTypes) -> bytes:
    """Return a private key as PEM, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
