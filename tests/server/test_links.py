import re
import stat
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from unclip.errors import RequestError
from unclip.server.links import LIFE_SECONDS, Links, read_secret

LINKS = Links(b"a secret of a server")
ID = "img_06dphgs05e0d3rxv5yk28c3n1q"


def parts(path: str) -> tuple[str, str, str]:
    split = urlsplit(path)
    query = parse_qs(split.query)
    assert split.path.startswith("/v1/files-public/")
    return split.path.rpartition("/")[2].removesuffix(".png"), query["exp"][0], query["sig"][0]


def test_a_link_is_good_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    picture, end, signature = parts(LINKS.path(ID))
    assert picture == ID
    assert int(end) == pytest.approx(now + LIFE_SECONDS, abs=2)
    for later, good in ((0, True), (LIFE_SECONDS - 3, True), (LIFE_SECONDS + 3, False), (10**9, False)):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        assert LINKS.is_good(picture, end, signature) is good


def test_a_link_holds_nothing_that_an_url_must_escape() -> None:
    assert re.fullmatch(r"[/A-Za-z0-9_.?=&-]+", LINKS.path(ID))


def test_a_link_opens_one_picture_until_one_moment() -> None:
    picture, end, signature = parts(LINKS.path(ID))
    assert LINKS.is_good(picture, end, signature)
    assert not LINKS.is_good(picture[:-1] + "z", end, signature)
    assert not LINKS.is_good(picture, str(int(end) + 1), signature)
    assert not LINKS.is_good(picture, end, signature[:-1] + ("0" if signature[-1] != "0" else "1"))
    assert not LINKS.is_good(f"{picture} {end}", end, signature)


def test_another_server_has_other_links() -> None:
    assert not LINKS.is_good(*parts(Links(b"another secret").path(ID)))


@pytest.mark.parametrize(
    "end",
    [
        "",
        "-1",
        "soon",
        "1e12",
        "99999999999999",
        "\uff19" * 10,
        "²",
        "9" * 5000,
        " 9999999999",
        "9999999999\n",
    ],
)
def test_what_is_no_moment_opens_nothing(end: str) -> None:
    assert not LINKS.is_good(ID, end, "0" * 64)


@pytest.mark.parametrize("signature", ["", "0", "é" * 64, "\ud83d", "0" * 10_000])
def test_what_is_no_signature_opens_nothing(signature: str) -> None:
    _, end, _ = parts(LINKS.path(ID))
    assert not LINKS.is_good(ID, end, signature)


def test_a_home_keeps_its_secret_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = read_secret(path)
    assert len(secret) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_secret(path) == secret
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]
    assert read_secret(tmp_path / "other") != secret


def test_a_secret_that_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"")
    assert len(read_secret(path)) == 32
    assert read_secret(path) == path.read_bytes()


def test_a_place_for_no_secret_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read or written"):
        read_secret(tmp_path / "nowhere" / "secret")
    with pytest.raises(RequestError, match="choose another home"):
        read_secret(tmp_path)
