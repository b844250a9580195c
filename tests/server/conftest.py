"""Servers in this process, each in a home of its own, around stub engines."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from served import HERE, Served
from starlette.testclient import TestClient
from stub_engine import Engines

from unclip.server.app import create_app
from unclip.server.service import open_service
from unclip.server.settings import Settings

Serve = Callable[..., Served]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    """The stub engines of all servers of a test."""
    return Engines.installed(monkeypatch)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A server that signs nothing, which is quicker."""
    home = tmp_path / "home"
    home.mkdir()
    return Settings(home, f"sqlite:///{home / 'unclip.db'}", str(home / "pictures"), sign=False)


@pytest.fixture
def serve(settings: Settings, engines: Engines) -> Iterator[Serve]:
    """Start a server with some settings changed, and stop it after the test."""
    with ExitStack() as stack:

        def start(client: tuple[str, int] = HERE, **changes: Any) -> Served:
            service = open_service(replace(settings, **changes))
            app = create_app(service)
            http = TestClient(app, "http://127.0.0.1:8000", raise_server_exceptions=False, client=client)
            return Served(stack.enter_context(http), service, engines)

        yield start


@pytest.fixture
def served(serve: Serve) -> Served:
    """A server as it is by default."""
    return serve()
