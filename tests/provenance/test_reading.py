import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO

import c2pa
import pytest
from PIL import Image

from unclip.errors import DataError
from unclip.provenance.identity import Identity
from unclip.provenance.reading import INSTALL, Report, read
from unclip.provenance.signing import Manifest, Parent, Signer

FORMATS = ["PNG", "JPEG", "WEBP"]
CHANGED = "the file was changed after it was signed"
Picture = Callable[..., bytes]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_of_unclip_says_what_it_is(signed: Picture, identity: Identity, format: str) -> None:
    report = read(signed(format), identity.anchor)
    assert (report.signed, report.state, report.problems) == (True, "trusted", ())
    assert (report.title, report.actions) == ("picture", ("c2pa.created",))
    assert (report.software, report.model, report.model_hash) == (
        "unclip 0.1.0",
        "unclip bundled",
        "c119e14236976a82",
    )
    assert report.source_type == report.iptc_source_type == "trainedAlgorithmicMedia"
    assert report.signer
    assert report.signer.startswith("unclip server ")
    assert report.issued_by
    assert report.issued_by.startswith("unclip local CA ")
    assert report.when
    assert report.time is None  # no time authority was asked
    assert report.request == {"prompt": "a wall of many secrets", "seed": 7}
    assert json.loads(json.dumps(asdict(report)))["store"]["validation_state"] == "Trusted"


@pytest.mark.parametrize("format", FORMATS)
def test_another_ca_does_not_make_it_trusted(
    signed: Picture, format: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from unclip.provenance.local_ca import local_identity

    other = local_identity(tmp_path_factory.mktemp("other"))
    assert read(signed(format), other.anchor).state == "valid"


@pytest.mark.parametrize("format", FORMATS)
def test_one_pixel_changed_in_place_is_told(signed: Picture, identity: Identity, format: str) -> None:
    report = read(flipped(signed(format), picture_data(signed(format), format)), identity.anchor)
    assert (report.signed, report.state, report.problems) == (True, "invalid", (CHANGED,))
    assert report.software == "unclip 0.1.0"  # what it said is still shown


def picture_data(data: bytes, format: str) -> int:
    """A place among the coded pixels."""
    mark = {"PNG": b"IDAT", "JPEG": b"\xff\xda", "WEBP": b"VP8 "}[format]
    return data.rindex(mark) + 60


def test_a_pixel_changed_and_the_checksums_with_it_is_told(signed: Picture, identity: Identity) -> None:
    """An editor that keeps every chunk it does not know, the manifest among them."""
    data = signed()
    with Image.open(BytesIO(data)) as image:
        image.putpixel((3, 3), (1, 2, 3))
        file = BytesIO()
        image.save(file, "PNG")
    start = data.index(b"caBX") - 4
    length = int.from_bytes(data[start : start + 4], "big") + 12
    kept = file.getvalue()[:33] + data[start : start + length] + file.getvalue()[33:]  # after the header
    report = read(kept, identity.anchor)
    assert (report.signed, report.state, report.problems) == (True, "invalid", (CHANGED,))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("old", "new"), [(b"many secrets", b"no secrets.."), (b"/trainedAlgorithmic", b"/handmadeAlgorithms")]
)
def test_metadata_changed_in_place_are_told(
    signed: Picture, identity: Identity, format: str, old: bytes, new: bytes
) -> None:
    data = signed(format)
    assert old in data
    assert read(data.replace(old, new), identity.anchor).state == "invalid"


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_added_at_the_end_are_told(signed: Picture, identity: Identity, format: str) -> None:
    assert read(signed(format) + b"more", identity.anchor).problems == (CHANGED,)


@pytest.mark.parametrize("format", FORMATS)
def test_a_manifest_moved_to_another_picture_is_told(
    signer: Signer, picture: Picture, signed: Picture, manifest: Callable[..., Manifest], format: str
) -> None:
    mime = f"image/{format.lower()}"
    other = signer.sign(picture(format, 64, "composite"), mime, manifest())
    pixels = picture_data(other, format)
    assert read(other[:pixels] + signed(format)[pixels:]).state == "invalid"


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_saved_again_by_pillow_has_lost_its_signature(signed: Picture, format: str) -> None:
    with Image.open(BytesIO(signed(format))) as image:
        file = BytesIO()
        image.save(file, format)
    report = read(file.getvalue())
    assert (report.signed, report.state, report.problems) == (False, None, ())


def test_a_torn_manifest_is_told(signed: Picture) -> None:
    data = signed("WEBP")
    start = data.index(b"jumdc2pa")
    report = read(data[: start + 40] + bytes(200) + data[start + 240 :])
    assert (report.signed, report.state) == (True, "invalid")
    assert report.problems[0].startswith("its Content Credentials cannot be read (")


def test_a_picture_that_says_nothing(foreign: bytes) -> None:
    assert read(foreign) == Report(signed=False)


@pytest.mark.parametrize("data", [b"", b"no picture", b"<svg/>", b"%PDF-1.4"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^mine: not a picture; give"):
        read(data, name="mine")


def test_the_manifest_of_another_program_is_read(identity: Identity, foreign: bytes) -> None:
    """One of the first version, where an action's program is a single line and its label is older."""
    actions = [
        {
            "action": "c2pa.created",
            "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
        },
        {"action": "c2pa.color_adjustments", "softwareAgent": "Darkroom"},
    ]
    definition = {
        "claim_version": 1,
        "claim_generator_info": [{"name": "Darkroom"}],
        "title": "holiday",
        "assertions": [{"label": "c2pa.actions", "data": {"actions": actions}}],
    }
    info, file = c2pa.C2paSignerInfo("es256", identity.chain, identity.key, None), BytesIO()
    context = c2pa.Context()
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder(definition, context) as builder:
        builder.sign(signer, "image/png", BytesIO(foreign), file)
    report = read(file.getvalue(), identity.anchor)
    assert (report.state, report.title, report.source_type) == ("trusted", "holiday", "digitalCapture")
    assert report.actions == ("c2pa.created", "c2pa.color_adjustments")
    assert (report.software, report.model) == ("Darkroom", None)


def test_without_c2pa_the_plain_marks_are_read(signed: Picture, foreign: bytes) -> None:
    program = (
        "import sys; sys.modules['c2pa'] = sys.modules['cryptography'] = None\n"
        "from unclip.provenance.reading import read\n"
        "report = read(sys.stdin.buffer.read())\n"
        "print((report.signed, report.state, report.problems, report.iptc_source_type, report.request))"
    )

    def run(data: bytes) -> str:
        return subprocess.run(
            [sys.executable, "-c", program], input=data, capture_output=True, check=True
        ).stdout.decode()

    request = {"prompt": "a wall of many secrets", "seed": 7}
    assert run(signed()).strip() == repr((True, None, (INSTALL,), "trainedAlgorithmicMedia", request))
    assert run(foreign).strip() == repr((False, None, (), None, None))


def test_a_parent_that_is_not_signed_is_named(
    signer: Signer, picture: Picture, foreign: bytes, manifest: Callable[..., Manifest]
) -> None:
    said = manifest(parents=(Parent(foreign, "image/png", "given"),))
    (parent,) = read(signer.sign(picture(), "image/png", said)).parents
    assert asdict(parent) == {
        "title": "given",
        "relationship": "inputTo",
        "signed": False,
        "signer": None,
        "software": None,
        "problems": (),
        "description": None,
    }
