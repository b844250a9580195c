"""The one module that imports c2pa-python, whose names change between versions: pinned below 0.39."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import c2pa
from cryptography import x509

from unclip.errors import RequestError
from unclip.provenance.identity import PURPOSES, Identity, certificate_pem

# Thumbnails would add half a megabyte. Nothing may open the network, whatever a picture asks for.
_SETTINGS: dict[str, dict[str, Any]] = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"allowed_network_hosts": []},
    "trust": {"trust_config": "\n".join(PURPOSES)},
}

Refused = c2pa.C2paError  # what c2pa cannot do, in its own words


@dataclass(frozen=True)
class Ingredient:
    """A picture that another was made from."""

    about: Mapping[str, Any]  # its title, format, relationship and label
    data: bytes
    mime: str


class SigningKey:
    """A key that c2pa holds. Threads may share it: signing changes nothing in it. Raises `Refused`."""

    def __init__(self, identity: Identity) -> None:
        time_authority = None  # it would be asked over the network
        info = c2pa.C2paSignerInfo(identity.algorithm, identity.chain, identity.key, time_authority)
        self._signer = c2pa.Signer.from_info(info)
        self._context = _context(None)

    def sign(
        self, definition: Mapping[str, Any], ingredients: Sequence[Ingredient], data: bytes, mime: str
    ) -> bytes:
        """Return a picture with a signed manifest in place of any that it had. Raises `Refused`."""
        signed = BytesIO()
        with c2pa.Builder(dict(definition), self._context) as builder:
            for ingredient in ingredients:
                _add(builder, ingredient)
            builder.sign(self._signer, mime, BytesIO(data), signed)
        return signed.getvalue()


def _add(builder: c2pa.Builder, ingredient: Ingredient) -> None:
    """Add an ingredient with its own manifest, or without it if that cannot be read."""
    try:
        builder.add_ingredient(dict(ingredient.about), ingredient.mime, BytesIO(ingredient.data))
    except Refused:
        bare = without_manifest(ingredient)
        builder.add_ingredient(dict(bare.about), bare.mime, BytesIO(bare.data))


def without_manifest(ingredient: Ingredient) -> Ingredient:
    """Return an ingredient that is named, and not looked into."""
    unread = "its Content Credentials, if it had any, could not be read"
    return Ingredient({**ingredient.about, "description": unread}, b"", "application/octet-stream")


def read_store(data: bytes, anchors: bytes | None) -> dict[str, Any] | None:
    """Return what c2pa finds in a picture, checked, or None if that is nothing.

    `anchors` are certificates, as PEM, to trust. Under `certificates` are the subject, issuer and dates of
    each manifest's certificate.

    Raises `Refused` for a picture or manifest that cannot be read, and `RequestError` for anchors that are no
    certificates.
    """
    try:
        reader = c2pa.Reader(None, BytesIO(data), context=_context(anchors))
    except c2pa.C2paError.ManifestNotFound:  # pyright: ignore[reportAttributeAccessIssue]
        return None
    with reader:
        manifests = json.loads(reader.crjson())["manifests"]
        certificates = {one["label"]: one.get("signature", {}).get("certificateInfo") for one in manifests}
        return json.loads(reader.json()) | {"certificates": certificates}


def _context(anchors: bytes | None) -> c2pa.Context:
    """Return c2pa's settings, and whom to trust."""
    if not anchors:
        return c2pa.Context.from_dict(_SETTINGS)
    try:
        pem = certificate_pem(*x509.load_pem_x509_certificates(anchors))
    except ValueError as error:
        raise RequestError("what is to be trusted holds no certificate; give certificates as PEM") from error
    return c2pa.Context.from_dict(_SETTINGS | {"trust": _SETTINGS["trust"] | {"user_anchors": pem.decode()}})
