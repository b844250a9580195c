"""The whole evaluation of the tiny system by untrained judges, and how its numbers are shown."""

from dataclasses import replace
from pathlib import Path

import pytest

from unclip.errors import DataError
from unclip.evaluation import evaluate as evaluating
from unclip.evaluation.draw import Drawn, picture_file
from unclip.evaluation.evaluate import SUITES, Bench, Suite, evaluate, sentences
from unclip.evaluation.judges.store import Judges
from unclip.evaluation.metrics import Interval
from unclip.evaluation.report import GENEVAL, PUBLISHED, TaskScore, table
from unclip.evaluation.suite import TASKS
from unclip.system import System
from unclip.world import Sprites, World, WorldConfig

SMALL = Suite("small", seen=2, unseen=1, per_sentence=2)
ABOUT = Drawn("tiny", "small", 0, 64, SMALL.per_sentence, {"steps": 2})


def silent(part: str, done: int, of: int) -> None:
    assert 0 < done <= of, part


@pytest.fixture
def bench(judges: Judges, sprites: Sprites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(evaluating, "CAPTIONS", 20)
    monkeypatch.setattr(evaluating, "JUDGED", 1)
    monkeypatch.setattr(evaluating, "TEMPLATE_PICTURES", 1)
    return Bench(SMALL, World(sprites, 0), judges, tmp_path / "pictures")


def test_a_suite_is_drawn_judged_and_reported(painter: System, bench: Bench) -> None:
    report = evaluate(replace(painter, upsamplers=painter.upsamplers[:1]), bench, ABOUT, silent)
    assert [(score.task, score.unseen) for score in report.scores] == [
        (t, u) for t in TASKS for u in (False, True)
    ]
    assert report.pictures == 2 * 3 * 7
    assert len(list(bench.folder.glob("*/*.png"))) == report.pictures
    assert report.settings == {"steps": 2}
    assert report.floor.frechet < report.distances.frechet
    assert 0 <= report.prior.rank <= report.prior.of == 21
    assert report.seconds_per_picture > 0
    assert not any(score.counts for score in report.scores)  # untrained judges find nothing right
    text = table(report)
    assert text.count("| single object | seen | (") == 1
    assert "DALL-E 2" in text


def test_what_is_drawn_is_kept_and_other_settings_need_another_folder(painter: System, bench: Bench) -> None:
    evaluate(painter, bench, ABOUT, silent)
    kept = picture_file(bench.folder, 0, 0)
    before = kept.stat().st_mtime_ns
    picture_file(bench.folder, 1, 0).unlink()
    evaluate(painter, bench, ABOUT, silent)
    assert kept.stat().st_mtime_ns == before
    assert picture_file(bench.folder, 1, 0).exists()
    with pytest.raises(DataError, match="choose another folder"):
        evaluate(painter, bench, replace(ABOUT, settings={"steps": 3}), silent)


def test_the_suites_are_those_that_the_command_tells_of() -> None:
    sizes = {
        name: len(sentences(suite, WorldConfig())) * suite.per_sentence for name, suite in SUITES.items()
    }
    assert sizes == {"quick": 280, "full": 5_600}


def test_a_score_counts_only_under_a_judge_to_be_trusted() -> None:
    sure = TaskScore("colours", False, 10, Interval(0.5, 0.4, 0.6), 0.98, 0.97, 0.1, 0.2)
    assert sure.counts
    assert replace(sure, judge_upsampled=None).counts
    assert not replace(sure, judge=0.96).counts
    assert not replace(sure, judge_upsampled=0.96).counts


def test_published_scores_are_the_means_of_their_tasks() -> None:
    for name, (overall, *tasks) in PUBLISHED.items():
        assert len(tasks) == len(GENEVAL)
        assert sum(tasks) / len(tasks) == pytest.approx(overall, abs=0.011), name
