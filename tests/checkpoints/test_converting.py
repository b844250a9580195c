"""Opened models put together, and written as one folder."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from unclip.checkpoints import converting
from unclip.checkpoints.converting import Storage, combined, write_opened
from unclip.checkpoints.load import load, open_model
from unclip.checkpoints.store import Opened, build, named_networks, save_system
from unclip.diffusion.process import Process
from unclip.errors import CheckpointError, RequestError
from unclip.system import System

Said = list[tuple[str, int, int]]


def silent(part: str, done: int, of: int) -> None:
    pass


def opened(folder: Path, system: System) -> Opened:
    """Save a system and look into its folder."""
    save_system(folder, system)
    return open_model(folder)


def without_images(system: System) -> System:
    clip: Any = build("clip", replace(system.clip.config, image_size=0)).eval()
    own = {name: tensor for name, tensor in system.clip.state_dict().items() if not name.startswith("image.")}
    clip.load_state_dict(own)
    return replace(system, clip=clip)


@pytest.fixture
def sentences(karlo_like: System, tmp_path: Path) -> Opened:
    """A model of sentences alone, in half the precision."""
    return opened(tmp_path / "sentences", without_images(karlo_like))


@pytest.fixture
def pictures(karlo_like: System, tmp_path: Path) -> Opened:
    """A model of variations alone, whose numbers are others."""
    clip: Any = build("clip", karlo_like.clip.config).eval()
    licence = replace(karlo_like.card, licence="CC0")
    return opened(tmp_path / "pictures", replace(karlo_like, clip=clip, prior=None, card=licence))


def written(model: Opened, out: Path, storage: Storage | None = None) -> System:
    write_opened(model, out, storage or Storage(), silent)
    return load(out, device="cpu")


def stored(folder: Path) -> dict[str, torch.dtype]:
    """The dtype of every tensor of a network's folder."""
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118


def test_two_models_make_one_and_the_first_has_its_way(
    sentences: Opened, pictures: Opened, karlo_like: System, tmp_path: Path
) -> None:
    for first, second, out in ((sentences, pictures, "a"), (pictures, sentences, "b")):
        system = written(combined([first, second]), tmp_path / out)
        assert system.prior is not None
        assert system.clip.image is not None
        tower, text = (source.sources["clip"].within("text.").read for source in (first, second))
        name = "tokens.weight"
        assert torch.equal(system.clip.text.tokens.weight, tower([name])[name])
        assert not torch.equal(system.clip.text.tokens.weight, text([name])[name])
    image = pictures.sources["clip"].read(["image.class_token"])["image.class_token"]
    for out in ("a", "b"):
        found = load(tmp_path / out, device="cpu").clip.image
        assert found is not None
        assert torch.equal(found.class_token, image)
    assert system.card.licence == f"CC0 and {karlo_like.card.licence}"


def test_one_model_stays_what_it_is(sentences: Opened) -> None:
    assert combined([sentences]) is sentences


def test_a_model_that_adds_nothing_is_refused(sentences: Opened, pictures: Opened) -> None:
    with pytest.raises(
        RequestError, match=r"pictures.* has nothing that .*pictures.* lacks: give one of them"
    ):
        combined([pictures, pictures])
    with pytest.raises(RequestError, match="has nothing that"):
        combined([sentences, pictures, sentences])


def test_models_that_differ_are_refused(sentences: Opened, karlo_like: System, tmp_path: Path) -> None:
    assert karlo_like.decoder is not None
    process = Process(replace(karlo_like.decoder.process.config, x0_limit=2.0))
    other = replace(karlo_like, prior=None, decoder=replace(karlo_like.decoder, process=process))
    with pytest.raises(
        CheckpointError, match="differ in the shape or process of decoder: give folders of one"
    ):
        combined([sentences, opened(tmp_path / "process", other)])
    clip = build("clip", replace(karlo_like.clip.config, text_depth=1)).eval()
    other = replace(karlo_like, prior=None, clip=clip, upsamplers=())
    with pytest.raises(CheckpointError, match="differ in the shape or process of clip, upsampler32"):
        combined([sentences, opened(tmp_path / "shape", other)])


def test_weights_are_written_as_they_are(karlo_like: System, tmp_path: Path) -> None:
    system = written(opened(tmp_path / "in", karlo_like), tmp_path / "out")
    for name, network in named_networks(karlo_like).items():
        found = named_networks(system)[name].state_dict()
        assert all(torch.equal(tensor, found[key]) for key, tensor in network.state_dict().items())
    before, after = (json.loads((tmp_path / f / "system.json").read_text()) for f in ("in", "out"))
    assert before == after
    assert system.tokenizer(["an apple"]).tokens.equal(karlo_like.tokenizer(["an apple"]).tokens)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_in_another_dtype_and_tables_as_they_are(
    karlo_like: System, tmp_path: Path, dtype: torch.dtype
) -> None:
    system = written(opened(tmp_path / "in", karlo_like), tmp_path / "out", Storage(dtype))
    assert system.prior is not None
    assert karlo_like.prior is not None
    assert torch.equal(system.prior.network.clip_mean, karlo_like.prior.network.clip_mean)
    assert {name for name, found in stored(tmp_path / "out" / "prior").items() if found != dtype} == {
        "clip_mean",
        "clip_std",
    }
    assert {name for name, found in stored(tmp_path / "out" / "clip").items() if found != dtype} == {
        "logit_scale"
    }
    assert set(stored(tmp_path / "out" / "decoder").values()) == {dtype}
    # What is stored in few bits stays so where nothing is asked for.
    written(open_model(tmp_path / "out"), tmp_path / "again")
    assert stored(tmp_path / "again" / "decoder") == stored(tmp_path / "out" / "decoder")


def test_numbers_of_twice_the_size_are_written_as_float32() -> None:
    tensors = {"a": torch.zeros(2, dtype=torch.float64), "b": torch.zeros(2, dtype=torch.int64)}
    assert {t.dtype for t in Storage().converted(tensors, ()).values()} == {torch.float32}


def test_int8_is_what_our_own_models_are_stored_as(karlo_like: System, tmp_path: Path) -> None:
    save_system(tmp_path / "expected", karlo_like, int8=True)
    write_opened(opened(tmp_path / "in", karlo_like), tmp_path / "out", Storage(int8=True), silent)
    for name in named_networks(karlo_like):
        file = f"{name}/model.safetensors"
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "expected" / file).read_bytes()


def test_a_part_of_a_network_is_read_at_a_time(
    karlo_like: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converting, "READ_AT_ONCE", 20_000)
    model, read, said = opened(tmp_path / "in", karlo_like), list[int](), Said()

    def counted(name: str) -> Any:
        def found(names: Any) -> Mapping[str, torch.Tensor]:
            tensors = model.sources[name].read(names)
            read.append(sum(tensor.nbytes for tensor in list(tensors.values())[:-1]))
            return tensors

        return replace(model.sources[name], read=found)

    write_opened(
        Opened(model.system, {name: counted(name) for name in model.sources}),
        tmp_path / "out",
        Storage(),
        lambda *step: said.append(step),
    )
    assert len(read) > 20
    assert max(read) < 20_000  # without the last, which filled it
    for name, source in model.sources.items():
        steps = [done for part, done, of in said if part == name and of == len(source.shapes)]
        assert steps == sorted(steps)
        assert (steps[0], steps[-1]) == (0, len(source.shapes))


def test_what_fails_leaves_nothing(karlo_like: System, tmp_path: Path) -> None:
    model = opened(tmp_path / "in", karlo_like)

    def torn(_: Any) -> dict[str, torch.Tensor]:
        raise CheckpointError("the file is torn")

    sources = {**model.sources, "decoder": replace(model.sources["decoder"], read=torn)}
    with pytest.raises(CheckpointError, match="torn"):
        write_opened(Opened(model.system, sources), tmp_path / "out", Storage(), silent)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_folder_that_holds_something_is_left_alone(karlo_like: System, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is there already: choose another folder"):
        written(opened(tmp_path / "in", karlo_like), tmp_path / "in")
