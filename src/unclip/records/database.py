"""The database: SQLite by default, PostgreSQL by URL; opened, brought up to date, and held by one server."""

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from unclip.errors import RequestError
from unclip.records.migrating import migrate

T = TypeVar("T")

_EXPECTED = "give sqlite:///FILE or postgresql://USER@HOST/DATABASE"
# PostgreSQL's locks are numbers, of one database each: "unclip" and what is locked.
_SERVING, _MIGRATING = 0x756E636C697001, 0x756E636C697002


def open_database(url: str) -> Engine:
    """Open a database, made if it is SQLite's and new, and bring its tables up to date.

    `url` is sqlite:///FILE, sqlite:////FILE from the root, or postgresql://USER@HOST/DATABASE. Raises
    RequestError for one that cannot be opened, or was used by a newer unclip.
    """
    address = _address(url)
    try:
        engine = _sqlite(address) if address.get_backend_name() == "sqlite" else _postgresql(address)
    except ImportError:
        raise RequestError("PostgreSQL needs psycopg: pip install 'unclip[postgresql]'") from None
    try:
        with writing(engine) as connection:
            if engine.dialect.name == "postgresql":  # where two programs may write at once
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
            migrate(connection)
    except SQLAlchemyError as error:
        engine.dispose()
        remedy = "see that it is there and may be written, or give another database"
        raise RequestError(f"{_shown(address)} cannot be opened ({_reason(error)}): {remedy}") from error
    except RequestError as error:
        engine.dispose()
        raise RequestError(f"{_shown(address)} {error}") from None
    return engine


@contextmanager
def reading(engine: Engine) -> Generator[Connection]:
    """Give a connection that looks at the database as it is at one moment."""
    with engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Generator[Connection]:
    """Give a connection whose changes are made together when all went well, or not at all."""
    with engine.connect().execution_options(unclip_writes=True) as connection, connection.begin():
        yield connection


def until_unique(change: Callable[[], T]) -> T:
    """Make a change; if another thread was first with a unique row, make it again, beside that row."""
    try:
        return change()
    except IntegrityError:
        return change()


class Claim:
    """A database that this process has for itself, until it lets go or dies."""

    def __init__(self, let_go: Callable[[], None]) -> None:
        self._let_go = let_go

    def release(self) -> None:
        """Let another server have the database."""
        self._let_go()

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def claim(engine: Engine) -> Claim:
    """Take a database for one server. Raises RequestError if another has it."""
    if engine.dialect.name == "postgresql":
        return _claim_postgresql(engine)
    return Claim(lambda: None) if _in_memory(engine.url) else _claim_file(engine.url)


def _claim_postgresql(engine: Engine) -> Claim:
    """Take a lock that lasts as long as its connection, which leaves the pool for that."""
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    connection.detach()
    if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _SERVING}):
        connection.close()
        raise _taken(engine.url)
    return Claim(connection.close)


def _claim_file(address: URL) -> Claim:
    """Lock a file beside the database; it stays, or two servers could each lock one of its name."""
    try:
        file = os.open(f"{address.database}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RequestError(f"{address.database}.lock cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise _taken(address) from None
    return Claim(lambda: os.close(file))


def _taken(address: URL) -> RequestError:
    return RequestError(f"{_shown(address)} is in use by another server: stop it, or give another database")


def _address(url: str) -> URL:
    try:
        address = make_url(url.replace("postgres://", "postgresql://", 1))
        backend = address.get_backend_name()
    except (ArgumentError, ValueError):
        raise RequestError(f"the database is not named by an URL: {_EXPECTED}") from None
    if backend not in ("sqlite", "postgresql"):
        raise RequestError(f"a database of kind {backend} is not known: {_EXPECTED}")
    return address.set(drivername="sqlite" if backend == "sqlite" else "postgresql+psycopg")


def _sqlite(address: URL) -> Engine:
    connect = {"check_same_thread": False, "isolation_level": None}  # threads take turns; _begin begins
    if _in_memory(address):  # is gone with its connection: all share one
        engine = create_engine(
            address, poolclass=QueuePool, pool_size=1, max_overflow=0, connect_args=connect
        )
    else:
        file = str(Path(address.database or "").absolute())
        engine = create_engine(address.set(database=file), connect_args=connect)
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, record: object) -> None:
    try:
        for setting in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {setting}")
    except Exception:
        connection.close()
        raise


def _begin(connection: Connection) -> None:
    """Begin as a writer where one will write: of two readers that both become writers, one must fail."""
    writes = connection.get_execution_options().get("unclip_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(address: URL) -> Engine:
    wait = {} if "connect_timeout" in address.query else {"connect_timeout": 10}
    return create_engine(address, pool_pre_ping=True, connect_args=wait)


def _in_memory(address: URL) -> bool:
    return address.database in (None, "", ":memory:")


def _shown(address: URL) -> str:
    return address.render_as_string(hide_password=True).replace("+psycopg", "")


def _reason(error: SQLAlchemyError) -> str:
    return " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
