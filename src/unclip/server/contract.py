"""What the images endpoints take: the DALL-E 2 API's parameters, and later ones that are ignored.

Source: openai/openai-openapi, CreateImageRequest, CreateImageEditRequest and CreateImageVariationRequest; the
errors are those that the live API answered.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unclip.server.errors import ApiError, bad_request
from unclip.server.settings import Compat

Size = Literal["256x256", "512x512", "1024x1024", "auto"]
Format = Literal["url", "b64_json"]
MOST_PROMPT = 1000  # characters

Count = Annotated[int | None, Field(ge=1, le=10, strict=True)]
NO_NUL = r"^[^\x00]*$"  # PostgreSQL's texts can have none
Text = Annotated[str, Field(max_length=1024, pattern=NO_NUL)]
Prompt = Annotated[
    str, Field(min_length=1, max_length=MOST_PROMPT, pattern=NO_NUL, description="What the picture shows.")
]


class Parameters(BaseModel):
    """What all three have in common; null and absent are the same."""

    model_config = ConfigDict(extra="forbid")

    model: Text | None = Field(None, description="This server's model, or dall-e-2.")
    n: Count = Field(None, description="How many pictures, 1 to 10.")
    size: Size | None = Field(None, description="Pixels; auto is 1024x1024.")
    response_format: Format | None = Field(None, description="url: a link that lives for 60 minutes.")
    user: Text | None = None
    safety_identifier: Text | None = None

    @property
    def side(self) -> int:
        """Pixels a side."""
        return 1024 if self.size in (None, "auto") else int(self.size.split("x")[0])


class Foreign(Parameters):
    """Parameters of later models: taken and ignored, but for `stream`."""

    quality: Literal["standard", "hd", "low", "medium", "high", "auto"] | None = None
    background: Literal["auto", "opaque"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: Annotated[int | None, Field(ge=0, le=100, strict=True)] = None
    stream: Annotated[bool | None, Field(strict=True)] = None
    partial_images: Annotated[int | None, Field(ge=0, le=3, strict=True)] = None


class Generation(Foreign):
    """A request for pictures of a sentence."""

    prompt: Prompt
    style: Literal["vivid", "natural"] | None = None
    moderation: Literal["low", "auto"] | None = None


class Edit(Foreign):
    """A request for a picture whose hole is painted anew; the pictures come beside it."""

    prompt: Prompt
    input_fidelity: Literal["high", "low"] | None = None
    mask_mode: Literal["alpha", "white"] | None = Field(
        None, description="alpha: the hole is where alpha is 0; white: where the mask is white."
    )


class Variation(Parameters):
    """A request for pictures like a given one."""


_OURS = Parameters.model_fields.keys() | {"prompt", "mask_mode"}
_GPT_IMAGE = {"background", "output_format", "output_compression", "moderation", "input_fidelity"}
_GPT_QUALITIES = {"low", "medium", "high", "auto"}
P = TypeVar("P", bound=Parameters)
B = TypeVar("B", bound=BaseModel)


def parse(kind: type[P], values: Mapping[str, Any], compat: Compat) -> P:
    """Read parameters. Raises ApiError as the live API did: for the first that is wrong."""
    if compat == "strict" and (unknown := [name for name in values if name not in _OURS]):
        raise unknown_parameter(unknown[0])
    return validated(kind, values)


def validated(kind: type[B], values: Mapping[str, Any]) -> B:
    """Read a model. Raises ApiError for the first value that is wrong."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise _error(error.errors()[0]) from None


def expects_b64(parameters: Parameters) -> bool:
    """Tell whether a parameter was given that only models have which always answer base64."""
    given = any(getattr(parameters, name, None) is not None for name in _GPT_IMAGE)
    return given or getattr(parameters, "quality", None) in _GPT_QUALITIES


def _number(text: str) -> int | float:
    """Read a number: JSON has one kind, in which 6.0 is 6."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def read_json(body: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises ApiError for anything else."""
    try:
        value = json.loads(body, parse_float=_number)
        json.dumps(value, ensure_ascii=False).encode()  # no half of a surrogate pair can be answered
    except (ValueError, RecursionError):
        raise bad_request("We could not parse the JSON body of your request: send a JSON object.") from None
    if not isinstance(value, dict):
        raise bad_request("The body of your request must be a JSON object.", "invalid_type")
    return value


_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBERS = {"n", "output_compression", "partial_images"}


def from_form(fields: Mapping[str, str]) -> dict[str, Any]:
    """Give texts of a form the types that JSON would have; empty ones are absent."""
    values: dict[str, Any] = {name: text for name, text in fields.items() if text or name == "prompt"}
    for name, text in values.items():
        if name in _NUMBERS and _NUMBER.fullmatch(text):
            values[name] = int(text)
        if name == "stream" and text.lower() in ("true", "false"):
            values[name] = text.lower() == "true"
    return values


def unknown_parameter(name: str) -> ApiError:
    """Return the error for a parameter that there is not."""
    name = name[:60]
    return bad_request(f"Unknown parameter: '{name}'.", "unknown_parameter", name)


def _error(found: Mapping[str, Any]) -> ApiError:
    (name, *within), kind, given = map(str, found["loc"]), found["type"], found["input"]
    limits = found.get("ctx", {})
    match kind:
        case "missing" if not within:
            return bad_request(f"Missing required parameter: '{name}'.", "missing_required_parameter", name)
        case "extra_forbidden" if not within:
            return unknown_parameter(name)
        case "string_too_long" if name == "prompt":
            return bad_request(
                f"Prompt must be length {MOST_PROMPT} or less. Your prompt length is {len(given)}."
                " Please reduce your prompt length.",
                param="prompt",
            )
        case "string_pattern_mismatch":  # of NO_NUL
            return bad_request(f"Invalid value for '{name}': it has a NUL.", "invalid_value", name)
        case "greater_than_equal":
            message = f"{_shown(given)} is less than the minimum of {limits['ge']} - '{name}'"
            return bad_request(message, f"{_kind_of(limits['ge'])}_below_min_value", name)
        case "less_than_equal":
            message = f"{_shown(given)} is greater than the maximum of {limits['le']} - '{name}'"
            return bad_request(message, f"{_kind_of(limits['le'])}_above_max_value", name)
        case "literal_error" if name == "size":
            return bad_request("The size is not supported by this model.", "invalid_size")
        case "literal_error":
            message = f"Invalid value: {_shown(given)}. Supported values are: {limits['expected']}."
            return bad_request(message, "invalid_value", name)
        case _ if kind.endswith(("_type", "_parsing")):
            return bad_request(f"Invalid type for '{name}': {found['msg']}.", "invalid_type", name)
        case _:
            return bad_request(f"Invalid value for '{name}': {found['msg']}.", "invalid_value", name)


def _kind_of(limit: int | float) -> str:
    return "integer" if isinstance(limit, int) else "decimal"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
