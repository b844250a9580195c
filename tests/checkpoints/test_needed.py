import json
from pathlib import Path

import pytest

from unclip.checkpoints.needed import is_model, lacking, needed, without_weights
from unclip.errors import CheckpointError

SHARDS = ("a/model-00001-of-00002.safetensors", "a/model-00002-of-00002.safetensors")


def names_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_of_karlo_one_format_of_the_weights(karlo: dict[str, bytes]) -> None:
    assert needed(karlo) == [
        "README.md",
        "model_index.json",
        "prior/config.json",
        "prior/diffusion_pytorch_model.safetensors",
        "prior_scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
    ]


def test_of_our_own_folders_everything(model_folder: Path) -> None:
    names = names_in(model_folder)
    assert is_model(names)
    assert needed(names) == sorted(names)
    assert lacking(model_folder, names) == []


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        (["a/model.bin"], ["a/model.bin"]),
        (
            ["a/pytorch_model.bin", "a/model.safetensors", "b/model.bin"],
            ["a/model.safetensors", "b/model.bin"],
        ),
        (
            [*SHARDS, "a/model.safetensors.index.json", "a/model.bin", "a/model.bin.index.json"],
            [*SHARDS, "a/model.safetensors.index.json"],
        ),
        (["a/model.fp16.safetensors", "a/model.safetensors.index.fp16.json"], []),
        (["a/model.fp16.safetensors.index.json", "a/model.non_ema.bin", "a/optimizer.bin"], []),
        (["a/model.ckpt", "a/model.msgpack", "a/model.onnx", "a/flax_model.msgpack", "a/model.h5"], []),
        (["model.safetensors", "karlo.ckpt", "a/b/model.safetensors", "a/b/config.json", "a.png"], []),
    ],
)
def test_which_weights(there: list[str], kept: list[str]) -> None:
    assert needed(there) == kept


@pytest.mark.parametrize(
    "name", ["../a.json", "/etc/a.json", "..\\a.json", ".a.json", "a/../b.json", "a//b.json"]
)
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    assert needed([name]) == []


def test_networks_without_weights() -> None:
    assert without_weights(["a/config.json", "a/model.ckpt", "b/config.json", "b/model.bin"]) == ["a"]
    assert without_weights(["tokenizer/vocab.json", "config.json"]) == []


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        (["tokenizer/merges.txt", "tokenizer/vocab.json"], ["tokenizer"]),
        (
            ["prior/diffusion_pytorch_model.safetensors", "prior/diffusion_pytorch_model.bin"],
            ["prior's weights"],
        ),
        (["prior/diffusion_pytorch_model.safetensors"], []),
        (["README.md"], []),
    ],
)
def test_what_a_folder_lacks(
    karlo: dict[str, bytes], gone: list[str], told: list[str], tmp_path: Path
) -> None:
    for name in gone:
        del karlo[name]
    assert lacking(write(tmp_path, karlo), karlo) == told


def test_what_our_own_folder_lacks(model_folder: Path) -> None:
    names = [name for name in names_in(model_folder) if not name.startswith("decoder/")]
    assert lacking(model_folder, names) == ["decoder"]


def test_a_shard_that_is_not_there(tmp_path: Path) -> None:
    weights = {"x": "model-00001-of-00002.bin", "y": "model-00002-of-00002.bin"}
    files = {
        "model_index.json": b'{"a": ["library", "Class"]}',
        "a/config.json": b"{}",
        "a/model.bin.index.json": json.dumps({"weight_map": weights}).encode(),
        "a/model-00001-of-00002.bin": b"",
    }
    assert lacking(write(tmp_path, files), files) == ["a/model-00002-of-00002.bin"]


def test_a_list_of_components_that_is_none(tmp_path: Path) -> None:
    files = write(tmp_path, {"model_index.json": b"[]"})
    with pytest.raises(CheckpointError, match=r"model_index\.json is no JSON object"):
        lacking(files, ["model_index.json"])
