"""`unclip verify`: what a picture says, in words, as JSON and as an exit code."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unclip.imagefiles import encoded
from unclip.provenance import CERTIFICATES
from unclip.provenance.certificates import signing_identity
from unclip.provenance.signing import Manifest, Parent, Signer

REQUEST = {"prompt": "a red wall", "seed": 7, "size": None}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a server that was never started."""
    monkeypatch.setenv("UNCLIP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def signer(home: Path) -> Signer:
    """That of the server of that home."""
    return Signer(signing_identity(home / CERTIFICATES))


@pytest.fixture
def picture(signer: Signer, tmp_path: Path) -> Path:
    """A signed picture of that server."""
    said = Manifest(
        "wall",
        "trainedAlgorithmicMedia",
        "c2pa.created",
        "unclip 0.1.0",
        "tiny",
        model_hash="0123456789abcdef",
    )
    data = encoded(Image.new("RGB", (64, 64), "red"), "PNG", REQUEST)
    return written(tmp_path / "wall.png", signer.sign(data, "image/png", said))


@pytest.fixture
def edited(signer: Signer, picture: Path, tmp_path: Path) -> Path:
    """An edit of it."""
    source_type = "compositeWithTrainedAlgorithmicMedia"
    parents = (Parent(picture.read_bytes(), "image/png", "wall"),)
    said = Manifest("edit", source_type, "c2pa.edited", "unclip 0.1.0", "tiny", parents)
    data = encoded(Image.new("RGB", (64, 64), "blue"), "JPEG", REQUEST, source_type)
    return written(tmp_path / "edit.jpg", signer.sign(data, "image/jpeg", said))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_picture_of_this_server_is_trusted(unclip: Any, picture: Path) -> None:
    outcome = unclip("verify", picture)
    assert (outcome.code, outcome.err) == (0, "")
    first, *lines = outcome.out.splitlines()
    assert first == f"{picture}: signed by one you trust, and unchanged since"
    said = dict(line.strip().split(": ", 1) for line in lines)
    assert said["signer"].startswith("unclip server ")
    assert ", by the word of unclip local CA " in said["signer"]
    assert said["time"].endswith("Z, by the clock of the signer")
    assert said["source"] == said["IPTC mark"] == "made by a model (trainedAlgorithmicMedia)"
    assert said["software"] == "unclip 0.1.0"
    assert said["model"] == "tiny (0123456789ab)"
    assert said["request"] == "prompt 'a red wall', seed 7"


def test_elsewhere_it_is_valid(unclip: Any, picture: Path, tmp_path: Path) -> None:
    outcome = unclip("verify", picture, "--home", tmp_path / "other")
    assert outcome.code == 0
    assert "signed and unchanged since, by one whom no certificate here vouches for" in outcome.out
    assert not (tmp_path / "other").exists()


def test_elsewhere_it_is_trusted_by_those_who_have_the_ca(
    unclip: Any, picture: Path, home: Path, tmp_path: Path
) -> None:
    ca = written(tmp_path / "ca.pem", (home / CERTIFICATES / "ca.pem").read_bytes())
    assert "by one you trust" in unclip("verify", picture, "--home", tmp_path / "other", "--trust", ca).out
    other = signing_identity(tmp_path / "another" / CERTIFICATES)
    assert other.anchor
    both = written(tmp_path / "both.pem", other.anchor)
    assert "by one you trust" in unclip("verify", picture, "--trust", both).out  # beside the server's own


def test_an_edit_names_its_picture(unclip: Any, edited: Path) -> None:
    outcome = unclip("verify", edited)
    assert outcome.code == 0
    (line,) = [line for line in outcome.out.splitlines() if "made from" in line]
    assert line.startswith("  made from: wall (signed by unclip server ")
    assert line.endswith("; unclip 0.1.0)")


def test_a_changed_picture_exits_with_1(unclip: Any, picture: Path) -> None:
    data = picture.read_bytes()
    at = data.rindex(b"IDAT") + 8
    picture.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    outcome = unclip("verify", picture)
    assert (outcome.code, outcome.err) == (1, "")
    assert outcome.out.splitlines()[:2] == [
        f"{picture}: signed, but the signature does not hold",
        "  but: the file was changed after it was signed",
    ]


def test_a_picture_without_a_signature_exits_with_1(unclip: Any, photo: Path) -> None:
    outcome = unclip("verify", photo)
    assert (outcome.code, outcome.out) == (1, f"{photo}: not signed, which proves nothing\n")


def test_one_unsigned_picture_among_several_exits_with_1(unclip: Any, picture: Path, photo: Path) -> None:
    outcome = unclip("verify", picture, photo)
    assert outcome.code == 1
    assert [line.split(": ")[0] for line in outcome.out.splitlines() if line[:1] not in (" ", "")] == [
        str(picture),
        str(photo),
    ]


def test_json_holds_all(unclip: Any, picture: Path, edited: Path) -> None:
    outcome = unclip("verify", picture, edited, "--json")
    assert outcome.code == 0
    said = json.loads(outcome.out)
    assert said[str(picture)]["state"] == said[str(edited)]["state"] == "trusted"
    assert said[str(picture)]["request"] == REQUEST
    assert said[str(edited)]["parents"][0]["relationship"] == "parentOf"
    assert len(said[str(edited)]["store"]["manifests"]) == 2


def test_what_is_no_picture_is_refused(refused: Callable[..., str], picture: Path, tmp_path: Path) -> None:
    text = written(tmp_path / "a.txt", b"text")
    assert f"{text}: not a picture; give" in refused("verify", picture, text)
    assert "gone.png: cannot be read (No such file or directory); give" in refused(
        "verify", tmp_path / "gone.png"
    )


def test_certificates_that_are_none_are_refused(
    refused: Callable[..., str], picture: Path, tmp_path: Path
) -> None:
    assert "gone.pem: cannot be read (No such file or directory); give" in refused(
        "verify", picture, "--trust", tmp_path / "gone.pem"
    )
    text = written(tmp_path / "a.txt", b"text")
    assert "what is to be trusted holds no certificate; give" in refused(
        "verify", picture, "--home", tmp_path, "--trust", text
    )


def test_a_foreign_name_commands_no_terminal(unclip: Any, signer: Signer, tmp_path: Path) -> None:
    said = Manifest("\x1b[2J", "composite", "c2pa.created", "\x1b]0;mine\x07 1", "\x1b[31m")
    data = encoded(Image.new("RGB", (8, 8)), "PNG", {"prompt": "\x1b[2J"})
    outcome = unclip("verify", written(tmp_path / "evil.png", signer.sign(data, "image/png", said)))
    assert outcome.code == 0
    assert "\x1b" not in outcome.out
    assert "software: ?]0;mine? 1" in outcome.out


def test_without_c2pa_it_says_what_to_install(picture: Path) -> None:
    program = (
        "import sys; sys.modules['c2pa'] = None; from unclip.cli.verify import verify; import typer;"
        "typer.run(verify)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(picture)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        f"{picture}: signed",
        "  but: the signature was not checked; pip install 'unclip[provenance]'",
        "  IPTC mark: made by a model (trainedAlgorithmicMedia)",
        "  request: prompt 'a red wall', seed 7",
    ]
