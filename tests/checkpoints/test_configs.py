import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import pytest

from unclip import presets
from unclip.checkpoints.configs import config_from_json, config_to_json, read_json, write_json
from unclip.diffusion.process import ProcessConfig
from unclip.errors import CheckpointError

PRESETS = [presets.tiny, presets.bundled, presets.karlo, presets.paper]
PROCESS = config_to_json(ProcessConfig())


@dataclasses.dataclass(frozen=True)
class Every:
    """One field of every kind that configs have."""

    flag: bool
    count: int
    share: float
    name: str
    kind: Literal["a", "b"]
    sizes: tuple[int, ...]
    process: ProcessConfig
    anything: Any
    limit: int | None = None
    table: dict[str, ProcessConfig] = dataclasses.field(default_factory=dict[str, ProcessConfig])


VALUES: dict[str, Any] = {
    "flag": True,
    "count": 1,
    "share": 0.5,
    "name": "x",
    "kind": "a",
    "sizes": [1, 2],
    "process": PROCESS,
    "anything": [None],
}


def through_json(config: Any) -> Any:
    return config_from_json(type(config), json.loads(json.dumps(config_to_json(config))), "here")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_survives_the_way_through_json(preset: Any) -> None:
    assert through_json(preset()) == preset()


def test_every_kind_of_field_survives_the_way_through_json() -> None:
    table = {"a": ProcessConfig(), "b": ProcessConfig("linear", 10, x0_limit=5.0)}
    config = Every(False, 3, 0.1, "Kynkäänniemi", "b", (), ProcessConfig(), None, limit=4, table=table)
    assert through_json(config) == config


def test_every_unknown_and_missing_field_is_listed() -> None:
    values = {**VALUES, "colour": 1, "shape": 2}
    del values["name"], values["sizes"]
    with pytest.raises(CheckpointError) as caught:
        config_from_json(Every, values, "config.json")
    for word in ("config.json", "Every", "colour", "shape", "name", "sizes"):
        assert word in str(caught.value)
    assert "limit" not in str(caught.value)  # it has a default


def test_fields_with_defaults_may_be_absent() -> None:
    config = config_from_json(Every, VALUES, "here")
    assert (config.limit, config.table, config.sizes) == (None, {}, (1, 2))
    assert config.process == ProcessConfig()


@pytest.mark.parametrize("value", [2, 2.0])
def test_a_whole_number_may_stand_for_a_fraction(value: float) -> None:
    assert repr(config_from_json(Every, {**VALUES, "share": value}, "here").share) == "2.0"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("flag", 1, "bool"),
        ("count", True, "int"),
        ("count", 1.5, "int"),
        ("count", None, "int"),
        ("share", "1", "float"),
        ("share", True, "float"),
        ("name", 1, "str"),
        ("kind", "c", "Literal['a', 'b']"),
        ("kind", ["a"], "Literal['a', 'b']"),
        ("sizes", 3, "tuple[int, ...]"),
        ("sizes", [1, "2"], "int"),
        ("limit", "1", "int"),
        ("table", [1], "dict[str"),
        ("table", {"a": 3}, "ProcessConfig"),
        ("process", None, "ProcessConfig"),
        ("process", {**PROCESS, "prediction": "x"}, "Literal['x0', 'eps', 'v']"),
    ],
)
def test_a_value_of_another_type_is_refused(field: str, value: Any, expected: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        config_from_json(Every, {**VALUES, field: value}, "config.json")
    assert f"config.json: {field}" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize("values", [[], None, "x", 3])
def test_what_is_no_object_is_refused(values: Any) -> None:
    with pytest.raises(CheckpointError, match="expected the fields of Every"):
        config_from_json(Every, values, "here")


def test_json_is_written_for_people_and_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"author": "Kynkäänniemi", "sizes": [1, 2]})
    assert "Kynkäänniemi" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"author": "Kynkäänniemi", "sizes": [1, 2]}


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe"])
def test_a_torn_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.json cannot be read"):
        read_json(tmp_path / "a.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a\.json is missing"):
        read_json(tmp_path / "a.json")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_json(tmp_path)
