"""CLIP's folder in both layouts, as transformers and as a pipeline of diffusers keep it."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from karlo_original import CLIP, LENGTH, write_clip
from safetensors.torch import load_file, save_file

from unclip.checkpoints.interop.clip_folder import is_clip, open_clip_folder
from unclip.checkpoints.tensors import load_strictly
from unclip.errors import CheckpointError
from unclip.models.clip import Clip


def loaded(folder: Path) -> Clip:
    network, source, _ = open_clip_folder(folder)
    load_strictly(network, source.read(list(source.shapes)), str(folder))
    return network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_clip(tmp_path / "clip")
    return tmp_path / "clip"


def change(folder: Path, **fields: Any) -> None:
    """Change fields of config.json; None takes one away."""
    config = {**json.loads((folder / "config.json").read_text()), **fields}
    left = {name: value for name, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(left))


def apart(folder: Path, out: Path, images: bool) -> Path:
    """Lay a CLIP out as the parts of a pipeline."""
    config, tensors = (
        json.loads((folder / "config.json").read_text()),
        load_file(folder / "model.safetensors"),
    )
    parts = {"text_encoder": "text", **({"image_encoder": "vis"} if images else {})}
    for part, begin in parts.items():
        (out / part).mkdir(parents=True)
        own = {name: tensor for name, tensor in tensors.items() if name.startswith(begin)}
        save_file(own, out / part / "model.safetensors")
        fields = config["text_config" if begin == "text" else "vision_config"]
        fields["projection_dim"] = config["projection_dim"]
        (out / part / "config.json").write_text(json.dumps(fields))
    for part, files in {
        "tokenizer": ["vocab.json", "merges.txt"],
        "feature_extractor": ["preprocessor_config.json"],
    }.items():
        (out / part).mkdir()
        for file in files:
            shutil.copy(folder / file, out / part)
    return out


def test_a_whole_clip_is_read_with_its_scale_and_tokenizer(tmp_path: Path) -> None:
    expected = write_clip(tmp_path).state_dict()
    network, _, tokenizer = open_clip_folder(tmp_path)
    assert network.config == CLIP
    found = loaded(tmp_path).state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert found["logit_scale"] == 4.25
    assert tokenizer.context_length == LENGTH
    assert tokenizer(["a b"]).mask.sum() == 4


def test_the_parts_of_a_pipeline_are_the_same_network_but_for_the_scale(folder: Path, tmp_path: Path) -> None:
    whole, parts = loaded(folder), loaded(apart(folder, tmp_path / "parts", images=True))
    assert whole.config == parts.config
    assert parts.logit_scale.item() == pytest.approx(math.log(100))
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    assert torch.equal(whole.encode_image(images), parts.encode_image(images))


def test_without_an_image_encoder_there_is_no_image_tower(folder: Path, tmp_path: Path) -> None:
    assert loaded(apart(folder, tmp_path / "parts", images=False)).image is None


def test_only_the_two_layouts_are_clip(folder: Path, tmp_path: Path) -> None:
    assert is_clip(folder)
    assert is_clip(apart(folder, tmp_path / "parts", images=False))
    shutil.rmtree(tmp_path / "parts" / "tokenizer")
    assert not is_clip(tmp_path / "parts")
    assert not is_clip(tmp_path)


def test_old_configs_lack_fields_and_have_others_that_hold(folder: Path) -> None:
    """As openai/clip-vit-large-patch14 does; the towers' own projection_dim is not the one that holds."""
    config = json.loads((folder / "config.json").read_text())
    older = {"text_config_dict": config["text_config"], "vision_config_dict": config["vision_config"]}
    wrong = {"hidden_size": 4, "num_hidden_layers": 99}
    change(folder, **older, text_config=wrong, vision_config=wrong)
    assert open_clip_folder(folder)[0].config == CLIP
    change(folder, text_config=None, vision_config=None)
    assert is_clip(folder)
    assert open_clip_folder(folder)[0].config == CLIP
    (folder / "preprocessor_config.json").unlink()
    assert open_clip_folder(folder)[0].config == replace(
        CLIP,
        pixel_mean=(0.48145466, 0.4578275, 0.40821073),
        pixel_std=(0.26862954, 0.26130258, 0.27577711),
    )


def test_tables_of_old_versions_are_passed_over(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["text_model.embeddings.position_ids"] = torch.arange(LENGTH)[None]
    save_file(tensors, folder / "model.safetensors")
    assert loaded(folder).config == CLIP


def test_tensors_that_do_not_fit_are_named_as_they_are_over_there(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["text_projection.weight"] = torch.zeros(3, 3)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"misshaped \['text_projection\.weight \(3, 3\) for \(16, 16\)'\]"
    ):
        open_clip_folder(folder)


def test_a_folder_that_lacks_its_weights_or_tokenizer_is_refused(folder: Path) -> None:
    (folder / "merges.txt").unlink()
    with pytest.raises(CheckpointError, match=r"merges\.txt is missing: the folder is half-downloaded"):
        open_clip_folder(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds no weights"):
        open_clip_folder(folder)


def test_it_encodes_as_transformers_does(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs, ours = transformers.CLIPModel.from_pretrained(folder).eval(), loaded(folder)
    images, (tokens, ends) = (
        torch.rand(2, 3, 8, 8) * 2 - 1,
        (torch.randint(500, (2, LENGTH)), [3, LENGTH - 1]),
    )
    mask = torch.arange(LENGTH)[None] <= torch.tensor(ends)[:, None]
    tokens[[0, 1], ends] = 513
    with torch.no_grad():
        states = theirs.text_model(input_ids=tokens.masked_fill(~mask, 0)).last_hidden_state
        embeds = theirs.text_projection(states[[0, 1], ends])
        torch.testing.assert_close(ours.encode_text(tokens, mask)[0], embeds)
        seen = theirs.visual_projection(theirs.vision_model(pixel_values=images).pooler_output)
        torch.testing.assert_close(ours.encode_image(images), seen)
    assert theirs.logit_scale == ours.logit_scale == 4.25
