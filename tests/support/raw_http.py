"""HTTP by hand, for requests that no client library sends."""

import http.client
import json
import select
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Response:
    """An answer; status 0 where the connection has ended without one."""

    status: int
    type: str
    body: bytes

    @property
    def error(self) -> Any:
        """What is under `error` in a JSON object, None if this is none."""
        with suppress(ValueError, AttributeError):
            return json.loads(self.body).get("error")
        return None


def send(port: int, parts: Iterable[bytes], ends: bool = False) -> tuple[Response, int]:
    """Send bytes until all are sent, or an answer comes; return it, and how many were sent.

    `ends`: say that no more will come, which is to hang up unless the answer is there.
    """
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        with suppress(ConnectionError):
            for part in parts:
                if select.select([connection], [], [], 0)[0]:
                    break
                connection.sendall(part)
                sent += len(part)
            if ends:
                select.select([connection], [], [], 1)
                connection.shutdown(socket.SHUT_WR)
        return _answer(connection), sent


def _answer(connection: socket.socket) -> Response:
    response = http.client.HTTPResponse(connection)
    try:
        response.begin()
        return Response(response.status, response.getheader("content-type", ""), response.read())
    except (http.client.HTTPException, ConnectionError):
        return Response(0, "", b"")
    finally:
        response.close()
