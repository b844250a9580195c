"""Reading what a picture says of where it comes from, and whether that can be believed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from unclip.errors import DataError
from unclip.provenance.plain import plain_marks
from unclip.provenance.wording import problems_of, refusal

State: TypeAlias = Literal["trusted", "valid", "invalid"]

INSTALL = "the signature was not checked; pip install 'unclip[provenance]'"

_STORE = b"jumdc2pa"  # how a manifest store begins, in every kind of file


@dataclass(frozen=True)
class Origin:
    """A picture that the one at hand was made from, as its signer saw it."""

    title: str | None
    relationship: str  # parentOf: opened and changed; inputTo: looked at; componentOf: a part
    signed: bool
    signer: str | None
    software: str | None
    problems: tuple[str, ...]
    description: str | None


@dataclass(frozen=True)
class Report:
    """What a picture says of itself.

    `state` is None if nothing is signed, or if c2pa is not installed. Else the file is as it was signed
    (valid), and by one whom the anchors vouch for (trusted), or it is not (invalid). The signature covers the
    IPTC mark and the request as well, but they can be read without.
    """

    signed: bool
    state: State | None = None
    problems: tuple[str, ...] = ()
    signer: str | None = None
    issued_by: str | None = None  # who vouches for the signer
    time: str | None = None  # of the signature, by a time authority
    when: str | None = None  # the picture was made, by its signer's clock
    title: str | None = None
    actions: tuple[str, ...] = ()
    source_type: str | None = None  # the signed one; like the IPTC one, the last part of its address
    software: str | None = None
    model: str | None = None
    model_hash: str | None = None
    parents: tuple[Origin, ...] = ()
    iptc_source_type: str | None = None
    request: Mapping[str, Any] | None = None  # what `imagefiles.save` wrote
    store: Mapping[str, Any] | None = field(default=None, repr=False)  # all that c2pa found


def read(data: bytes, anchors: bytes | None = None, name: str = "the file") -> Report:
    """Return what a picture says of where it comes from.

    `anchors` are certificates, as PEM: who is signed for by one of them is trusted. Without c2pa, signatures
    are seen, and not checked.

    Raises `DataError`, which calls it `name`, if it is no picture, and `RequestError` for anchors that are no
    certificates.
    """
    marks = plain_marks(data)
    report = _read_signed(data, anchors)
    if marks is not None:
        return replace(report, iptc_source_type=marks.source_type, request=marks.request)
    if not report.signed:
        raise DataError(f"{name}: not a picture; give a PNG, JPEG or WebP file")
    return report


def _read_signed(data: bytes, anchors: bytes | None) -> Report:
    signed = _STORE in data
    try:
        from unclip.provenance.content_credentials import Refused, read_store
    except ImportError:  # the extra is not installed
        return Report(signed, problems=(INSTALL,) if signed else ())
    try:
        store = read_store(data, anchors)
    except Refused as error:
        return Report(signed, "invalid" if signed else None, refusal(str(error), signed))
    return Report(False) if store is None else _report(store)


def _report(store: Mapping[str, Any]) -> Report:
    """Pick what matters of all that c2pa found."""
    manifests, label = store["manifests"], store.get("active_manifest")
    manifest = manifests.get(label, {})
    actions, signature = _actions(manifest), manifest.get("signature_info", {})
    made = next((action for action in actions if "digitalSourceType" in action), {})
    parameters = made.get("parameters", {})
    return Report(
        signed=True,
        state=store.get("validation_state", "Invalid").lower(),
        problems=problems_of(store.get("validation_results", {})),
        signer=_signer(manifest),
        issued_by=_issuer(store["certificates"].get(label)),
        time=signature.get("time"),
        when=made.get("when"),
        title=manifest.get("title"),
        actions=tuple(action["action"] for action in actions),
        source_type=made["digitalSourceType"].rpartition("/")[2] if made else None,
        software=_software(manifest),
        model=parameters.get("unclip.model"),
        model_hash=parameters.get("unclip.model_hash"),
        parents=tuple(_origin(one, manifests) for one in manifest.get("ingredients", ())),
        store=store,
    )


def _origin(ingredient: Mapping[str, Any], manifests: Mapping[str, Any]) -> Origin:
    manifest = manifests.get(ingredient.get("active_manifest", ""), {})
    return Origin(
        title=ingredient.get("title"),
        relationship=ingredient.get("relationship", "componentOf"),
        signed="active_manifest" in ingredient,
        signer=_signer(manifest),
        software=_software(manifest),
        problems=problems_of(ingredient.get("validation_results", {})),
        description=ingredient.get("description"),
    )


def _actions(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    assertions = manifest.get("assertions", ())
    found = [one["data"] for one in assertions if one["label"].startswith("c2pa.actions")]
    return [action for data in found for action in data.get("actions", ())]


def _signer(manifest: Mapping[str, Any]) -> str | None:
    """Return the name in the certificate; c2pa calls the organization in it the issuer."""
    signature = manifest.get("signature_info", {})
    return signature.get("common_name") or signature.get("issuer")


def _issuer(certificate: Mapping[str, Any] | None) -> str | None:
    issuer = (certificate or {}).get("issuer", {})
    return issuer.get("CN") or issuer.get("O")


def _software(manifest: Mapping[str, Any]) -> str | None:
    """Return the program and its version; older manifests hold one line for both."""
    infos = manifest.get("claim_generator_info") or [{"name": manifest.get("claim_generator")}]
    return " ".join(filter(None, (infos[0].get("name"), infos[0].get("version")))) or None
