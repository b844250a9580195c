"""A server whose engine is a stub, and its users."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from running_server import Running, User
from stub_engine import Engines

from unclip.server.service import open_service
from unclip.server.settings import Settings

NewServer = Callable[..., Running]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    return Engines.installed(monkeypatch)


@pytest.fixture
def new_server(tmp_path: Path, engines: Engines) -> Iterator[NewServer]:
    """Starts a server with settings of a test's own."""
    database, store = f"sqlite:///{tmp_path / 'unclip.db'}", str(tmp_path / "pictures")
    running = list[Running]()

    def start(**settings: Any) -> Running:
        plain = Settings(tmp_path, database, store, sign=False, policy="off")
        running.append(Running(open_service(replace(plain, **settings)), engines))
        return running[-1].start()

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def server(new_server: NewServer) -> Running:
    return new_server()


@pytest.fixture
def alice(server: Running) -> User:
    return server.user("alice")


@pytest.fixture
def bob(server: Running) -> User:
    return server.user("bob")


@pytest.fixture
def root(server: Running) -> User:
    """Who looks after the server."""
    return server.user("root", scopes=("images", "admin"))
