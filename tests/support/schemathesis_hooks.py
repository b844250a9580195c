"""What schemathesis cannot know: what a picture is, and what depends on the model, or on the past.

Loaded by schemathesis itself (SCHEMATHESIS_HOOKS).
"""

import uuid
from io import BytesIO
from typing import Any

import requests
import schemathesis
from hypothesis import strategies
from PIL import Image

MODELS, SIZES = ["dall-e-2", "tiny"], [64, 256]  # of the server


def _picture() -> bytes:
    """A square picture with a hole, good for edits, masks and variations."""
    image, file = Image.new("RGBA", (64, 64), "red"), BytesIO()
    image.paste((0, 0, 0, 0), (16, 16, 48, 48))
    image.save(file, "PNG")
    return file.getvalue()


schemathesis.openapi.format("binary", strategies.just(_picture()))


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Put in what the page cannot say before a model is loaded."""
    paths = raw_schema["paths"]
    for path in ("generations", "edits", "variations"):
        for schema in _schemas(paths[f"/v1/images/{path}"]["post"]):
            nothing = [None] if "anyOf" in schema["properties"]["model"] else []
            schema["properties"]["model"] = {"enum": [*MODELS, *nothing]}
    post = paths["/api/jobs"]["post"]
    for schema in _schemas(post):
        for task in schema["oneOf"]:
            if "size" in task["properties"]:
                task["properties"]["size"] = {"enum": [*SIZES, None]}
    # An idempotency key that came with another body before is refused.
    post["parameters"] = [one for one in post["parameters"] if one["name"].lower() != "idempotency-key"]


def _schemas(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [media["schema"] for media in operation["requestBody"]["content"].values()]


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Leave out what takes long to draw."""
    path, body = case.operation.path, case.body
    if not path.startswith("/v1/images/") or not isinstance(body, dict):
        return True
    large = path.endswith("edits") and body.get("size") in ("auto", "1024x1024")
    return not large and body.get("n") not in range(3, 11)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Give every collection a name that no other has."""
    if case.operation.path.startswith("/api/collections") and isinstance(case.body, dict):
        name = case.body.get("name")
        if isinstance(name, str) and 1 <= len(name) <= 100:
            case.body["name"] = f"collection {uuid.uuid4()}"


@schemathesis.hook
def after_call(context: schemathesis.HookContext, case: schemathesis.Case, response: Any) -> None:
    """Cancel what was begun: a job may have thousands of steps."""
    if case.operation.path == "/api/jobs" and response.status_code == 202:
        key = {"authorization": response.request.headers["authorization"]}
        requests.delete(f"{response.request.url}/{response.json()['id']}", headers=key, timeout=60)
