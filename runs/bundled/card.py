"""Write the model card, docs/model-card.md, from the bundled model and from what was measured of it.

    python runs/bundled/card.py     # as `make docs` does

Beside this file are training.json, which is kept by hand, and in evaluation/ the reports of `unclip evaluate`
(full.json, or else quick.json) and of `unclip memorisation` (memorisation.json), and qualities.json, a list
of {quality, steps, seconds, score}. A report that is not there is said to be missing. The pictures of the
card, and wrong.json, come from card_pictures.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unclip.evaluation.membership import Membership
from unclip.evaluation.memorisation import Case, Comparison, Memorisation, Nearness
from unclip.evaluation.memorisation import table as memorisation_table
from unclip.evaluation.metrics import Interval
from unclip.evaluation.report import Distances, Likeness, PriorQuality, Report, TaskScore
from unclip.evaluation.report import table as score_table
from unclip.world import WorldConfig, told
from unclip.world.backgrounds import BACKGROUNDS
from unclip.world.concepts import SOLIDS, listed
from unclip.world.photographs import PHOTOGRAPH_SETS
from unclip.world.words import COLOURS, RELATIONS, STYLES

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SYSTEM = ROOT / "src" / "unclip" / "bundled" / "model" / "system.json"
CARD = ROOT / "docs" / "model-card.md"
PICTURES = CARD.with_suffix("")  # docs/model-card/
ART_SETS = (*(style.art_set for style in STYLES.values()), "hires")
SHEETS = {  # of `unclip memorisation`
    "worst-pixels.png": "the pictures most like one training picture by pixels, each on the left of it",
    "worst-features.png": "the same by the judges' features",
    "distances.svg": "distances to training, of pictures and of fresh renders",
}


@dataclass(frozen=True)
class Sources:
    """All that the card is written from; None is what was not measured. `pictures` are files beside it."""

    system: dict[str, Any]
    sets: str  # THIRD_PARTY.md
    training: dict[str, Any]
    evaluation: dict[str, Any] | None
    memorisation: dict[str, Any] | None
    qualities: list[dict[str, Any]] | None
    wrong: list[dict[str, Any]] | None
    pictures: frozenset[str]


def committed() -> Sources:
    return Sources(
        system=read(SYSTEM),
        sets=(ROOT / "THIRD_PARTY.md").read_text("utf-8"),
        training=read(HERE / "training.json"),
        evaluation=read(HERE / "evaluation" / "full.json") or read(HERE / "evaluation" / "quick.json"),
        memorisation=read(HERE / "evaluation" / "memorisation.json"),
        qualities=read(HERE / "evaluation" / "qualities.json"),
        wrong=read(HERE / "evaluation" / "wrong.json"),
        pictures=frozenset(path.name for path in PICTURES.glob("*")),
    )


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def card(sources: Sources) -> str:
    sections = (what_it_is, how_to_use, data, can_draw, scores, speed, memory, training, failures, limits)
    return "\n\n".join(section(sources).strip() for section in sections) + "\n"


def missing(what: str) -> str:
    return f"Not measured yet: `{what}` does that."


def what_it_is(sources: Sources) -> str:
    about = sources.system["card"]
    rows = [
        f"| {name} | {stage['process']['prediction']} | {stage['process']['schedule']} |"
        f" {stage['defaults']['sampler']} | {stage['defaults']['num_steps']} |"
        f" {stage['defaults']['guidance_scale']:g} |"
        for name, stage in sources.system["stages"].items()
    ]
    return f"""# Model card: {about["name"]}

This page is written by `runs/bundled/card.py` (`make docs`) from the model and from what was measured of it.

A small text-to-image model of the structure of DALL-E 2 ([architecture](architecture.md)): CLIP, a prior
from sentences to image embeddings, a diffusion decoder and diffusion upsamplers. It comes with the package,
runs on a CPU without a network connection, and knows one small world of drawings. Its weights are under the
licence {about["licence"]}; how large each network is stands in [presets.md](presets.md).

| stage | predicts | schedule | sampler | steps | guidance |
|---|---|---|---|---|---|
{chr(10).join(rows)}"""


def how_to_use(sources: Sources) -> str:
    del sources
    return """## How to use it

```sh
unclip generate "a red apple on a wooden table" --out apple.png
unclip model info
```

```python
import unclip

unclip.generate(unclip.load(), "a red apple on a wooden table")[0].save("apple.png")
```

Every picture carries the request that made it, and the mark of a generated picture, in its metadata."""


def data(sources: Sources) -> str:
    learned = sources.system["card"]["training_data"]
    sets = (*ART_SETS, *(PHOTOGRAPH_SETS if any("photographs" in line for line in learned) else ()))
    rows = [row for row in sources.sets.splitlines() if row.startswith(tuple(f"| {name} |" for name in sets))]
    return f"""## What it learned from

{chr(10).join(f"- {line}" for line in learned)}

The world's scenes are drawn by a program, which also writes their captions. The art in the scenes is from
these sets, of which it takes the drawings of the things below; authors and notices are in
[THIRD_PARTY.md](../THIRD_PARTY.md).

| set | pictures | licence | source |
|---|---:|---|---|
{chr(10).join(rows)}"""


def world(sources: Sources) -> WorldConfig:
    """What the decoder was shown, by the last line about it."""
    lines = [line for line in sources.system["card"]["training_data"] if line.startswith("decoder: ")]
    found = told(lines[-1].removeprefix("decoder: "))
    assert found, f"system.json does not say which world the decoder learned: {lines}"
    return found[0]


def can_draw(sources: Sources) -> str:
    shown = world(sources)
    calmer = (
        "place, size, pose and shade vary as usual"
        if shown.variation == 1
        else f"place, size, pose and shade vary {shown.variation:g} times as far as in the world at large"
    )
    solids = ", ".join(solid.name for solid in SOLIDS)
    return f"""## What it can draw, and what not

It was shown scenes of up to five things:

- {shown.concepts} kinds of things: {", ".join(concept.name for concept in listed()[: shown.concepts])};
- solids, in the 3D style: {solids};
- in the styles {", ".join(shown.styles)};
- in the colours {", ".join(COLOURS)}, also where they are not natural;
- {", ".join(RELATIONS)} another thing;
- in these places and on these grounds: {", ".join(BACKGROUNDS)};
- {calmer}.

It knows {len(sources.system["card"]["words"])} words, and nothing else: no people, no writing, no artists'
styles. A word that it never saw is said to the user with the nearest words that it knows. Some combinations
of known things were never shown to it; they are scored below as unseen."""


def scores(sources: Sources) -> str:
    if sources.evaluation is None:
        return f"## Scores\n\n{missing('unclip evaluate')}"
    return f"""## Scores

By WorldEval ([what it asks, and who judges](evaluate.md)), with intervals over sentences.

{score_table(report_of(sources.evaluation))}"""


def report_of(values: dict[str, Any]) -> Report:
    fields = {name: value for name, value in values.items() if name != "overall"}
    rows = [TaskScore(**row | {"right": Interval(**row["right"])}) for row in fields["scores"]]
    kinds = {
        "distances": Distances,
        "floor": Distances,
        "likeness": Likeness,
        "likeness_of_renders": Likeness,
        "prior": PriorQuality,
    }
    parts = {name: kind(**fields[name]) for name, kind in kinds.items()}
    return Report(**fields | parts | {"scores": rows})


def speed(sources: Sources) -> str:
    if sources.qualities is None:
        return f"## Speed and quality\n\n{missing('unclip generate --quality')}"
    rows = [
        f"| {row['quality']} | {row['steps']} | {row['seconds']:.2f} | {row['score']:.2f} |"
        for row in sources.qualities
    ]
    return f"""## Speed and quality

| quality | steps of the decoder | seconds per picture | WorldEval, overall |
|---|---|---|---|
{chr(10).join(rows)}"""


def memory(sources: Sources) -> str:
    if sources.memorisation is None:
        return f"## Memorisation\n\n{missing('unclip memorisation')}"
    shown = [f"![{text}](model-card/{name})" for name, text in SHEETS.items() if name in sources.pictures]
    report = memorisation_of(sources.memorisation)
    worst = [
        f'- by {name}, {case.ratio:.3f}: "{case.sentence}", beside training picture {case.training:,},'
        f' "{case.caption}"'
        for name, near in report.nearness.items()
        for case in near.worst[:1]
    ]
    return f"""## Memorisation

Pictures of sentences drawn anew, and fresh renders of the same sentences, each compared with the training
picture nearest to it. A copy comes nearer than a render does, and its nearest training picture stands out
from the others near by: d1/d50, its distance as a share of that of the 50th nearest, is small (after
[Carlini et al.](https://arxiv.org/abs/2301.13188)). Blurred pictures lie nearer to all others in pixels, so
that a smaller distance alone is no copy.

{memorisation_table(report)}
The worst cases:

{chr(10).join(worst)}

{chr(10).join(shown)}"""


def memorisation_of(values: dict[str, Any]) -> Memorisation:
    found = {name: nearness_of(near) for name, near in values["nearness"].items()}
    asked = values["photographs"]
    photographs = asked and Membership(
        **tupled(asked)
        | {
            "by_timestep": tuple(Interval(**one) for one in asked["by_timestep"]),
            "overall": Interval(**asked["overall"]),
        }
    )
    return Memorisation(**values | {"nearness": found, "photographs": photographs})


def nearness_of(values: dict[str, Any]) -> Nearness:
    compared = {name: Comparison(**tupled(values[name])) for name in ("distance", "ratio")}
    return Nearness(**values | compared | {"worst": tuple(Case(**case) for case in values["worst"])})


def tupled(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def training(sources: Sources) -> str:
    rows = [
        f"| {run['name']} | {run['pictures']:,} | {run['hours']:g} | {run['hardware']} |"
        for run in sources.training["runs"]
    ]
    return f"""## Training

| run | pictures | hours | on |
|---|---|---|---|
{chr(10).join(rows)}

{chr(10).join(sources.training["notes"])}
The commands and logs are in [runs/bundled](../runs/bundled/README.md)."""


def failures(sources: Sources) -> str:
    if not sources.wrong:
        return "## Known failures\n\nNo pictures are at hand yet: `runs/bundled/card_pictures.py` makes them."
    rows = [
        f"**{row['task'].replace('_', ' ')}**: {'; '.join(row['sentences'])}"
        f"\n\n![{row['task'].replace('_', ' ')}](model-card/{row['file']})"
        for row in sources.wrong
    ]
    return f"""## Known failures

The first pictures of each task that the judges call wrong, all of combinations that training shows.

{(chr(10) * 2).join(rows)}"""


def limits(sources: Sources) -> str:
    del sources
    return """## Intended use and limits

For teaching, for tests, for research on small diffusion models, for prototypes of applications that speak to
a larger one later, and for play. Not for pictures of people, places or events, which it does not know, and
not for anything that must be right: its counts, positions and relations fail as often as the scores say. Its
things look like the emoji that it was taught with, whose designers chose what counts as a usual house, meal
or animal; it repeats that choice. It has no filter: whoever trains it on other pictures takes on what those
hold. The scores are by judges trained on this world alone, and are not to be
compared with those of models of the open world."""


def main() -> None:
    CARD.write_text(card(committed()), "utf-8")


if __name__ == "__main__":
    main()
