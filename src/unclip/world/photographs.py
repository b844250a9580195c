"""Photographs and watercolours beside the drawn scenes, described as what they are."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from unclip.data.pictures import CaptionedPictures
from unclip.data.record import Record
from unclip.data.shards import read_records
from unclip.errors import DataError
from unclip.world.grammar import plural
from unclip.world.heldout import holds_photograph

PHOTOGRAPH_SETS = ("tf-flowers", "clothing", "grocery-fruit-veg", "usda-pomological")
PHOTOGRAPH_PX = 256  # no set has larger pictures

_WORDINGS = {
    "a photo of ": ("a photo of ", "a photograph of ", "a photo showing "),
    "a botanical watercolour painting of ": (
        "a botanical watercolour painting of ",
        "a watercolour painting of ",
        "a botanical illustration of ",
    ),
}
_IN_A_SHOP = " in a shop"  # the photographs of produce show heaps of it
_MASS = ("asparagus", "carrots", "cabbage", "garlic", "ginger", "satsumas", "zucchini")


def load_photographs(
    folder: Path, seed: int, split: Literal["train", "heldout"] = "train"
) -> CaptionedPictures:
    """Open the photograph sets that a data folder has, with several wordings of each caption.

    `split`: those to train on, or those that no training ever shows (see `holds_photograph`).

    Raises `DataError` for a folder with none of them and for a broken shard.
    """
    shards = [folder / name / f"{name}.tar" for name in PHOTOGRAPH_SETS]
    found = [record for shard in shards if shard.is_file() for record in read_records(shard)]
    records = [record for record in found if holds_photograph(record.key) == (split == "heldout")]
    if not records:
        raise DataError(
            f"{folder}: no photographs to {'train on' if split == 'train' else 'hold out'};"
            f" give a folder with one of {', '.join(PHOTOGRAPH_SETS)}"
        )
    return CaptionedPictures([_reworded(record) for record in records], seed)


def _reworded(record: Record) -> Record:
    caption = record.captions[0]
    start = next((start for start in _WORDINGS if caption.startswith(start)), None)
    if start is None:
        return record
    rest = _several(caption.removeprefix(start))
    return replace(record, captions=tuple(wording + rest for wording in _WORDINGS[start]))


def _several(noun: str) -> str:
    """Put produce, which the records name in the singular, in the plural."""
    name = noun.removesuffix(_IN_A_SHOP)
    return plural(name) + _IN_A_SHOP if name != noun and not name.endswith(_MASS) else noun
