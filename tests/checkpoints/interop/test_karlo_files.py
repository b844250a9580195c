"""Files in the original Karlo's layout (tests/support/karlo_original.py), told apart and opened."""

import pickle
import shutil
import zipfile
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from karlo_original import DECODER, NAMES, PRIOR, UPSAMPLER, write_clip, write_files
from safetensors.torch import save_file

from unclip.checkpoints.interop.karlo_files import find_karlo, open_karlo
from unclip.checkpoints.store import Opened
from unclip.errors import CheckpointError, RequestError

PRIOR_FILE, DECODER_FILE, UPSAMPLER_FILE, STATISTICS_FILE = NAMES


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    write_files(folder / "karlo")
    write_clip(folder / "clip")
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """The files in karlo/ and the CLIP in clip/, to be changed."""
    return Path(shutil.copytree(written, tmp_path / "original"))


def opened(*sources: Path, prior: Any = PRIOR, decoder: Any = DECODER) -> Opened:
    return open_karlo(find_karlo(sources), prior, decoder, UPSAMPLER)


def change(path: Path, changed: Callable[[dict[str, Any]], None]) -> None:
    """Save a file again, its tensors changed."""
    values = torch.load(path, weights_only=True)
    changed(values["state_dict"])
    torch.save(values, path)


def test_folders_are_searched_for_every_part(written: Path) -> None:
    files = find_karlo([written / "karlo", written / "clip"])
    assert files.prior == written / "karlo" / PRIOR_FILE
    assert files.statistics == written / "karlo" / STATISTICS_FILE
    assert files.clip == written / "clip"


def test_files_are_known_by_what_is_in_them_and_by_no_name(folder: Path) -> None:
    renamed = [(folder / "karlo" / name).rename(folder / f"{i}.x") for i, name in enumerate(NAMES)]
    files = find_karlo([*reversed(renamed), folder / "clip"])
    assert [files.prior, files.decoder, files.upsampler, files.statistics] == renamed


def test_other_files_of_a_folder_are_passed_over(folder: Path) -> None:
    (folder / "karlo" / "notes.pt").write_text("no tensors")
    torch.save({"weight": torch.zeros(2)}, folder / "karlo" / "other.ckpt")
    torch.save(torch.zeros(2), folder / "karlo" / "tensor.pt")
    torch.save({"optimizer": {0: torch.zeros(2)}, "state_dict": 3}, folder / "karlo" / "state.pt")
    (folder / "karlo" / "code.bin").write_bytes(pickle.dumps(print))
    assert opened(folder / "karlo", folder / "clip").system.decoder is not None


def test_a_file_may_be_named_beside_its_folder(written: Path) -> None:
    find_karlo([written / "karlo", written / "karlo" / PRIOR_FILE, written / "clip"])


def test_tensors_may_lie_in_safetensors(folder: Path) -> None:
    path = folder / "karlo" / DECODER_FILE
    tensors = torch.load(path, weights_only=True)["state_dict"]
    path.unlink()
    save_file(tensors, folder / "karlo" / "decoder.safetensors")
    network = opened(folder / "karlo", folder / "clip").sources["decoder"].read(["null_image_embed"])
    assert torch.equal(network["null_image_embed"], tensors["model.cf_param"])


def test_it_samples_as_the_original_does(written: Path) -> None:
    """Source: kakaobrain/karlo at 3c68a50, models/prior_model.py (10) and sampler/template.py (steps)."""
    system = opened(written / "karlo", written / "clip").system
    assert system.prior is not None
    assert system.decoder is not None
    (upsampler,) = system.upsamplers
    assert [stage.process.config.x0_limit for stage in (system.prior, system.decoder, upsampler)] == [
        10,
        1,
        1,
    ]
    assert [stage.defaults.num_steps for stage in (system.prior, system.decoder, upsampler)] == [25, 50, 7]
    assert {stage.process.config.schedule for stage in (system.prior, system.decoder, upsampler)} == {
        "cosine"
    }
    assert (system.prior.defaults.guidance_scale, system.decoder.defaults.guidance_scale) == (4, 8)
    assert upsampler.network.config == UPSAMPLER
    assert (system.card.name, system.card.licence) == ("Karlo v1.0 alpha", "CreativeML OpenRAIL-M")
    assert "COYO" in system.card.training_data[0]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        (PRIOR_FILE, "no prior among .*: give prior-ckpt-step=01000000-of-01000000.ckpt"),
        (DECODER_FILE, "no decoder among .*: give decoder-ckpt-step=01000000-of-01000000.ckpt"),
        (UPSAMPLER_FILE, "no upsampler among .*: give improved-sr-ckpt-step=1.2M.ckpt"),
        (STATISTICS_FILE, "no statistics among .*: give ViT-L-14_stats.th"),
    ],
)
def test_a_part_that_is_missing_is_named(folder: Path, name: str, remedy: str) -> None:
    (folder / "karlo" / name).unlink()
    with pytest.raises(RequestError, match=remedy):
        find_karlo([folder / "karlo", folder / "clip"])


def test_all_parts_that_are_missing_are_named_at_once(written: Path) -> None:
    with pytest.raises(
        RequestError, match=r"no decoder, upsampler, statistics or CLIP among .*vit-large-patch14"
    ):
        find_karlo([written / "karlo" / PRIOR_FILE])


def test_a_folder_of_nothing_is_told_what_there_is_to_give(tmp_path: Path) -> None:
    with pytest.raises(
        RequestError, match=r"nothing to import in .*: give a folder with model_index\.json, or"
    ):
        find_karlo([tmp_path])


def test_two_files_of_one_part_are_refused(folder: Path) -> None:
    shutil.copy(folder / "karlo" / PRIOR_FILE, folder / "again.ckpt")
    with pytest.raises(
        RequestError, match=rf"{PRIOR_FILE} and .*again\.ckpt are two of one part, prior: give one"
    ):
        find_karlo([folder / "karlo", folder / "again.ckpt", folder / "clip"])


def test_a_named_file_that_is_none_of_them_is_refused(folder: Path) -> None:
    (folder / "page.ckpt").write_text("<!DOCTYPE html>")
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, folder / "other.ckpt")
    for name in ("page.ckpt", "other.ckpt"):
        with pytest.raises(RequestError, match=rf"{name} is no part of Karlo: give prior-ckpt"):
            find_karlo([folder / "karlo", folder / "clip", folder / name])


def test_a_path_that_leads_nowhere_is_refused(written: Path) -> None:
    with pytest.raises(RequestError, match=r"no file or folder at .*gone"):
        find_karlo([written / "karlo", written / "gone"])


def test_our_own_format_is_refused(model_folder: Path) -> None:
    with pytest.raises(RequestError, match="unclip's own format already"):
        find_karlo([model_folder])


def test_openais_archive_is_refused_and_never_run(folder: Path) -> None:
    with zipfile.ZipFile(folder / "karlo" / "ViT-L-14.pt", "w") as archive:
        archive.writestr("ViT-L-14/constants.pkl", b"")
        archive.writestr("ViT-L-14/code/__torch__.py", "raise SystemExit")
    with pytest.raises(
        CheckpointError, match=r"ViT-L-14\.pt is a TorchScript archive.*vit-large-patch14 in its"
    ):
        find_karlo([folder / "karlo"])
    assert find_karlo([folder / "karlo", folder / "clip"]).clip == folder / "clip"


def test_a_file_that_asks_for_code_is_refused(folder: Path) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": Namespace(width=1)}, folder / "karlo" / PRIOR_FILE)
    with pytest.raises(CheckpointError, match=rf"{PRIOR_FILE} holds more than tensors, such as code"):
        find_karlo([folder / "karlo", folder / "clip"])


@pytest.mark.parametrize("size", [0, 1000, -100])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_broke_off_is_named(folder: Path, name: str, size: int) -> None:
    path = folder / "karlo" / name
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        CheckpointError, match=rf"{name} cannot be read: .*; it may be half-downloaded"
    ) as caught:
        find_karlo([folder / "karlo", folder / "clip"])
    assert "\n" not in str(caught.value)


def test_wrong_widths_and_names_are_all_in_one_error(folder: Path) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        tensors["model.cf_param"] = torch.zeros(5)
        tensors["model.cf_mask"] = tensors.pop("model.out.2.bias")

    change(folder / "karlo" / DECODER_FILE, spoil)
    with pytest.raises(CheckpointError) as caught:
        opened(folder / "karlo", folder / "clip")
    expected = (
        "unknown tensors ['model.cf_mask'], missing ['model.out.2.bias'],"
        " misshaped ['model.cf_param (5,) for (16,)']"
    )
    assert str(caught.value) == f"{folder / 'karlo' / DECODER_FILE}: {expected}"


def test_statistics_of_another_width_are_refused(folder: Path) -> None:
    torch.save((torch.zeros(5), torch.ones(5)), folder / "karlo" / STATISTICS_FILE)
    with pytest.raises(CheckpointError, match=r"stats\.th: .*'statistics/mean \(5,\) for \(16,\)'"):
        opened(folder / "karlo", folder / "clip")


def test_another_clip_is_refused(written: Path) -> None:
    wide = replace(PRIOR, embed_dim=32, text_width=32)
    with pytest.raises(
        CheckpointError, match=r"of size 16, 16 and 12, and Karlo's is of 32, 32 and 12: give"
    ):
        opened(written / "karlo", written / "clip", prior=wide)
    with pytest.raises(CheckpointError, match=r"vit-large-patch14"):
        opened(written / "karlo", written / "clip", decoder=replace(DECODER, embed_dim=8))
