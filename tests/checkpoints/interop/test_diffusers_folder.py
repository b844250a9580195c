"""Folders of diffusers as they are found: other formats, old configs, half of it missing, and none at all."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import unclip
from unclip import presets
from unclip.checkpoints.load import open_model
from unclip.checkpoints.store import named_networks
from unclip.errors import CheckpointError, RequestError
from unclip.system import System

tiny_diffusers = pytest.importorskip("tiny_diffusers")

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peer") / "tiny"
    tiny_diffusers.build(folder)
    return folder


@pytest.fixture(scope="module")
def expected(whole: Path) -> dict[str, torch.Tensor]:
    return numbers(unclip.load(whole))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def numbers(system: System) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": tensor
        for name, network in named_networks(system).items()
        for key, tensor in network.state_dict().items()
    }


def edit(path: Path, **fields: Any) -> None:
    """Set fields of a JSON file; None takes one out."""
    values = json.loads(path.read_text())
    values |= fields
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))


def as_bin(folder: Path, name: str, to: str) -> None:
    torch.save(load_file(folder / name), folder / to)
    (folder / name).unlink()


def as_shards(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    half = len(tensors) // 2
    placed = dict[str, str]()
    for part, names in enumerate((list(tensors)[:half], list(tensors)[half:])):
        file = f"diffusion_pytorch_model-{part + 1:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, folder / file)
        placed |= dict.fromkeys(names, file)
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    (folder / WEIGHTS).unlink()


def bin_files(folder: Path) -> None:
    for component in ("prior", "decoder", "text_proj", "super_res_first", "super_res_last"):
        as_bin(folder / component, WEIGHTS, "diffusion_pytorch_model.bin")
    as_bin(folder / "text_encoder", "model.safetensors", "pytorch_model.bin")


def old_configs(folder: Path) -> None:
    """As diffusers 0.11 wrote them: of the fields with a default, those that Karlo sets to it are missing."""
    edit(folder / "prior_scheduler" / "scheduler_config.json", beta_schedule=None)
    for component in ("decoder", "super_res_first", "super_res_last"):
        known = {"sample_size", "in_channels", "out_channels", "layers_per_block", "block_out_channels"}
        known |= {
            "down_block_types",
            "up_block_types",
            "mid_block_type",
            "cross_attention_dim",
            "add_attention",
        }
        known |= {"attention_head_dim", "class_embed_type", "resnet_time_scale_shift", "act_fn", "norm_eps"}
        path = folder / component / "config.json"
        values = json.loads(path.read_text())
        path.write_text(json.dumps({name: value for name, value in values.items() if name in known}))
    edit(folder / "super_res_last" / "config.json", sample_size=None, _name_or_path="somewhere")


def vocabulary_files(folder: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(folder / "tokenizer" / name, folder / name) if (
            folder / "tokenizer" / name
        ).exists() else None
    tokens = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(tokens["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in tokens["merges"])
    (folder / "tokenizer" / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    (folder / "tokenizer" / "tokenizer.json").unlink()


def position_ids(folder: Path) -> None:
    path = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(tensors, path)


def library_names(folder: Path) -> None:
    edit(
        folder / "model_index.json",
        text_proj=["unclip", "UnCLIPTextProjModel"],
        decoder=["diffusers.models.unets", "UNet2DConditionModel"],
    )


@pytest.mark.parametrize(
    "change",
    [
        bin_files,
        old_configs,
        vocabulary_files,
        position_ids,
        library_names,
        lambda f: as_shards(f / "decoder"),
    ],
    ids=["bin", "old configs", "vocabulary", "position ids", "library names", "shards"],
)
def test_every_dress_holds_the_same_model(
    folder: Path, expected: dict[str, torch.Tensor], change: Callable[[Path], None]
) -> None:
    change(folder)
    system = unclip.load(folder)
    found = numbers(system)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert system.tokenizer(["a cat!"]).tokens[0, :5].tolist()[0] == 513  # <|startoftext|>


def test_half_precision_weights_are_read(folder: Path, expected: dict[str, torch.Tensor]) -> None:
    path = folder / "prior" / WEIGHTS
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)
    found = numbers(unclip.load(folder))
    assert found["prior.project_out.weight"].dtype == torch.float32
    torch.testing.assert_close(
        found["prior.project_out.weight"], expected["prior.project_out.weight"], rtol=1e-3, atol=1e-3
    )


def test_a_folder_samples_as_the_preset(whole: Path) -> None:
    system, preset = unclip.load(whole), presets.karlo().stages
    found = dict(zip(preset, (system.prior, system.decoder, *system.upsamplers), strict=True))
    for name, stage in found.items():
        assert stage is not None
        assert (stage.process.config, stage.defaults) == (preset[name].process, preset[name].defaults)


def test_the_card_names_the_licence_of_the_page(folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: creativeml-openrail-m\ntags: [a]\n---\n# Karlo\n")
    assert unclip.load(folder).card.licence == "creativeml-openrail-m"


def test_stages_can_be_left_out(folder: Path) -> None:
    shutil.rmtree(folder / "super_res_last")
    (folder / "super_res_last").mkdir()
    shutil.copy(folder / "super_res_first" / "config.json", folder / "super_res_last")
    system = unclip.load(folder, stages=["prior"])
    assert system.prior is not None
    assert system.decoder is None
    with pytest.raises(RequestError, match=r"has no stage 'upsampler256', only"):
        unclip.load(folder, stages=["upsampler256"])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


class Malice:
    def __reduce__(self) -> Any:
        return print, ("code that ran",)


def malicious(folder: Path) -> None:
    (folder / "prior" / WEIGHTS).unlink()
    torch.save({"proj_in.weight": Malice()}, folder / "prior" / "diffusion_pytorch_model.bin")


def plain_pickle(folder: Path) -> None:
    (folder / "prior" / WEIGHTS).unlink()
    (folder / "prior" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({"a": Malice()}, protocol=2))


def without_a_tensor(folder: Path) -> None:
    path = folder / "prior" / WEIGHTS
    tensors = load_file(path)
    tensors["stranger"] = tensors.pop("proj_in.bias")
    tensors["proj_in.weight"] = torch.zeros(7, 32)
    save_file(tensors, path)


def without_a_shard(folder: Path) -> None:
    as_shards(folder / "decoder")
    next((folder / "decoder").glob("*-00002-of-*")).unlink()


def as_pointer(folder: Path) -> None:
    (folder / "prior" / WEIGHTS).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )


def config(component: str, **fields: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / component / "config.json", **fields)


def pipeline(name: str) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "model_index.json", _class_name=name)


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "Stable Diffusion": (
        pipeline("StableDiffusionPipeline"),
        r"of pipeline StableDiffusionPipeline, and unclip",
    ),
    "Kandinsky": (pipeline("KandinskyPipeline"), r"model_index.json is of pipeline KandinskyPipeline"),
    "no pipeline": (lambda f: (f / "model_index.json").write_text("[]"), r"of pipeline None"),
    "no component": (
        lambda f: shutil.rmtree(f / "decoder"),
        r"lacks decoder, which UnCLIPPipeline has: .*fetch",
    ),
    "no weights": (lambda f: (f / "prior" / WEIGHTS).unlink(), r"prior holds no weights .*half-downloaded"),
    "half a file": (
        lambda f: truncate(f / "decoder" / WEIGHTS),
        r"decoder/\S+ cannot be read.*half-downloaded",
    ),
    "half a pickle": (
        lambda f: (bin_files(f), truncate(f / "prior" / "diffusion_pytorch_model.bin")),
        r"prior/diffusion_pytorch_model.bin cannot be read: .*half-downloaded",
    ),
    "a shard": (without_a_shard, r"decoder/diffusion_pytorch_model-00002-of-00002.safetensors is missing"),
    "a pointer": (as_pointer, r"prior/\S+ is a pointer to the weights, not the weights: run `git lfs pull`"),
    "code": (
        malicious,
        r"prior/diffusion_pytorch_model.bin holds more than tensors.*get the model as .safetensors",
    ),
    "code in a plain pickle": (
        plain_pickle,
        r"prior/diffusion_pytorch_model.bin (holds more|cannot be read)",
    ),
    "tensors": (
        without_a_tensor,
        r"unknown tensors \['prior/stranger'\], missing \['prior/proj_in.bias'\], misshaped \['prior/proj_in",
    ),
    "another prior": (
        config("prior", embedding_dim=16),
        r"prior/config.json: embedding_dim is 16, and \S*text_enc",
    ),
    "another text_proj": (
        config("text_proj", cross_attention_dim=64),
        r"text_proj/config.json: cross_attention_dim is 64, and \S*decoder/config.json asks for 100",
    ),
    "another second upsampler": (
        config("super_res_last", layers_per_block=2),
        r"super_res_last/config.json: its network is of another shape than that of \S*super_res_first",
    ),
    "a setting": (
        config("decoder", freq_shift=1),
        r"decoder/config.json: freq_shift is 1, and unclip's networks",
    ),
    "a block": (
        config("decoder", down_block_types=["DownBlock2D", "DownBlock2D"]),
        r"down_block_types is \['DownBlock2D', 'DownBlock2D'\], where unclip needs 2 of",
    ),
    "a number": (
        config("decoder", sample_size="big"),
        r"sample_size is 'big', where unclip needs a whole number",
    ),
    "no JSON": (lambda f: (f / "prior" / "config.json").write_text("{"), r"prior/config.json cannot be read"),
    "a tokenizer": (
        lambda f: (f / "tokenizer" / "tokenizer.json").write_text("{}"),
        r"not a tokenizer .*restore",
    ),
    "no tokenizer": (
        lambda f: (f / "tokenizer" / "tokenizer.json").unlink(),
        r"tokenizer/vocab.json is missing: the folder is half-downloaded",
    ),
    "a scheduler": (
        lambda f: edit(f / "prior_scheduler" / "scheduler_config.json", prediction_type="v_prediction"),
        r"prediction_type is 'v_prediction', and unclip's networks know only",
    ),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_one_sentence_that_names_the_file(
    folder: Path, change: Callable[[Path], None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder)
    with pytest.raises(CheckpointError, match=message) as refused:
        open_model(folder)
    assert "\n" not in str(refused.value)
    assert "code that ran" not in capsys.readouterr().out


def test_a_folder_that_draws_from_sentences_cannot_see_pictures(folder: Path) -> None:
    from PIL import Image

    system = unclip.load(folder)
    with pytest.raises(RequestError, match=r"has no image encoder and draws from sentences alone: give one"):
        unclip.vary(system, Image.new("RGB", (32, 32)), n=1, fresh=True, steps=2)
