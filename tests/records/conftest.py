"""A new database for each test: SQLite's, or one of the PostgreSQL server that UNCLIP_TEST_DATABASE names."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from unclip.records.database import open_database


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    server = os.environ.get("UNCLIP_TEST_DATABASE")
    if server is None:
        yield f"sqlite:///{tmp_path / 'unclip.db'}"
        return
    address, name = make_url(server), f"unclip_{secrets.token_hex(8)}"
    admin = create_engine(address.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield address.set(database=name).render_as_string(hide_password=False)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The same, opened."""
    engine = open_database(url)
    yield engine
    engine.dispose()
