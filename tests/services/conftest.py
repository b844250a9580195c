"""Servers for tests that ask one as users do: over HTTP, in a process of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unclip_server import Server

Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def new_server(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Makes a server of the tiny model with the options given, not yet started; all are ended at the end."""
    servers: list[Server] = []

    def new(*options: str) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("home"), model_folder, options))
        return servers[-1]

    yield new
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def server(new_server: Serve) -> Server:
    """A server with the default options, which has a key."""
    server = new_server()
    server.create_key("first")  # from now on nobody is served without one
    return server.start()


@pytest.fixture
def key(server: Server, request: pytest.FixtureRequest) -> str:
    """A key of the test's own."""
    return server.create_key(request.node.nodeid[-100:])
