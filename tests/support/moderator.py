"""A small moderator on loopback that answers as it is told and remembers what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Moderator:
    """What it answers, and what it has heard: the head of each request, and its body."""

    body: bytes = b""
    status: int = 200
    head: str = ""  # more lines of it
    wait: float = 0.0  # seconds before each byte
    url: str = ""
    heard: list[tuple[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, *results: dict[str, Any]) -> "Moderator":
        return cls(json.dumps({"id": "modr-1", "results": results}).encode())

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        self.heard.append((head, json.loads(await reader.readexactly(int(lines["content-length"])))))
        length = f"Content-Length: {len(self.body)}\r\nConnection: close\r\n"
        answer = f"HTTP/1.1 {self.status} X\r\n{length}{self.head}\r\n".encode() + self.body
        try:
            for part in [answer] if not self.wait else [answer[k : k + 1] for k in range(len(answer))]:
                await asyncio.sleep(self.wait)
                writer.write(part)
                await writer.drain()
        except ConnectionError:  # who asked has gone
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Moderator"]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/moderations"
        async with server:
            yield self
