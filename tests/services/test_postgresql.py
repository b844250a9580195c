"""A server's records in PostgreSQL: a server of our own, on a socket in a temporary folder."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from unclip.errors import RequestError
from unclip.records.database import claim, open_database, writing
from unclip.records.keys import Keys

ROOT = Path(__file__).parents[2]
DEBIAN = "/usr/lib/postgresql/*/bin/initdb"


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL, whose one user needs no password."""

    programs: Path
    folder: Path

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://unclip@/{database}?host={self.folder}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs, as another user where this is root, for whom it does not start."""
        user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        command = [self.programs / program, "-D", self.folder / "data", *arguments]
        with (self.folder / "output.txt").open("a+") as output:  # the server keeps it open
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                **(user if os.geteuid() == 0 else {}),
            )
            assert done.returncode == 0, (self.folder / "output.txt").read_text()


def programs() -> Path:
    """The folder of PostgreSQL's programs, the newest; without any, skip at home and fail in CI."""
    found = sorted(Path("/").glob(DEBIAN.lstrip("/")), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        needs = "PostgreSQL's server is not installed (Debian's package postgresql)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(needs)
    return (found[-1] if found else Path(str(on_path))).parent


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = programs()
    # Not in pytest's folder: that is of this user alone, and its name may be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="unclip-"))
    server = Server(found, folder)
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
    try:
        # Estonian sorts z before t: no order of ours may depend on the language.
        language = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=et")
        server.run("initdb", "-U", "unclip", "-A", "trust", "-E", "UTF8", "--no-sync", *language)
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
        server.run("pg_ctl", "-w", "-o", options, "start")
        yield server
        server.run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def opened(server: Server) -> Iterator[Callable[[str], Engine]]:
    """Open a database by its name, made if it is not there."""
    engines: list[Engine] = []

    def open_(name: str) -> Engine:
        admin = open_database(server.url())
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            names = connection.scalars(text("SELECT datname FROM pg_database")).all()
            if name not in names:
                connection.execute(text(f"CREATE DATABASE {name}"))
        engines.extend([admin, open_database(server.url(name))])
        return engines[-1]

    yield open_
    for engine in engines:
        engine.dispose()


def test_every_test_of_the_records_passes(server: Server) -> None:
    command = [sys.executable, "-m", "pytest", "tests/records", "-q", "-p", "no:cacheprovider"]
    environment = os.environ | {"UNCLIP_TEST_DATABASE": server.url()}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


def test_another_database_of_the_same_server_is_free(opened: Callable[[str], Engine]) -> None:
    one, other = opened("one"), opened("other")
    with claim(one), claim(other):
        for engine in (one, other):
            with pytest.raises(RequestError, match="is in use by another server"):
                claim(engine)


def test_ids_sort_by_their_bytes_in_any_language(opened: Callable[[str], Engine]) -> None:
    with writing(opened("sorted")) as connection:
        values = "(VALUES ('t'), ('z')) AS given (id)"
        of_language = connection.scalars(text(f"SELECT id FROM {values} ORDER BY id")).all()
        assert of_language == ["z", "t"]
        added = "INSERT INTO audit (id, created, action, detail) SELECT id, 0, 'x', '{}' FROM " + values
        connection.execute(text(added))
        assert connection.scalars(text("SELECT id FROM audit ORDER BY id")).all() == ["t", "z"]


def test_a_database_that_is_not_there(server: Server) -> None:
    with pytest.raises(
        RequestError, match=r'cannot be opened \(.*database "gone" does not exist\): see that'
    ):
        open_database(server.url("gone"))


def test_the_older_form_of_the_url(server: Server) -> None:
    open_database(server.url().replace("postgresql://", "postgres://")).dispose()


def test_a_restarted_server_is_found_again(server: Server, opened: Callable[[str], Engine]) -> None:
    keys = Keys(opened("restarted"))
    key, _ = keys.create("before")
    server.run("pg_ctl", "-w", "-m", "fast", "restart")
    assert keys.list() == [key]
