"""Frozen config dataclasses to JSON and back, strictly."""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from unclip.errors import CheckpointError

C = TypeVar("C")


def config_to_json(config: Any) -> dict[str, Any]:
    """Return the fields of a config, nested configs as nested objects."""
    return dataclasses.asdict(config)


def config_from_json(cls: type[C], values: Any, where: str) -> C:
    """Build a config; `where` names the source in errors.

    Raises CheckpointError listing every unknown and every missing field.
    """
    if not isinstance(values, dict):
        raise CheckpointError(
            f"{where}: expected the fields of {cls.__name__}, found {type(values).__name__}"
        )
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls))}
    required = {n for n, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING}
    unknown, missing = sorted(values.keys() - fields.keys()), sorted(required - values.keys())
    if unknown or missing:
        raise CheckpointError(f"{where}: {cls.__name__} has unknown fields {unknown} and lacks {missing}")
    hints = typing.get_type_hints(cls)
    return cls(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in values.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return config_from_json(typing.cast(type, hint), value, where)
    if origin is types.UnionType:  # X | None
        return None if value is None else _value(arguments[0], value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], item, where) for item in value)
    if origin is dict and isinstance(value, dict):
        return {key: _value(arguments[1], item, where) for key, item in value.items()}
    if hint is float and type(value) is int:  # JSON writes 1.0 as 1 in some hands
        return float(value)
    if hint is Any or type(value) is hint or (origin is typing.Literal and value in arguments):
        return value
    expected = hint.__name__ if isinstance(hint, type) else str(hint).removeprefix("typing.")
    raise CheckpointError(f"{where} is {value!r}, expected {expected}")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises CheckpointError if it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None


def write_json(path: Path, values: Any) -> None:
    """Write a JSON file for people to read."""
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
