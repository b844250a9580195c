"""What schemathesis cannot know from the schema: what a picture is, and what depends on the model or on the past.

Values that are wrong by the schema stay as they are. Loaded by schemathesis itself (SCHEMATHESIS_HOOKS).
"""

import itertools
from io import BytesIO
from typing import Any

import requests
import schemathesis
from hypothesis import strategies
from PIL import Image

NATIVE_SIZE = 64  # a size of the tiny model
_numbers = itertools.count()


def _picture() -> bytes:
    """A square picture with a hole, good for edits, masks and variations."""
    image, file = Image.new("RGBA", (64, 64), "red"), BytesIO()
    image.paste((0, 0, 0, 0), (16, 16, 48, 48))
    image.save(file, "PNG")
    return file.getvalue()


schemathesis.openapi.format("binary", strategies.just(_picture()))


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Name the model that there is, draw little, and give every collection a name of its own."""
    body, path = case.body, case.operation.path
    if not isinstance(body, dict):
        return
    if path.startswith("/v1/images/"):
        if _is_text(body.get("model"), 0, 1024):
            body["model"] = "dall-e-2"
        if str(body.get("n")) in map(str, range(3, 11)) and body.get("size") in (
            None,
            "auto",
            "1024x1024",
            "512x512",
        ):
            body["size"] = "256x256"
    elif path == "/api/jobs" and type(body.get("size")) is int and body["size"] >= 1:
        body["size"] = NATIVE_SIZE
    elif path.startswith("/api/collections") and _is_text(body.get("name"), 1, 100):
        body["name"] = f"collection {next(_numbers)}"


@schemathesis.hook
def after_call(context: schemathesis.HookContext, case: schemathesis.Case, response: Any) -> None:
    """Cancel what was begun: a job may have thousands of steps."""
    if case.operation.path == "/api/jobs" and response.status_code == 202:
        key = {"authorization": response.request.headers["authorization"]}
        requests.delete(f"{response.request.url}/{response.json()['id']}", headers=key, timeout=60)


def _is_text(value: object, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value) <= most and "\0" not in value
