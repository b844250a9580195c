"""The art sets from clones of their repositories: square RGBA drawings, each with the name of its emoji."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from unclip.errors import DataError
from unclip.world.concepts import listed
from unclip.world.grammar import article
from unclip.world.shard_writer import Entry, encode
from unclip.world.sources import Source

_PX, _HIRES_PX = 256, 1024
_SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
_PICTURE_SELECTOR = "fe0f"


@dataclass(frozen=True)
class Names:
    """What the emoji are called: their facts by lower-case name and by code points, as "1f43b_200d_2744"."""

    by_name: dict[str, dict[str, Any]]
    by_code: dict[str, dict[str, Any]]


def read_names(emojibase: Source) -> Names:
    """Read emojibase's English names. Raises `DataError` if the clone lacks them."""
    data = emojibase.path("packages/data/en")
    messages = json.loads((data / "messages.raw.json").read_text("utf-8"))
    groups, subgroups = (
        {row["order"]: row["message"] for row in messages[kind]} for kind in ("groups", "subgroups")
    )
    rows = [row for row in json.loads((data / "data.raw.json").read_text("utf-8")) if "group" in row]
    facts = [
        {
            "name": row["label"].lower(),
            "keywords": row.get("tags", []),
            "group": groups[row["group"]],
            "subgroup": subgroups[row["subgroup"]],
            "emoji": row["emoji"],
            "codepoints": _code(row["hexcode"].split("-")),
        }
        for row in rows
    ]
    return Names({fact["name"]: fact for fact in facts}, {fact["codepoints"]: fact for fact in facts})


def fluent_3d(source: Source, names: Names) -> Iterator[Entry]:
    """Copy the 3D drawings as they are."""
    for name, folder in _fluent(source):
        path = folder / "3D_256.webp"
        if path.is_file() and name in names.by_name:
            yield _entry(path.read_bytes(), names.by_name[name], source, path, "3D")


def fluent_flat(source: Source, names: Names, px: int = _PX) -> Iterator[Entry]:
    """Rasterise the flat drawings."""
    for name, folder in _fluent(source):
        path = folder / "Flat.svg"
        if path.is_file() and name in names.by_name:
            yield _entry(encode(rasterise(path, px)), names.by_name[name], source, path, "flat")


def noto_emoji(source: Source, names: Names, px: int = _PX) -> Iterator[Entry]:
    """Reduce the shaded drawings, which have 512 px."""
    for fact, path in _by_code(source.path("png/512"), ".png", names):
        with Image.open(path) as image:
            drawing = image.convert("RGBA").resize((px, px), Image.Resampling.BOX)
        yield _entry(encode(drawing), fact, source, path, "shaded cartoon")


def blobmoji(source: Source, names: Names, px: int = _PX) -> Iterator[Entry]:
    """Rasterise the blob drawings."""
    for fact, path in _by_code(source.path("svg"), ".svg", names):
        yield _entry(encode(rasterise(path, px)), fact, source, path, "blob style")


def hires(sources: dict[str, Source], names: Names) -> Iterator[Entry]:
    """Draw the listed concepts large, in the three styles that can be."""
    art = {concept.art for concept in listed()}
    chosen = Names(
        {name: fact for name, fact in names.by_name.items() if name in art},
        {code: fact for code, fact in names.by_code.items() if fact["name"] in art},
    )
    large = {
        "fluent-flat": fluent_flat(sources["fluent-flat"], chosen, _HIRES_PX),
        "blobmoji": blobmoji(sources["blobmoji"], chosen, _HIRES_PX),
        "noto-emoji": noto_emoji(sources["noto-emoji"], chosen, 512),
    }
    for name, entries in large.items():
        for entry in entries:
            yield Entry(f"{name}-{entry.key}", entry.picture, entry.fields | {"set": name})


def rasterise(path: Path, px: int) -> Image.Image:
    """Draw an SVG file at `px` square. Raises `DataError` without resvg_py and for a broken file."""
    try:
        import resvg_py  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DataError("resvg_py draws the SVG files and is not installed; pip install resvg_py") from error
    try:
        png = resvg_py.svg_to_bytes(svg_string=path.read_text("utf-8"), width=px, height=px)
    except ValueError as error:
        raise DataError(f"{path}: not a drawing ({error}); check out the listed commit again") from error
    return Image.open(BytesIO(bytes(png))).convert("RGBA")


def _fluent(source: Source) -> Iterator[tuple[str, Path]]:
    """Give the drawings' names and their folders."""
    for folder in sorted(source.path("assets").iterdir()):
        yield folder.name.lower(), folder / "Default"


def _by_code(folder: Path, suffix: str, names: Names) -> Iterator[tuple[dict[str, Any], Path]]:
    """Give what is known of the drawings of a folder that are filed by their code points."""
    for path in sorted(folder.glob(f"emoji_u*{suffix}")):
        points = path.stem.removeprefix("emoji_u").split("_")
        fact = names.by_code.get(_code(points))
        if fact and not _SKIN_TONES & set(points):
            yield fact, path


def _code(points: list[str]) -> str:
    return "_".join(point for point in map(str.lower, points) if point != _PICTURE_SELECTOR)


def _entry(picture: bytes, fact: dict[str, Any], source: Source, path: Path, style: str) -> Entry:
    with Image.open(BytesIO(picture)) as image:
        size = list(image.size)
    caption = f"{article(style)} emoji of {article(fact['name'])}"
    fields = fact | {"style": style, "alpha": True, "size": size} | source.record(path) | {"caption": caption}
    return Entry(fact["name"].replace(" ", "-").replace(".", ""), picture, fields)
