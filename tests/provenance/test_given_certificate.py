from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from unclip.errors import RequestError
from unclip.provenance.given_certificate import given_identity
from unclip.provenance.identity import PURPOSES, certificate_pem, key_pem
from unclip.provenance.reading import read
from unclip.provenance.signing import Manifest, Signer

ROOT_KEY = ec.generate_private_key(ec.SECP256R1())
KEYS: dict[str, Callable[[], Any]] = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
MAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION


def name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ACME"),
        ]
    )


def issue(
    key: Any,
    common: str = "ACME pictures",
    issuer: str = "ACME root",
    by: Any = ROOT_KEY,
    purposes: tuple[x509.ObjectIdentifier, ...] = (MAIL,),
    days: tuple[int, int] = (-1, 90),
    ca: bool = False,
) -> x509.Certificate:
    now, usage = datetime.now(UTC), dict.fromkeys(KEY_USAGES, False)
    usage |= {"key_cert_sign": True} if ca else {"digital_signature": True}
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(by, SHA256())


KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
ROOT = issue(ROOT_KEY, "ACME root", ca=True, purposes=())


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write a chain and a key."""

    def write(key: Any, *chain: x509.Certificate) -> tuple[Path, Path]:
        (tmp_path / "chain.pem").write_bytes(certificate_pem(*chain))
        (tmp_path / "own.key").write_bytes(key_pem(key))
        return tmp_path / "chain.pem", tmp_path / "own.key"

    return write


@pytest.mark.parametrize("algorithm", KEYS)
def test_the_algorithm_follows_from_the_key(
    files: Any, algorithm: str, picture: Callable[..., bytes], manifest: Callable[..., Manifest]
) -> None:
    key = KEYS[algorithm]()
    identity = given_identity(*files(key, issue(key)))
    assert identity.algorithm == algorithm
    assert identity.anchor is None
    report = read(Signer(identity).sign(picture(), "image/png", manifest()), certificate_pem(ROOT))
    assert (report.state, report.signer, report.issued_by) == ("trusted", "ACME pictures", "ACME root")


def test_a_chain_of_three_is_carried_whole(
    files: Any, picture: Callable[..., bytes], manifest: Callable[..., Manifest]
) -> None:
    middle_key, key = KEYS["es256"](), KEYS["es256"]()
    middle = issue(middle_key, "ACME branch", ca=True, purposes=())
    identity = given_identity(*files(key, issue(key, issuer="ACME branch", by=middle_key), middle))
    report = read(Signer(identity).sign(picture(), "image/png", manifest()), certificate_pem(ROOT))
    assert (report.state, report.issued_by) == ("trusted", "ACME branch")


@pytest.mark.parametrize("purpose", [x509.ObjectIdentifier(purpose) for purpose in PURPOSES])
def test_one_purpose_will_do(files: Any, purpose: x509.ObjectIdentifier) -> None:
    key = KEYS["es256"]()
    Signer(given_identity(*files(key, issue(key, purposes=(purpose,)))))


def test_a_key_of_another_certificate_is_refused(files: Any) -> None:
    chain, key = files(KEYS["es256"](), issue(KEYS["es256"]()))
    with pytest.raises(
        RequestError, match=r"own\.key: not the key of the first certificate in .*chain\.pem; give"
    ):
        given_identity(chain, key)


def test_a_chain_out_of_order_is_refused(files: Any) -> None:
    key = KEYS["es256"]()
    with pytest.raises(RequestError, match=r"chain\.pem: its certificates are no chain; put"):
        given_identity(*files(key, issue(key), issue(KEYS["es256"]())))


@pytest.mark.parametrize("days", [(-90, -1), (1, 90)])
def test_a_certificate_that_is_not_valid_today_is_refused(files: Any, days: tuple[int, int]) -> None:
    key = KEYS["es256"]()
    with pytest.raises(
        RequestError, match=r"chain\.pem: valid from \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d; give one"
    ):
        given_identity(*files(key, issue(key, days=days)))


@pytest.mark.parametrize("purposes", [(), (ExtendedKeyUsageOID.SERVER_AUTH,)])
def test_a_certificate_for_other_purposes_is_refused(files: Any, purposes: Any) -> None:
    key = KEYS["es256"]()
    with pytest.raises(RequestError, match=r"chain\.pem: may not sign pictures; give a certificate whose"):
        given_identity(*files(key, issue(key, purposes=purposes)))


def test_a_kind_of_key_that_c2pa_does_not_know_is_refused(files: Any) -> None:
    key = ec.generate_private_key(ec.SECP256K1())
    with pytest.raises(RequestError, match="this kind of key cannot sign pictures; give EC P-256"):
        given_identity(*files(key, issue(key)))


def test_what_c2pa_alone_objects_to_is_refused_at_the_start(files: Any) -> None:
    key = KEYS["es256"]()
    identity = given_identity(*files(key, issue(key, ca=True, purposes=(MAIL,))))
    with pytest.raises(
        RequestError, match=r"^the certificate cannot sign pictures \([^\n]+\); give another$"
    ):
        Signer(identity)


def test_files_that_are_missing_or_hold_something_else_are_named(files: Any, tmp_path: Path) -> None:
    key = KEYS["es256"]()
    chain, own = files(key, issue(key))
    with pytest.raises(RequestError, match=r"gone\.pem: cannot be read \(No such file or directory\); give"):
        given_identity(tmp_path / "gone.pem", own)
    with pytest.raises(RequestError, match=r"gone\.key: cannot be read \(No such file or directory\); give"):
        given_identity(chain, tmp_path / "gone.key")
    with pytest.raises(RequestError, match=r"own\.key: holds no certificate; give"):
        given_identity(own, own)
    with pytest.raises(RequestError, match=r"chain\.pem: holds no private key; give"):
        given_identity(chain, chain)


def test_an_encrypted_key_is_refused(files: Any) -> None:
    key = KEYS["es256"]()
    chain, own = files(key, issue(key))
    own.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(RequestError, match=r"own\.key: is encrypted; give a private key without a password"):
        given_identity(chain, own)
