"""What a picture says of itself without a signature: anybody can write it, and anybody can change it."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image

_SOURCE_TYPE = re.compile(
    rb"DigitalSourceType[^<]{0,40}https?://cv\.iptc\.org/newscodes/digitalsourcetype/(\w+)"
)
_ASCII = b"ASCII\0\0\0"  # how an EXIF UserComment begins


@dataclass(frozen=True)
class Marks:
    """The marks that need no key."""

    source_type: str | None  # the IPTC digital source type, the last part of its address
    request: dict[str, Any] | None  # what unclip was asked for


def plain_marks(data: bytes) -> Marks | None:
    """Read a picture's marks; None if it is no picture."""
    try:
        with Image.open(BytesIO(data)) as image:
            if image.format == "PNG" and "xmp" not in image.info:
                with suppress(Exception):  # texts may come after the pixels, and the pixels may be torn
                    image.load()
            return Marks(_source_type(image), _request(image))
    except Exception:  # Pillow's decoders raise whatever they stumble on
        return None


def _source_type(image: Image.Image) -> str | None:
    xmp = image.info.get("xmp", b"")
    found = _SOURCE_TYPE.search(xmp.encode() if isinstance(xmp, str) else xmp)
    return found[1].decode() if found else None


def _request(image: Image.Image) -> dict[str, Any] | None:
    """Return what `imagefiles.save` wrote; foreign pictures hold anything in these fields."""
    with suppress(Exception):
        if image.format == "PNG":
            return dict(json.loads(image.info["unclip"]))
        if image.format == "GIF":
            return dict(json.loads(image.info["comment"]))
        comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
        return dict(json.loads(comment.removeprefix(_ASCII)))
    return None
