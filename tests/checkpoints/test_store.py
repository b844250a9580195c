import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unclip.checkpoints.store import fingerprint, load_component, load_system, read_system_file, save_system
from unclip.diffusion.driver import drive, finish
from unclip.errors import CheckpointError, RequestError
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.system import SamplingDefaults, System

REQUEST = TextToImage("a red cube", seed=3)
FILES = [
    "system.json",
    "tokenizer/tokenizer.json",
    *(
        f"{component}/{file}"
        for component in ("clip", "prior", "decoder", "upsampler256", "upsampler1024")
        for file in ("config.json", "model.safetensors")
    ),
]


def draw(system: System, request: TextToImage = REQUEST) -> Tensor:
    return finish(drive(text_to_image(system, request)))


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    """The model folder, to be changed."""
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def test_a_model_folder_holds_json_and_safetensors_alone(model_folder: Path) -> None:
    found = {path.relative_to(model_folder).as_posix() for path in model_folder.rglob("*") if path.is_file()}
    assert found == set(FILES)


def test_a_loaded_system_draws_the_same_pictures(system: System, model_folder: Path) -> None:
    loaded = load_system(model_folder)
    assert torch.equal(draw(loaded), draw(load_system(model_folder)))
    # Mapped tensors start elsewhere in memory, which changes the order of sums.
    torch.testing.assert_close(draw(loaded), draw(system), atol=1 / 255, rtol=0)
    assert loaded.card == system.card
    assert loaded.sizes == system.sizes


def test_a_loaded_system_has_the_same_weights_everywhere(system: System, model_folder: Path) -> None:
    loaded = load_system(model_folder)
    for before, after in zip(system.upsamplers, loaded.upsamplers, strict=True):
        assert (before.process.config, before.defaults) == (after.process.config, after.defaults)
        for name, tensor in before.network.state_dict().items():
            assert torch.equal(after.network.state_dict()[name], tensor)


def test_saving_what_was_loaded_changes_no_byte(model_folder: Path, tmp_path: Path) -> None:
    save_system(tmp_path / "again", load_system(model_folder))
    for file in FILES:
        assert (tmp_path / "again" / file).read_bytes() == (model_folder / file).read_bytes()


def test_loaded_networks_are_ready_and_frozen(model_folder: Path) -> None:
    for component in ("clip", "prior", "decoder", "upsampler256"):
        network = load_component(model_folder / component, component)
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
        assert not any(tensor.is_meta for tensor in network.state_dict().values())


def test_int8_draws_nearly_the_same_pictures_from_far_fewer_bytes(system: System, tmp_path: Path) -> None:
    save_system(tmp_path / "small", system, int8=True)
    difference = (draw(load_system(tmp_path / "small")) - draw(system)).abs()
    assert 0 < difference.mean() < 0.02
    file = "upsampler256/model.safetensors"
    save_system(tmp_path / "large", system)
    assert (tmp_path / "small" / file).stat().st_size < 0.33 * (tmp_path / "large" / file).stat().st_size


def test_only_the_stages_asked_for_are_read(copy: Path) -> None:
    shutil.rmtree(copy / "prior")
    (copy / "upsampler1024" / "model.safetensors").unlink()
    system = load_system(copy, ["decoder", "upsampler256"])
    assert system.prior is None
    assert system.sizes == (64, 256)
    assert load_system(copy, []).sizes == ()


@pytest.mark.parametrize("stages", [["decoders"], ["decoder", "clip"], "prior"])
def test_a_stage_that_is_not_there_is_refused(model_folder: Path, stages: list[str]) -> None:
    with pytest.raises(RequestError, match="only prior, decoder, upsampler256, upsampler1024"):
        load_system(model_folder, stages)


def test_a_system_of_some_stages_is_saved_as_such(system: System, tmp_path: Path) -> None:
    save_system(tmp_path, dataclasses.replace(system, prior=None, upsamplers=system.upsamplers[:1]))
    assert list(read_system_file(tmp_path).stages) == ["decoder", "upsampler256"]
    assert load_system(tmp_path).sizes == (64, 256)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-20])])
@pytest.mark.parametrize("file", FILES)
def test_a_missing_or_torn_file_is_named(copy: Path, file: str, damage: Callable[[Path], None]) -> None:
    damage(copy / file)
    with pytest.raises(CheckpointError) as caught:
        load_system(copy)
    assert str(copy / file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"format": 2, "new": 1}, {"kind": "other"}, {"format": None}])
def test_another_format_is_refused_as_such(copy: Path, changes: dict[str, object]) -> None:
    values = json.loads((copy / "system.json").read_text())
    (copy / "system.json").write_text(json.dumps({**values, **changes}))
    with pytest.raises(CheckpointError, match="not of format unclip 1"):
        load_system(copy)


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    config = json.loads((copy / "prior" / "config.json").read_text())
    (copy / "prior" / "config.json").write_text(json.dumps({**config, "depth": 2}))
    with pytest.raises(
        CheckpointError, match=r"prior: unknown tensors \[\], missing \['transformer.blocks.1"
    ):
        load_system(copy)


def test_a_fingerprint_changes_with_every_file_and_with_nothing_else(copy: Path, model_folder: Path) -> None:
    assert fingerprint(copy) == fingerprint(model_folder)
    (copy / "notes.txt").write_text("none of the model's files")
    assert fingerprint(copy) == fingerprint(model_folder)
    seen = {fingerprint(model_folder)}
    for file in FILES:
        (copy / file).write_bytes((copy / file).read_bytes() + b" ")
        seen.add(fingerprint(copy))
    assert len(seen) == 1 + len(FILES)


def test_a_distilled_decoder_is_saved_beside_the_other(distilled_folder: Path) -> None:
    loaded = load_system(distilled_folder)
    assert loaded.decoder is not None
    assert loaded.distilled is not None
    assert (loaded.decoder.network.config.guided, loaded.distilled.network.config.guided) == (False, True)
    assert loaded.distilled.defaults == SamplingDefaults("ddim", 3, guidance_scale=2.0)
    assert load_system(distilled_folder, ["prior", "distilled"]).decoder is None
    assert list(read_system_file(distilled_folder).stages)[:3] == ["prior", "decoder", "distilled"]


def test_the_default_quality_is_kept(system: System, tmp_path: Path) -> None:
    save_system(tmp_path, dataclasses.replace(system, default_quality="draft"))
    assert load_system(tmp_path).default_quality == "draft"


def test_a_model_older_than_distillation_is_read(copy: Path) -> None:
    values = json.loads((copy / "system.json").read_text())
    assert values.pop("default_quality") == "best"
    (copy / "system.json").write_text(json.dumps(values))
    decoder = json.loads((copy / "decoder" / "config.json").read_text())
    assert decoder.pop("guided") is False
    (copy / "decoder" / "config.json").write_text(json.dumps(decoder))
    loaded = load_system(copy)
    assert (loaded.default_quality, loaded.distilled) == ("best", None)


def test_moments_of_the_predicted_noise_are_kept(system: System, tmp_path: Path) -> None:
    assert system.prior is not None
    measured = dataclasses.replace(system.prior, eps_moments=(0.25, 0.5, 1.0))
    save_system(tmp_path, dataclasses.replace(system, prior=measured))
    loaded = load_system(tmp_path)
    assert loaded.prior is not None
    assert loaded.decoder is not None
    assert (loaded.prior.eps_moments, loaded.decoder.eps_moments) == ((0.25, 0.5, 1.0), ())


def test_a_model_older_than_moments_is_read(copy: Path) -> None:
    values = json.loads((copy / "system.json").read_text())
    assert [stage.pop("eps_moments") for stage in values["stages"].values()] == [[]] * 4
    (copy / "system.json").write_text(json.dumps(values))
    assert draw(load_system(copy)).shape == (1, 3, 256, 256)
    prior = load_system(copy).prior
    assert prior is not None
    assert prior.eps_moments == ()


def test_a_default_quality_that_is_none_is_refused(copy: Path) -> None:
    values = json.loads((copy / "system.json").read_text())
    (copy / "system.json").write_text(json.dumps({**values, "default_quality": "ultra"}))
    with pytest.raises(CheckpointError, match="default_quality is 'ultra', expected Literal"):
        load_system(copy)


def test_an_autoregressive_prior_is_saved_beside_the_stages(
    ar_system: System, ar_folder: Path, tmp_path: Path
) -> None:
    loaded = load_system(ar_folder)
    assert ar_system.prior_ar is not None
    assert loaded.prior_ar is not None
    found = loaded.prior_ar.state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in ar_system.prior_ar.state_dict().items())
    assert "prior_ar" not in read_system_file(ar_folder).stages
    save_system(tmp_path / "again", loaded)
    assert fingerprint(tmp_path / "again") == fingerprint(ar_folder)


def test_the_autoregressive_prior_is_read_where_it_is_asked_for(ar_folder: Path, tmp_path: Path) -> None:
    alone = load_system(ar_folder, ["prior_ar", "decoder"])
    assert alone.prior_ar is not None
    assert alone.prior is None
    copy = Path(shutil.copytree(ar_folder, tmp_path / "copy"))
    (copy / "prior_ar" / "model.safetensors").unlink()
    assert load_system(copy, ["prior"]).prior_ar is None
    with pytest.raises(CheckpointError, match=r"prior_ar/model\.safetensors is missing"):
        load_system(copy)


def test_an_autoregressive_prior_that_is_not_there_is_refused(model_folder: Path, ar_folder: Path) -> None:
    assert load_system(model_folder).prior_ar is None
    with pytest.raises(RequestError, match="no stage 'prior_ar', only prior, decoder"):
        load_system(model_folder, ["prior_ar"])
    with pytest.raises(RequestError, match=r"no stage 'priors', only .*, upsampler1024, prior_ar"):
        load_system(ar_folder, ["priors"])


def test_a_model_older_than_the_autoregressive_prior_is_read(copy: Path) -> None:
    values = json.loads((copy / "system.json").read_text())
    assert values.pop("prior_ar") is False
    (copy / "system.json").write_text(json.dumps(values))
    assert load_system(copy).prior_ar is None


def test_of_a_large_file_the_fingerprint_is_of_parts(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unclip.checkpoints.store.WHOLE_FILE", 1000)
    monkeypatch.setattr("unclip.checkpoints.store.BLOCK", 64)
    seen, weights = [fingerprint(copy)], copy / "decoder" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    for changed in (bytes(content[:-1]) + b"?", bytes(content) + b"?", b"?" + bytes(content[1:])):
        weights.write_bytes(changed)
        seen.append(fingerprint(copy))
    assert len(set(seen)) == 4
    weights.write_bytes(content)
    assert fingerprint(copy) == seen[0]
