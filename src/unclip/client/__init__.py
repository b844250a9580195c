"""A client of `unclip serve`, for programs that only ask for pictures: it needs httpx, and no torch.

with Client(api_key="sk-...") as client:
    client.generate("a red apple on a wooden table")[0].save("apple.png")
"""

from unclip.errors import RequestError

try:
    import httpx as _httpx  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ImportError:
    raise RequestError("the client needs httpx, which is not here: pip install 'unclip[client]'") from None

from unclip.client.answers import ApiError, Image, Job, Partial, Picture
from unclip.client.asynchronous import AsyncClient
from unclip.client.sse import Event
from unclip.client.sync import Client

__all__ = ["ApiError", "AsyncClient", "Client", "Event", "Image", "Job", "Partial", "Picture"]
