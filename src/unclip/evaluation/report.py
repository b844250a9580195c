"""The numbers of an evaluation, as JSON keeps them and as a table for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from unclip.evaluation.metrics import Interval

TRUSTED = 0.97  # of true renders that a judge must find right, for its score to count
GENEVAL = ("single_object", "two_objects", "counting", "colours", "position", "colour_attribution")
PUBLISHED = {  # model: overall, then the tasks in the order of GENEVAL
    "CLIP retrieval": (0.35, 0.89, 0.22, 0.37, 0.62, 0.03, 0.00),
    "minDALL-E": (0.23, 0.73, 0.11, 0.12, 0.37, 0.02, 0.01),
    "Stable Diffusion 1.5": (0.43, 0.97, 0.38, 0.35, 0.76, 0.04, 0.06),
    "DALL-E 2": (0.52, 0.94, 0.66, 0.49, 0.77, 0.10, 0.19),
    "SDXL": (0.55, 0.98, 0.74, 0.39, 0.85, 0.15, 0.23),
    "FLUX.1-dev": (0.66, 0.98, 0.79, 0.73, 0.77, 0.22, 0.45),
    "DALL-E 3": (0.67, 0.96, 0.87, 0.47, 0.83, 0.43, 0.45),
}
CONTEXT = (
    "GenEval, as published for models of the open world. It is not this test: its sentences are of COCO's 80"
    " classes in any scene, its judges see photographs, and none of its models was trained on its pictures."
    " Here sentences, pictures and judges are of one small world, which the model was trained on."
)


@dataclass(frozen=True)
class TaskScore:
    """How often a task was done right, and what that is to be held against.

    judge: what the judge finds right of true renders, and of renders that went through 64 pixels.
    chance: the score with every sentence's pictures given to another.
    retrieval: the score of the training pictures with the nearest captions.
    """

    task: str
    unseen: bool
    sentences: int
    right: Interval
    judge: float
    judge_upsampled: float | None
    chance: float
    retrieval: float

    @property
    def counts(self) -> bool:
        """Whether the judge is good enough for the score to mean anything."""
        return (
            min(self.judge, self.judge if self.judge_upsampled is None else self.judge_upsampled) >= TRUSTED
        )


@dataclass(frozen=True)
class Distances:
    """A set of pictures against true renders, in the features of a judge.

    Precision is the share of pictures that could be renders, recall the share of renders that could be drawn.
    """

    frechet: float
    squared_mmd: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Likeness:
    """Pictures against their sentences, by the judges' CLIP: mean cosine, and R-precision among 100."""

    clip_score: float
    r_precision: float


@dataclass(frozen=True)
class PriorQuality:
    """Embeddings drawn by the prior against those of true renders.

    cosine: to the embedding of the sentence's own render; the next two are what to hold it against.
    rank: median place of the own render among all renders by cosine, from 1; `of` is their number.
    """

    cosine: float
    cosine_other_render: float  # between two renders of one sentence
    cosine_other_sentence: float
    rank: float
    of: int


@dataclass(frozen=True)
class Report:
    """One evaluation of one model."""

    model: str
    suite: str
    pictures: int
    size: int
    settings: dict[str, str | int | float]
    scores: Sequence[TaskScore]
    distances: Distances
    floor: Distances  # renders against other renders
    likeness: Likeness
    likeness_of_renders: Likeness
    prior: PriorQuality
    templates: float  # single objects found by comparison with the art itself, without a network
    templates_of_renders: float
    seconds_per_picture: float

    @property
    def overall(self) -> float:
        """Mean of GenEval's six tasks over seen combinations, as GenEval's overall score."""
        found = {score.task: score.right.mean for score in self.scores if not score.unseen}
        return fmean(found[task] for task in GENEVAL)


def table(report: Report) -> str:
    """Write a report as Markdown."""
    lines = [
        f"{report.model}: {report.pictures} pictures of {report.size} px, suite {report.suite}",
        "",
        f"Overall (mean of the six tasks of GenEval, seen combinations): **{report.overall:.2f}**",
        "",
        "| task | combinations | right | 95 % | judge | judge 64->256 | chance | retrieval | sentences |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(score) for score in report.scores),
        "",
        f"Scores in brackets do not count: their judge is right of fewer than {TRUSTED:.0%} of true renders.",
        "",
        "| | this model | true renders |",
        "|---|---|---|",
        *_pairs(report),
        "",
        _prior(report.prior),
        "",
        CONTEXT,
        "",
        "| published | overall | " + " | ".join(task.replace("_", " ") for task in GENEVAL) + " |",
        "|---|---|" + "---|" * len(GENEVAL),
        *(
            f"| {name} | " + " | ".join(f"{value:.2f}" for value in row) + " |"
            for name, row in PUBLISHED.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _prior(prior: PriorQuality) -> str:
    return (
        f"Prior: cosine {prior.cosine:.3f} to the embedding of a true render (two renders of one sentence:"
        f" {prior.cosine_other_render:.3f}; of two sentences: {prior.cosine_other_sentence:.3f});"
        f" median rank {prior.rank:g} of {prior.of}."
    )


def _row(score: TaskScore) -> str:
    right = f"{score.right.mean:.2f}" if score.counts else f"({score.right.mean:.2f})"
    upsampled = "" if score.judge_upsampled is None else f"{score.judge_upsampled:.3f}"
    cells = (
        score.task.replace("_", " "),
        "unseen" if score.unseen else "seen",
        right,
        f"{score.right.low:.2f} to {score.right.high:.2f}",
        f"{score.judge:.3f}",
        upsampled,
        f"{score.chance:.2f}",
        f"{score.retrieval:.2f}",
        str(score.sentences),
    )
    return f"| {' | '.join(cells)} |"


def _pairs(report: Report) -> list[str]:
    made, floor = report.distances, report.floor
    like, true = report.likeness, report.likeness_of_renders
    pairs = [
        ("Fréchet distance", made.frechet, floor.frechet),
        ("squared MMD", made.squared_mmd, floor.squared_mmd),
        ("precision", made.precision, floor.precision),
        ("recall", made.recall, floor.recall),
        ("CLIP score", like.clip_score, true.clip_score),
        ("R-precision among 100", like.r_precision, true.r_precision),
        ("single objects found by templates", report.templates, report.templates_of_renders),
    ]
    return [f"| {name} | {value:.3g} | {true:.3g} |" for name, value, true in pairs]
