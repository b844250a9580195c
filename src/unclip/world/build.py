"""The data folder from the repositories its pictures come from."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from unclip.errors import DataError
from unclip.world import build_art, build_photographs
from unclip.world.shard_writer import Entry, write_set
from unclip.world.sources import Source, read_sources


def build(clones: Path, out: Path) -> None:
    """Make the shards of every set, with its licence and notice, from local clones (see `data/sources.toml`).

    Raises `DataError` for a clone that is missing or lacks a file, and if resvg_py is not installed.
    """
    sources = read_sources(clones)
    for name, entries in _sets(sources):
        write_set(out / name, entries)
    for name, source in sources.items():
        if source.notice:
            _write_papers(source, out / name)
    notice = (
        "Larger drawings of the art sets: each record names its set, whose licence and notice hold for it."
    )
    (out / "hires" / "NOTICE.txt").write_text(notice + "\n", "utf-8")


def _sets(sources: dict[str, Source]) -> Iterator[tuple[str, Iterable[Entry]]]:
    names = build_art.read_names(sources["names"])
    yield "fluent-3d", build_art.fluent_3d(sources["fluent-3d"], names)
    yield "fluent-flat", build_art.fluent_flat(sources["fluent-flat"], names)
    yield "noto-emoji", build_art.noto_emoji(sources["noto-emoji"], names)
    yield "blobmoji", build_art.blobmoji(sources["blobmoji"], names)
    yield "hires", build_art.hires(sources, names)
    yield "tf-flowers", build_photographs.tf_flowers(sources["tf-flowers"])
    yield "clothing", build_photographs.clothing(sources["clothing"])
    yield "grocery-fruit-veg", build_photographs.grocery(sources["grocery-fruit-veg"])
    yield "usda-pomological", build_photographs.usda_pomological(sources["usda-pomological"])


def _write_papers(source: Source, folder: Path) -> None:
    if not source.terms.is_file():
        raise DataError(
            f"{source.terms}: missing; the licence is passed on with the pictures, clone its repository"
        )
    shutil.copyfile(source.terms, folder / "LICENSE.txt")
    (folder / "NOTICE.txt").write_text(source.notice + "\n", "utf-8")
