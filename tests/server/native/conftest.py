"""A server that listens at a port, and its users."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from running_server import Running, User
from stub_engine import Engines

from unclip.server.service import open_service
from unclip.server.settings import Settings

NewServer = Callable[..., Running]


@pytest.fixture
def new_server(settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewServer]:
    """Starts a server with some settings changed."""
    monkeypatch.setattr("unclip.server.app.STOP_SECONDS", 0.05)  # for jobs that a test leaves undone
    running = list[Running]()

    def start(**changes: Any) -> Running:
        changed = replace(settings, **{"policy": "off", **changes})
        running.append(Running(open_service(changed), engines).start())
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def server(new_server: NewServer) -> Running:
    """A server as it is by default, but for its policy."""
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
