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


def settings_in(home: Path) -> Settings:
    """A server that signs nothing, which is quicker."""
    home.mkdir()
    return Settings(home, f"sqlite:///{home / 'unclip.db'}", str(home / "pictures"), sign=False)


def started(stack: ExitStack, settings: Settings, engines: Engines, client: tuple[str, int]) -> Served:
    """Start a server, which stops with the stack."""
    service = open_service(settings)
    app = create_app(service)
    http = TestClient(app, "http://127.0.0.1:8000", raise_server_exceptions=False, client=client)
    return Served(stack.enter_context(http), service, engines)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    """The stub engines of all servers of a test."""
    return Engines.installed(monkeypatch)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """What a server has by default."""
    return settings_in(tmp_path / "home")


@pytest.fixture
def serve(settings: Settings, engines: Engines) -> Iterator[Serve]:
    """Start a server with some settings changed, and stop it after the test."""
    with ExitStack() as stack:

        def start(client: tuple[str, int] = HERE, **changes: Any) -> Served:
            return started(stack, replace(settings, **changes), engines, client)

        yield start


@pytest.fixture
def served(serve: Serve) -> Served:
    """A server as it is by default."""
    return serve()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same for all tests of a module, which make no keys and leave its engine as it is."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        settings = settings_in(tmp_path_factory.mktemp("standing") / "home")
        yield started(stack, settings, Engines.installed(patch), HERE)
