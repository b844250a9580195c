"""Picture files: any picture read as upright RGB, and pictures saved with the request that made them.

Needs no torch, so that data loaders and the command line start without it.
"""

import json
import secrets
import tempfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeAlias
from xml.sax.saxutils import escape

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from unclip.errors import DataError, RequestError

SourceType: TypeAlias = Literal[
    "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "composite"
]

_FORMATS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{source_type}">
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">{description}</rdf:li></rdf:Alt></dc:description>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
_ASCII = b"ASCII\0\0\0"  # the first eight bytes of an EXIF UserComment name its character set


def read_image(path: Path) -> Image.Image:
    """Read a picture file as upright RGB. Raises `DataError` if it is missing or broken."""
    return to_rgb(read_picture(path))


def read_picture(path: Path) -> Image.Image:
    """Read a picture file upright, with its transparency. Raises `DataError` if it is missing or broken."""
    try:
        return _upright(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a picture file") from error


def decode(data: bytes, name: str) -> Image.Image:
    """Decode a picture as upright RGB. Raises `DataError`, which calls it `name`, if it is broken."""
    return to_rgb(_upright(data, name))


def _upright(data: bytes, name: str) -> Image.Image:
    try:
        with Image.open(BytesIO(data)) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow's decoders raise whatever they stumble on
        raise DataError(f"{name}: not a whole picture ({error}); replace it or take it out") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a picture of any mode to RGB, transparent parts over white."""
    if image.mode.startswith("I;16"):  # Pillow clips 16 bits to 8, which turns nearly everything white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def is_picture(path: Path) -> bool:
    """Tell a picture file's name from a folder's, by its suffix. Raises `RequestError` for another suffix."""
    if path.suffix and not path.is_dir() and path.suffix.lower() not in _FORMATS:
        raise RequestError(f"{path}: cannot save as '{path.suffix}'; use one of {', '.join(_FORMATS)}")
    return path.suffix.lower() in _FORMATS and not path.is_dir()


def check_writable(path: Path) -> None:
    """Raise `RequestError` if no file can be written there, before any work is done for it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def save(
    image: Image.Image,
    path: Path,
    metadata: Mapping[str, object],
    source_type: SourceType = "trainedAlgorithmicMedia",
) -> None:
    """Write a PNG, WebP or JPEG, by the suffix of `path`, with what made it; whole or not at all.

    `metadata` must fit JSON; `read_metadata` gives it back. An XMP packet holds it as text for people, beside
    the IPTC digital source type: whether the whole picture was generated, parts of a given one, or none.

    Raises `RequestError` for another suffix and for a place that cannot be written.
    """
    if path.suffix.lower() not in _FORMATS:
        raise RequestError(f"{path}: cannot save as '{path.suffix}'; use one of {', '.join(_FORMATS)}")
    write_whole(path, encoded(image, _FORMATS[path.suffix.lower()], metadata, source_type))


def encoded(
    image: Image.Image,
    format: str,
    metadata: Mapping[str, object],
    source_type: SourceType = "trainedAlgorithmicMedia",
) -> bytes:
    """Return what `save` writes, in one of Pillow's formats PNG, WEBP and JPEG."""
    file = BytesIO()
    image = image if format == "PNG" else to_rgb(image)
    image.save(file, format, quality=95, **labels(format, metadata, source_type))
    return file.getvalue()


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the metadata that `save` or `save_animation` wrote.

    Raises `DataError` if the file is no picture or holds none.
    """
    try:
        with Image.open(path) as image:
            return dict(json.loads(_request(image)))
    except Exception as error:  # foreign pictures hold anything in these fields
        raise DataError(f"{path}: holds no request; give a picture that unclip has saved") from error


def labels(format: str, metadata: Mapping[str, object], source_type: SourceType) -> dict[str, Any]:
    """Return the options by which Pillow saves a PNG, WebP, JPEG or GIF with what made it.

    Of a GIF, Pillow saves the comment alone (see `animations`).
    """
    description = _printable("\n".join(f"{name}: {value}" for name, value in metadata.items()))
    xmp = _XMP.format(source_type=source_type, description=escape(description))
    if format == "PNG":
        chunks = PngInfo()
        chunks.add_itxt("Description", description)
        chunks.add_itxt("unclip", json.dumps(metadata))
        chunks.add_itxt("XML:com.adobe.xmp", xmp)
        return {"pnginfo": chunks}
    if format == "GIF":
        return {"comment": json.dumps(metadata).encode(), "xmp": xmp.encode()}
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = _ASCII + json.dumps(metadata).encode()
    return {"exif": exif, "xmp": xmp.encode()}


def _request(image: Image.Image) -> str | bytes:
    if image.format == "PNG":
        return image.info["unclip"]
    if image.format == "GIF":
        return image.info["comment"]
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    return comment.removeprefix(_ASCII)


def _printable(text: str) -> str:
    """Leave out the characters that XML forbids: controls, and halves of surrogate pairs."""
    return "".join(character for character in text if character.isprintable() or character == "\n")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, and its folder, whole or not at all.

    Raises `RequestError` for a place that cannot be written.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
