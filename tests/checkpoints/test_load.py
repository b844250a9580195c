import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import unclip.checkpoints.load
from unclip.checkpoints.load import choose_device, load
from unclip.checkpoints.load import model_folder as folder_of
from unclip.errors import CheckpointError, RequestError

PACKAGE = Path(unclip.checkpoints.load.__file__).parents[1]


def test_a_folder_is_loaded_by_its_name(model_folder: Path) -> None:
    system = load(str(model_folder), device="cpu")
    assert system.sizes == (64, 256, 1024)
    assert system.device == torch.device("cpu")


def test_some_stages_of_a_folder(model_folder: Path) -> None:
    assert load(model_folder, stages=["decoder"]).sizes == (64,)


def test_every_network_comes_to_the_device(ar_folder: Path) -> None:
    system = load(ar_folder, stages=["prior_ar"], device="cpu")
    assert system.prior_ar is not None
    assert system.prior_ar.positions.device == system.device


def test_without_a_folder_it_is_the_bundled_model(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unclip.checkpoints.load, "BUNDLED", model_folder)
    assert load().card.name == load("bundled").card.name == "tiny"


def test_a_folder_named_bundled_is_that_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_of("bundled") != Path("bundled")
    Path("bundled").mkdir()
    assert folder_of("bundled") == Path("bundled")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"no model folder at {tmp_path / 'none'}"):
        load(tmp_path / "none")


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"system\.json is missing"):
        load(tmp_path)


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["tpu", "", "cpu:x", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(model_folder: Path, name: str) -> None:
    with pytest.raises(RequestError, match=f"device '{name}' is not available: use auto or cpu"):
        load(model_folder, device=name)


def test_loading_imports_no_compiler(model_folder: Path) -> None:
    """That takes longer than drawing a picture."""
    program = (
        "import sys; from unclip.checkpoints.load import load; load(sys.argv[1]);"
        "assert not {'torch._dynamo', 'sympy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, model_folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_in_the_package_reads_or_writes_pickles() -> None:
    """torch.load and torch.save are pickle, too; one module reads tensors of theirs, and nothing else."""
    for path in set(PACKAGE.rglob("*.py")) - {PACKAGE / "checkpoints" / "interop" / "pickles.py"}:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                assert not {"pickle", "dill", "shelve"} & {alias.name for alias in node.names}, path
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "torch"
            ):
                assert node.attr not in ("load", "save"), path
