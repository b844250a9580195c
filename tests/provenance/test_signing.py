import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from PIL import Image

from unclip.errors import DataError, RequestError
from unclip.imagefiles import read_metadata
from unclip.provenance.identity import Identity
from unclip.provenance.reading import Report, read
from unclip.provenance.signing import Manifest, Parent, Signer

MIMES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
LIMIT = 16 * 1024  # bytes that a signature without parents may add
UNREAD = "its Content Credentials, if it had any, could not be read"
Make = Callable[..., Manifest]
Picture = Callable[..., bytes]


def validation(report: Report) -> tuple[set[str], set[str]]:
    """The codes of what c2pa remarks on a manifest, and of what it finds wrong."""
    assert report.store
    results = report.store["validation_results"]["activeManifest"]
    return {one["code"] for one in results["informational"]}, {one["code"] for one in results["failure"]}


@pytest.mark.parametrize("format", MIMES)
def test_a_signature_is_valid_and_trusted_by_those_who_trust_the_ca(
    signer: Signer, identity: Identity, picture: Picture, manifest: Make, format: str
) -> None:
    signed = signer.sign(picture(format), MIMES[format], manifest())
    known, unknown = read(signed, identity.anchor), read(signed)
    assert (known.state, known.problems, unknown.state, unknown.problems) == ("trusted", (), "valid", ())
    assert validation(known) == ({"signingCredential.ocsp.skipped"}, set())
    assert validation(unknown) == ({"signingCredential.ocsp.skipped"}, {"signingCredential.untrusted"})


@pytest.mark.parametrize("format", MIMES)
@pytest.mark.parametrize("size", [64, 512])
def test_a_signature_is_small(
    signer: Signer, picture: Picture, manifest: Make, format: str, size: int
) -> None:
    unsigned = picture(format, size)
    assert 0 < len(signer.sign(unsigned, MIMES[format], manifest())) - len(unsigned) < LIMIT


@pytest.mark.parametrize("format", MIMES)
def test_pixels_and_metadata_stay(
    signer: Signer, picture: Picture, manifest: Make, tmp_path: Path, format: str
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_bytes(picture(format))
    after.write_bytes(signer.sign(picture(format), MIMES[format], manifest()))
    assert read_metadata(after) == read_metadata(before)
    with Image.open(before) as old, Image.open(after) as new:
        assert np.array_equal(np.asarray(old), np.asarray(new))


def test_what_is_signed_holds_no_word_of_the_request(
    signer: Signer, picture: Picture, manifest: Make
) -> None:
    unsigned = picture()
    signed = signer.sign(unsigned, "image/png", manifest())
    assert unsigned.count(b"secrets") > 0
    assert signed.count(b"secrets") == unsigned.count(b"secrets")
    assert b"secrets" not in json.dumps(read(signed).store).encode()


def test_the_actions_are_the_signer_s_own_word(signer: Signer, picture: Picture, manifest: Make) -> None:
    signed = signer.sign(picture(), "image/png", manifest())
    with c2pa.Reader("image/png", BytesIO(signed), context=c2pa.Context()) as reader:
        (found,) = json.loads(reader.detailed_json())["manifests"].values()
    created = {one["url"].rpartition("/")[2] for one in found["claim"]["created_assertions"]}
    assert created == {"c2pa.actions.v2", "c2pa.hash.data"}


def test_a_second_signature_takes_the_place_of_the_first(
    signer: Signer, identity: Identity, picture: Picture, manifest: Make
) -> None:
    once = signer.sign(picture(), "image/png", manifest())
    again = signer.sign(once, "image/png", manifest(title="again"))
    report = read(again, identity.anchor)
    assert (report.state, report.title) == ("trusted", "again")
    assert report.store
    assert len(report.store["manifests"]) == 1


def edit(make: Make, *parents: Parent) -> Manifest:
    return make(action="c2pa.edited", source_type="compositeWithTrainedAlgorithmicMedia", parents=parents)


def test_an_edit_keeps_its_parent_s_manifest(
    signer: Signer, identity: Identity, picture: Picture, signed: Picture, manifest: Make
) -> None:
    given = Parent(signed(), "image/png", "given")
    once = signer.sign(picture("JPEG"), "image/jpeg", edit(manifest, given))
    twice = signer.sign(picture("WEBP"), "image/webp", edit(manifest, Parent(once, "image/jpeg", "edited")))
    report = read(twice, identity.anchor)
    assert (report.state, report.problems) == ("trusted", ())
    assert report.actions == ("c2pa.opened", "c2pa.edited")
    assert report.source_type == "compositeWithTrainedAlgorithmicMedia"
    (parent,) = report.parents
    assert (parent.title, parent.relationship, parent.signed) == ("edited", "parentOf", True)
    assert parent.software == "unclip 0.1.0"
    assert report.store
    assert len(report.store["manifests"]) == 3
    assert read(twice).state == "valid"


@pytest.mark.parametrize("action", ["c2pa.created", "c2pa.edited"])
def test_a_picture_of_two_others_names_both(
    signer: Signer,
    identity: Identity,
    picture: Picture,
    foreign: bytes,
    signed: Picture,
    manifest: Make,
    action: Any,
) -> None:
    parents = (Parent(foreign, "image/png", "unsigned"), Parent(signed("WEBP"), "image/webp", "signed"))
    report = read(
        signer.sign(picture(), "image/png", manifest(action=action, parents=parents)), identity.anchor
    )
    assert (report.state, report.problems) == ("trusted", ())
    assert [(parent.title, parent.signed) for parent in report.parents] == [
        ("unsigned", False),
        ("signed", True),
    ]


def with_store_changed(data: bytes, at: int) -> bytes:
    """A signed WebP, which has no checksum over its chunks, with a byte of its manifest store changed."""
    start = data.index(b"jumdc2pa")
    return data[: start + at] + bytes([data[start + at] ^ 0x41]) + data[start + at + 1 :]


@pytest.mark.parametrize("at", range(0, 2600, 100))
def test_a_parent_with_a_broken_manifest_stops_nothing(
    signer: Signer, identity: Identity, picture: Picture, signed: Picture, manifest: Make, at: int
) -> None:
    broken = with_store_changed(signed("WEBP"), at)
    kept = Parent(signed(), "image/png", "whole")
    report = read(
        signer.sign(picture(), "image/png", edit(manifest, Parent(broken, "image/webp", "broken"), kept)),
        identity.anchor,
    )
    assert (report.state, report.problems) == ("trusted", ())
    parent, whole = report.parents
    assert parent.title == "broken"
    noticed = bool(parent.problems) or parent.description == UNREAD
    assert noticed == (read(broken).state != "valid")  # else the byte was one of the padding
    assert whole.title == "whole"


def test_what_is_wrong_with_a_parent_is_said(
    signer: Signer, picture: Picture, signed: Picture, manifest: Make
) -> None:
    changed = signed()[:-1] + b"?"
    (parent,) = read(
        signer.sign(picture(), "image/png", edit(manifest, Parent(changed, "image/png", "changed")))
    ).parents
    assert (parent.signed, parent.problems) == (True, ("the file was changed after it was signed",))


@pytest.mark.parametrize(
    ("data", "mime"),
    [(b"GIF89a", "image/gif"), (b"BM", "image/bmp"), (b"", "image/png"), (b"?", "image/nothing")],
)
def test_a_parent_that_c2pa_cannot_read_is_named(
    signer: Signer, identity: Identity, picture: Picture, manifest: Make, data: bytes, mime: str
) -> None:
    report = read(
        signer.sign(picture(), "image/png", edit(manifest, Parent(data, mime, "odd"))), identity.anchor
    )
    assert (report.state, report.parents[0].title, report.parents[0].signed) == ("trusted", "odd", False)


def test_threads_share_a_signer(signer: Signer, identity: Identity, picture: Picture, manifest: Make) -> None:
    given = Parent(signer.sign(picture("WEBP"), "image/webp", manifest()), "image/webp", "given")

    def sign(k: int) -> Report:
        format = list(MIMES)[k % 3]
        said = replace(edit(manifest, given), title=f"picture {k}")
        return read(signer.sign(picture(format), MIMES[format], said), identity.anchor)

    with ThreadPoolExecutor(8) as threads:
        reports = list(threads.map(sign, range(48)))
    assert {report.state for report in reports} == {"trusted"}
    assert [report.title for report in reports] == [f"picture {k}" for k in range(48)]


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(signer: Signer, manifest: Make, foreign: bytes, data: bytes) -> None:
    for said in (manifest(), edit(manifest, Parent(foreign, "image/png", "given"))):
        with pytest.raises(DataError, match=r"^not a whole picture of type image/png \(.+\); give a PNG"):
            signer.sign(data, "image/png", said)


def test_an_unknown_type_is_refused(signer: Signer, picture: Picture, manifest: Make) -> None:
    with pytest.raises(DataError, match="not a whole picture of type image/nothing"):
        signer.sign(picture(), "image/nothing", manifest())


def test_a_certificate_that_expires_meanwhile_signs_no_more(
    identity: Identity, picture: Picture, manifest: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signer(identity)
    monkeypatch.setattr("time.time", lambda: identity.expires + 1)
    with pytest.raises(RequestError, match="has expired; restart with one that is valid"):
        signer.sign(picture(), "image/png", manifest())
