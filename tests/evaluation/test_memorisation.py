"""Memorisation: copies are found and named, fresh renders are not, and the whole can be resumed."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from unclip.evaluation import memorisation as memorising
from unclip.evaluation.draw import Drawn, picture_file
from unclip.evaluation.exhibits import plot, side_by_side
from unclip.evaluation.judges.features import Features
from unclip.evaluation.memorisation import (
    Search,
    compare,
    memorisation,
    nearness,
    sentences,
    suite_name,
    table,
)
from unclip.evaluation.neighbours import in_features, in_pixels, shown
from unclip.system import System
from unclip.world import Sprites, World, WorldConfig, load_photographs

COUNT, N = 200, 40
SAMPLE = Path(__file__).parents[2] / "data" / "sample"


@pytest.fixture(scope="module")
def training(sprites: Sprites) -> World:
    return World(sprites, 0)


@pytest.fixture
def measures(features: Features) -> dict[str, memorising.Describe]:
    return {"pixels": in_pixels, "features": in_features(features)}


def silent(*done: object) -> None:
    assert done


def captions(count: int) -> list[str]:
    return [f"sentence {index}" for index in range(count)]


def test_copies_are_told_from_fresh_renders(
    training: World, measures: dict[str, memorising.Describe], sprites: Sprites
) -> None:
    renders = shown(World(sprites, 77), range(N))
    copies = shown(training, range(N))
    for near in nearness(copies, renders, captions(N), training, COUNT, measures, silent).values():
        assert near.distance.p < 1e-6
        assert near.ratio.p < 1e-6
        assert near.distance.ks == 1.0
        assert near.copies == N
        assert near.distance.median == pytest.approx(0, abs=1e-5)


def test_fresh_renders_are_as_near_as_other_fresh_renders(
    training: World, measures: dict[str, memorising.Describe], sprites: Sprites
) -> None:
    one, other = (shown(World(sprites, seed), range(N)) for seed in (77, 78))
    for near in nearness(one, other, captions(N), training, COUNT, measures, silent).values():
        assert near.distance.p > 0.05
        assert near.ratio.p > 0.05


def test_a_copy_among_fresh_pictures_is_the_worst_case(
    training: World, measures: dict[str, memorising.Describe], sprites: Sprites
) -> None:
    images = shown(World(sprites, 77), range(12))
    images[5] = shown(training, [123])[0]
    renders = shown(World(sprites, 78), range(12))
    for near in nearness(images, renders, captions(12), training, COUNT, measures, silent).values():
        worst = near.worst[0]
        assert (worst.picture, worst.training) == (5, 123)
        assert (worst.sentence, worst.caption) == ("sentence 5", training.caption(123))
        assert worst.ratio == pytest.approx(0, abs=1e-4)
        assert [case.ratio for case in near.worst] == sorted(case.ratio for case in near.worst)


def test_histograms_count_every_picture_between_shared_edges() -> None:
    made, renders = torch.rand(30).double(), 2 * torch.rand(50).double()
    found = compare(made, renders)
    assert sum(found.counts) == 30
    assert sum(found.counts_of_renders) == 50
    assert len(found.edges) == len(found.counts) + 1
    assert (found.edges[0], found.edges[-1]) == (0, pytest.approx(renders.max().item()))
    assert sum(compare(torch.zeros(3), torch.zeros(3)).counts) == 3


def test_the_sentences_are_of_the_same_world_and_not_of_training(sprites: Sprites) -> None:
    config = WorldConfig(concepts=12, styles=("3d",), photographs=0.5)
    asked = sentences(World(sprites, 3, config, load_photographs(SAMPLE, 0)))
    assert asked.config == replace(config, photographs=0.0)
    assert asked.seed != 3
    assert asked.photographs is None


def test_a_model_is_searched_shown_and_searched_again_with_what_it_drew(
    painter: System, features: Features, sprites: Sprites, tmp_path: Path
) -> None:
    world = World(sprites, 0, WorldConfig(variation=0.5))
    search = Search(world, 60, features, tmp_path / "pictures", None)
    about = Drawn("tiny", suite_name(world), 0, 64, 1, {"steps": 2})
    report = memorisation(painter, search, 5, about, silent)
    assert (report.pictures, report.training, report.photographs) == (5, 60, None)
    assert report.learned_from == "world of 60 concepts at 0.5 of the usual variation, seed 0"
    kept = json.dumps(asdict(report), sort_keys=True)
    before = picture_file(search.folder, 0, 0).stat().st_mtime_ns
    picture_file(search.folder, 4, 0).unlink()
    assert json.dumps(asdict(memorisation(painter, search, 5, about, silent)), sort_keys=True) == kept
    assert picture_file(search.folder, 0, 0).stat().st_mtime_ns == before
    text = table(report)
    assert "none among the training pictures" in text
    assert text.count("d1/d50, ") == 2
    sheet = side_by_side(report.nearness["pixels"].worst, search.folder, world)
    assert sheet.size == (4 * (2 * 128 + 8), 2 * (128 + 8))
    plot(report.nearness, tmp_path / "distances.svg")
    plot(report.nearness, tmp_path / "again.svg")
    assert (tmp_path / "distances.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()


def test_photographs_are_held_against_those_held_out(
    painter: System, features: Features, sprites: Sprites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memorising, "PHOTOGRAPHS", 6)
    trained, heldout = (load_photographs(SAMPLE, 0, split) for split in ("train", "heldout"))
    world = World(sprites, 0, WorldConfig(photographs=0.25), trained)
    search = Search(world, 50, features, tmp_path / "pictures", heldout)
    about = Drawn("tiny", suite_name(world), 0, 64, 1, {"steps": 2})
    report = memorisation(painter, search, 2, about, silent)
    assert report.photographs is not None
    assert report.photographs.pictures == (6, 6)
    assert report.learned_from == "world of 60 concepts, 25% photographs, seed 0"
    assert "AUC 0." in table(report)


def test_a_sheet_shows_the_picture_beside_its_training_picture(training: World, tmp_path: Path) -> None:
    file = picture_file(tmp_path, 3, 0)
    file.parent.mkdir()
    Image.new("RGB", (256, 256), "red").save(file)
    case = memorising.Case(3, "red", 11, training.caption(11), 0.1, 0.2)
    sheet = side_by_side([case], tmp_path, training)
    assert sheet.getpixel((4 + 64, 4 + 64)) == (255, 0, 0)
    own = Image.fromarray(training.example(11, 64).image).resize((128, 128), Image.Resampling.BICUBIC)
    assert sheet.crop((4 + 128, 4, 4 + 256, 4 + 128)).tobytes() == own.tobytes()
