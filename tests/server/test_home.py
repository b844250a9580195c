"""A server's folder."""

import stat
from pathlib import Path

import platformdirs
import pytest

from unclip.errors import RequestError
from unclip.records.database import open_database
from unclip.records.store import Store
from unclip.server.home import database_url, home_folder, store_url


def test_a_new_folder_is_this_users_alone(tmp_path: Path) -> None:
    folder = home_folder(tmp_path / "new" / "home")
    assert folder == tmp_path / "new" / "home"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert home_folder(tmp_path) == tmp_path
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_the_folder_where_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name, **_: tmp_path / "data" / name)
    monkeypatch.delenv("UNCLIP_HOME", raising=False)
    assert home_folder(None) == tmp_path / "data" / "unclip"
    monkeypatch.setenv("UNCLIP_HOME", str(tmp_path / "set"))
    assert home_folder(None) == tmp_path / "set"
    assert home_folder(tmp_path / "given") == tmp_path / "given"


def test_a_relative_folder_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home_folder(Path("here")) == tmp_path / "here"


def test_places_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "file", tmp_path / "file" / "home", Path("/proc/home")):
        with pytest.raises(RequestError, match=rf"^{place} cannot be made \(.+\): give another with --home$"):
            home_folder(place)


@pytest.mark.parametrize("name", ["home", "a b", "100%25", "what?", "#1", "ünï"])
def test_the_database_and_the_pictures_are_in_the_folder(tmp_path: Path, name: str) -> None:
    home = home_folder(tmp_path / name)
    open_database(database_url(home, None)).dispose()
    Store(store_url(home, None)).put(b"a picture")
    assert {path.name for path in home.iterdir()} == {"unclip.db", "pictures"}
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_given_is_taken(tmp_path: Path) -> None:
    assert database_url(tmp_path, "postgresql://me@host/x") == "postgresql://me@host/x"
    assert store_url(tmp_path, "s3://bucket/pictures") == "s3://bucket/pictures"
