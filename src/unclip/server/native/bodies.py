"""JSON bodies: read and refused as those of the OpenAI endpoints are, and described on the OpenAPI page."""

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel

from unclip.server.contract import read_json, validated

B = TypeVar("B", bound=BaseModel)


async def read_body(request: Request, kind: type[B]) -> B:
    """Read a request's body. Raises ApiError for the first value that is wrong."""
    return validated(kind, read_json(await request.body()))


def described(*kinds: type[BaseModel]) -> dict[str, Any]:
    """Describe a JSON body that is one of these."""
    schemas = [_whole(kind.model_json_schema()) for kind in kinds]
    return body({"application/json": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}})


def body(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a body, given its schema in each media type."""
    content = {media: {"schema": schema} for media, schema in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """Put definitions where they are named: a page has one place for them, which is not within a body."""
    definitions = schema.pop("$defs", {})

    def whole(part: Any) -> Any:
        if isinstance(part, list):
            return [whole(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return whole(definitions[part["$ref"].rpartition("/")[2]])
        return {name: whole(value) for name, value in part.items()}

    return whole(schema)
