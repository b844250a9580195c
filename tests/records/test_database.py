"""Databases: opened, migrated, held by one server, and shared by threads."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sample_records import a_job
from sqlalchemy import Engine, create_engine, inspect, text

from unclip.errors import RequestError
from unclip.records.database import claim, open_database, reading, writing
from unclip.records.jobs import Jobs

HOLD = """
import sys, time
from unclip.records.database import claim, open_database
held = claim(open_database(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def refusal(url: str) -> str:
    """The line that a database is refused with."""
    with pytest.raises(RequestError) as refused:
        open_database(url)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_database_opened_again_holds_what_it_held(url: str) -> None:
    first = open_database(url)
    job = Jobs(first).add(a_job())
    first.dispose()
    again = open_database(url)
    assert Jobs(again).get(job.id) == job
    again.dispose()


def test_many_open_a_new_database_at_once(url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        engines = list(pool.map(open_database, [url] * 8))
    assert {len(inspect(engine).get_table_names()) for engine in engines} == {7}
    for engine in engines:
        engine.dispose()


def test_a_database_of_a_newer_program(engine: Engine, url: str) -> None:
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '999'"))
    assert "was used by a newer unclip (revision 999): upgrade this one" in refusal(url)
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "999"


def test_a_change_that_fails_leaves_nothing(engine: Engine) -> None:
    def change() -> None:
        with writing(engine) as connection:
            connection.execute(text("DELETE FROM jobs"))
            raise ZeroDivisionError

    jobs = Jobs(engine)
    jobs.add(a_job())
    with pytest.raises(ZeroDivisionError):
        change()
    assert jobs.counts()["queued"] == 1
    jobs.add(a_job())
    assert jobs.counts()["queued"] == 2, "and the next change finds nothing locked"


def test_threads_write_and_read_side_by_side(engine: Engine) -> None:
    jobs = Jobs(engine)

    def work(k: int) -> int:
        job = jobs.add(a_job(owner=f"user {k % 3}"))
        assert jobs.start(job.id)
        assert jobs.finish(job.id, [], {"k": k})
        return jobs.used(job.owner, since=0.0)

    with ThreadPoolExecutor(16) as pool:
        used = list(pool.map(work, range(120)))
    assert max(used) == 40
    assert jobs.counts() == {"queued": 0, "running": 0, "done": 120, "failed": 0, "cancelled": 0}


def test_one_server_at_a_time(engine: Engine, url: str) -> None:
    other = open_database(url)
    with claim(engine):
        with pytest.raises(RequestError, match="in use by another server: stop it, or give another database"):
            claim(other)
        assert Jobs(other).counts()["queued"] == 0, "other programs may look at it"
    claim(other).release()
    other.dispose()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_claim_dies_with_its_process(engine: Engine, url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(RequestError, match="in use by another server"):
            claim(engine)
        os.kill(child.pid, signal.SIGKILL)
    for _ in range(100):  # PostgreSQL takes a moment to see it
        try:
            return claim(engine).release()
        except RequestError:
            time.sleep(0.05)
    pytest.fail("a dead process holds the database")


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_a_process_killed_before_each_statement_leaves_whole_records(url: str) -> None:
    program = [sys.executable, str(Path(__file__).with_name("killed.py")), url]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_sqlite_waits_and_keeps_its_word(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'a b%3Fc.db'}")
    assert (tmp_path / "a b?c.db").exists()
    with reading(engine) as connection:
        settings = {
            name: connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "busy_timeout", "synchronous", "foreign_keys")
        }
    engine.dispose()
    assert settings == {"journal_mode": "wal", "busy_timeout": 30000, "synchronous": 1, "foreign_keys": 1}


def test_a_relative_path_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    engine = open_database("sqlite:///here.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    engine.dispose()
    Jobs(engine).add(a_job())
    claim(engine).release()
    engine.dispose()
    assert not list((tmp_path / "elsewhere").iterdir())
    assert (tmp_path / "here.db.lock").exists()


def test_a_database_in_memory_is_one_for_all_threads() -> None:
    engine = open_database("sqlite://")
    with claim(engine), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: Jobs(engine).add(a_job()), range(20)))
        assert Jobs(engine).counts()["queued"] == 20
    engine.dispose()


def test_places_where_no_database_can_be(tmp_path: Path) -> None:
    remedy = "see that it is there and may be written, or give another database"
    line = refusal(f"sqlite:///{tmp_path / 'missing' / 'unclip.db'}")
    assert line.endswith(f"unclip.db cannot be opened (unable to open database file): {remedy}")
    assert "unable to open" in refusal("sqlite:////proc/unclip.db")
    (tmp_path / "notes.txt").write_text("This is no database.\n" * 100)
    line = refusal(f"sqlite:///{tmp_path / 'notes.txt'}")
    assert "notes.txt cannot be opened (file is not a database)" in line
    assert (tmp_path / "notes.txt").read_text().startswith("This is no database")


def test_a_database_with_other_tables_of_our_names(tmp_path: Path) -> None:
    other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    with other.begin() as connection:
        connection.execute(text("CREATE TABLE keys (id INTEGER)"))
    other.dispose()
    assert "table keys already exists" in refusal(f"sqlite:///{tmp_path / 'other.db'}")
    other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    assert inspect(other).get_table_names() == ["keys"], "what was begun is taken back"
    other.dispose()


@pytest.mark.parametrize("url", ["unclip.db", "", "/tmp/unclip.db", "sqlite:x", "postgresql://host:port/x"])
def test_what_is_no_url(url: str) -> None:
    expected = "the database is not named by an URL: give sqlite:///FILE or postgresql://USER@HOST/DATABASE"
    assert refusal(url) == expected


def test_databases_of_other_kinds() -> None:
    assert refusal("mysql://me:secret@host/x").startswith(
        "a database of kind mysql is not known: give sqlite"
    )
    assert "secret" not in refusal("oracle://me:secret@host/x")


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    expected = "PostgreSQL needs psycopg: pip install 'unclip[postgresql]'"
    assert refusal("postgresql://me@host/x") == expected


def test_a_server_that_does_not_answer() -> None:
    pytest.importorskip("psycopg")
    line = refusal("postgresql://me:secret@127.0.0.1:1/x")
    assert line.startswith("postgresql://me:***@127.0.0.1:1/x cannot be opened (connection")
    assert "secret" not in line
