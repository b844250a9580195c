import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from unclip.errors import RequestError
from unclip.provenance import local_ca
from unclip.provenance.local_ca import local_identity
from unclip.provenance.reading import read
from unclip.provenance.signing import Manifest, Signer

FILES = ["ca.key", "ca.pem", "signing.key", "signing.pem"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_it_is_made_once(certificates: Path) -> None:
    identity = local_identity(certificates)
    made = contents(certificates)
    assert list(made) == FILES
    assert local_identity(certificates) == identity
    assert contents(certificates) == made


def test_keys_are_for_this_user_alone(certificates: Path) -> None:
    local_identity(certificates)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in certificates.iterdir()}
    assert modes["ca.key"] == modes["signing.key"] == 0o600
    assert stat.S_IMODE(certificates.stat().st_mode) == 0o700


def test_an_identity_does_not_show_its_key(certificates: Path) -> None:
    assert "PRIVATE" not in repr(local_identity(certificates))


def test_the_certificates_are_what_c2pa_asks_for(certificates: Path) -> None:
    identity = local_identity(certificates)
    assert identity.anchor
    ca, (leaf,) = (
        x509.load_pem_x509_certificate(identity.anchor),
        x509.load_pem_x509_certificates(identity.chain),
    )
    leaf.verify_directly_issued_by(ca)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert leaf.version is x509.Version.v3
    assert leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(
        True, 0
    )
    assert leaf.not_valid_after_utc <= ca.not_valid_after_utc
    assert identity.expires == leaf.not_valid_after_utc.timestamp()


def test_the_names_say_nothing_of_the_machine(certificates: Path) -> None:
    (leaf,) = x509.load_pem_x509_certificates(local_identity(certificates).chain)
    key = x509.SubjectKeyIdentifier.from_public_key(leaf.public_key()).digest.hex()[:8]
    assert leaf.subject.rfc4514_string() == f"CN=unclip server {key},O=a local unclip server"


def test_a_certificate_about_to_expire_is_renewed(
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
    picture: Callable[..., bytes],
    manifest: Callable[..., Manifest],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(local_ca, "SIGNING_LASTS", timedelta(days=29))
        old = local_identity(certificates)
    new = local_identity(certificates)
    assert (new.key, new.anchor) == (old.key, old.anchor)
    assert new.expires > old.expires
    for identity in (old, new):
        assert read(Signer(identity).sign(picture(), "image/png", manifest()), new.anchor).state == "trusted"


def test_one_with_more_than_thirty_days_is_kept(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_ca, "SIGNING_LASTS", timedelta(days=31))
    assert local_identity(certificates) == local_identity(certificates)


def test_a_ca_about_to_expire_is_renewed_and_still_vouches_for_old_signatures(
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
    picture: Callable[..., bytes],
    manifest: Callable[..., Manifest],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(local_ca, "CA_LASTS", timedelta(days=29))
        old = local_identity(certificates)
    new = local_identity(certificates)
    assert new.anchor != old.anchor
    assert read(Signer(old).sign(picture(), "image/png", manifest()), new.anchor).state == "trusted"


@pytest.mark.parametrize("lost", FILES)
def test_what_is_lost_is_made_anew(
    certificates: Path, lost: str, picture: Callable[..., bytes], manifest: Callable[..., Manifest]
) -> None:
    local_identity(certificates)
    (certificates / lost).unlink()
    identity = local_identity(certificates)
    assert sorted(contents(certificates)) == FILES
    assert read(Signer(identity).sign(picture(), "image/png", manifest()), identity.anchor).state == "trusted"


@pytest.mark.parametrize("torn", FILES)
def test_what_cannot_be_read_is_named_and_kept(certificates: Path, torn: str) -> None:
    local_identity(certificates)
    (certificates / torn).write_bytes(b"no PEM")
    with pytest.raises(RequestError, match=rf"{torn}: cannot be read as a"):
        local_identity(certificates)
    assert (certificates / torn).read_bytes() == b"no PEM"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match=r"ca\.key: cannot be written \(Not a directory\)"):
        local_identity(tmp_path / "file" / "certificates")


def test_processes_that_start_at_once_have_one_key(certificates: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from unclip.provenance.local_ca import local_identity;"
        "sys.stdin.readline(); sys.stdout.buffer.write(local_identity(Path(sys.argv[1])).key)"
    )
    command = [sys.executable, "-c", program, str(certificates)]
    racing = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
    for process in racing:  # all wait for the line, as long as they import
        assert process.stdin
        process.stdin.write(b"\n")
    keys = {process.communicate()[0] for process in racing}
    assert keys == {(certificates / "signing.key").read_bytes()}
    assert list(contents(certificates)) == FILES
    assert local_identity(certificates).key in keys
