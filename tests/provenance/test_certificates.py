from pathlib import Path

import pytest

from unclip.errors import RequestError
from unclip.provenance.certificates import signing_identity


def test_with_no_files_it_is_the_local_ca(certificates: Path) -> None:
    identity = signing_identity(certificates)
    assert identity.anchor == (certificates / "ca.pem").read_bytes()


def test_a_certificate_and_its_key_belong_together(certificates: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.pem"
    with pytest.raises(RequestError, match=r"one\.pem: a certificate without its key; give"):
        signing_identity(certificates, certificate=file)
    with pytest.raises(RequestError, match=r"one\.pem: a key without its certificate; give"):
        signing_identity(certificates, key=file)
    assert not certificates.exists()
