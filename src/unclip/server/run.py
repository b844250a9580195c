"""Running a server: until it is told to stop, or cannot draw at all."""

import asyncio
import contextlib
import signal

import uvicorn

from unclip.errors import CheckpointError
from unclip.server.app import STOP_SECONDS, create_app
from unclip.server.service import Service


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


def serve(service: Service) -> None:
    """Serve until told to stop. Raises CheckpointError if the model cannot be loaded."""
    settings = service.settings
    config = uvicorn.Config(
        create_app(service),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(STOP_SECONDS),
        timeout_keep_alive=75,
    )
    refused = asyncio.run(_serve(_Server(config, service)))
    if refused is not None:
        raise CheckpointError(refused)


async def _serve(server: _Server) -> str | None:
    """Return why the model cannot be loaded, if that has ended the server."""
    serving = asyncio.ensure_future(server.serve())
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
