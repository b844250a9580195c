import socket
from collections.abc import Callable, Iterator
from io import BytesIO

import c2pa
import pytest

from unclip.errors import RequestError
from unclip.provenance.content_credentials import read_store
from unclip.provenance.identity import Identity
from unclip.provenance.reading import read
from unclip.provenance.signing import Manifest, Parent, Signer


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A server that is not to be called."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        yield server


@pytest.fixture
def elsewhere(listening: socket.socket, identity: Identity, foreign: bytes) -> bytes:
    """A picture that says that its manifest is at that server."""
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/manifest.c2pa"
    info, file = c2pa.C2paSignerInfo("es256", identity.chain, identity.key, None), BytesIO()
    definition = {
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [{"action": "c2pa.created"}]}}]
    }
    context = c2pa.Context.from_dict({"verify": {"verify_after_sign": False}})
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder(definition, context) as builder:
        builder.set_no_embed()
        builder.set_remote_url(url)
        builder.sign(signer, "image/png", BytesIO(foreign), file)
    return file.getvalue()


def test_nothing_is_fetched(
    listening: socket.socket,
    elsewhere: bytes,
    signer: Signer,
    picture: Callable[..., bytes],
    manifest: Callable[..., Manifest],
) -> None:
    report = read(elsewhere)
    signed = signer.sign(
        picture(), "image/png", manifest(parents=(Parent(elsewhere, "image/png", "elsewhere"),))
    )
    assert not report.signed
    assert report.problems[0].startswith("its Content Credentials are not in it, but at http://127.0.0.1:")
    assert read(signed).state == "valid"
    with pytest.raises(TimeoutError):
        listening.accept()


def test_no_picture_is_put_into_a_manifest(signed: Callable[..., bytes]) -> None:
    store = read_store(signed(), None)
    assert store
    assert "thumbnail" not in str(store)


def test_a_picture_without_a_manifest_has_no_store(foreign: bytes) -> None:
    assert read_store(foreign, None) is None


@pytest.mark.parametrize(
    "anchors", [b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_anchors_that_are_no_certificates_are_refused(signed: Callable[..., bytes], anchors: bytes) -> None:
    with pytest.raises(RequestError, match="what is to be trusted holds no certificate; give"):
        read_store(signed(), anchors)
