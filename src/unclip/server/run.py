"""Running a server: until it is told to stop, or cannot draw at all."""

import asyncio
import contextlib
import ctypes
import logging
import signal
import socket

import uvicorn

from unclip.errors import CheckpointError, RequestError
from unclip.server.app import STOP_SECONDS, create_app
from unclip.server.service import Service

log = logging.getLogger("unclip.server")

MMAP_THRESHOLD = -3  # the name M_MMAP_THRESHOLD of malloc.h


class _Server(uvicorn.Server):
    """Tells the dispatcher at once when it is asked to stop, so that nobody waits for what is not begun."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: object) -> None:
        """Stop, by a signal."""
        del frame
        # Not uvicorn's own: it raises the signal again at the end, before anything is tidied up.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        asyncio.get_running_loop().call_soon_threadsafe(self._stop_waiting)

    def _stop_waiting(self) -> None:
        self.service.dispatcher.drain()
        self.service.events.close()


def _give_memory_back() -> None:
    """Have what pictures took go back to the system; glibc would keep it, and more of it for each thread."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 2**17)  # its default, that it would else raise by itself


def serve(service: Service) -> None:
    """Serve until told to stop.

    Raises CheckpointError if the model cannot be loaded, and RequestError if the address cannot be had.
    """
    settings = service.settings
    with service.closing, _listening(settings.host, settings.port) as listener:
        refused = asyncio.run(_serve(_server(service), listener))
    if refused is not None:
        raise CheckpointError(refused)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise RequestError(
            f"{host} cannot be served at port {port} ({reason}): choose another with --port or --host"
        ) from error
    name = f"[{host}]" if ":" in host else host
    log.info("serving at http://%s:%d", name, listener.getsockname()[1])
    return listener


def _server(service: Service) -> _Server:
    _give_memory_back()
    config = uvicorn.Config(
        create_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(STOP_SECONDS),
        timeout_keep_alive=75,
    )
    return _Server(config, service)


async def _serve(server: _Server, listener: socket.socket) -> str | None:
    """Return why the model cannot be loaded, if that has ended the server."""
    serving = asyncio.ensure_future(server.serve([listener]))
    await asyncio.sleep(0)
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    refused = server.service.dispatcher.refused
    if refused is not None:
        await asyncio.wait((serving, refused), return_when=asyncio.FIRST_COMPLETED)
        if refused.done():
            server.handle_exit(signal.SIGTERM, None)
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    return refused.result() if refused is not None and refused.done() else None
