import json
import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from unclip.imagefiles import labels
from unclip.provenance.plain import Marks, plain_marks

REQUEST = {"prompt": 'a "wall" & 🎂', "seed": 7}
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/">{}</x:xmpmeta>'
ADDRESS = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def saved(format: str, **options: object) -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("source_type", ["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"])
def test_what_unclip_writes_is_read(format: str, source_type: str) -> None:
    data = saved(format, **labels(format, REQUEST, source_type))  # pyright: ignore[reportArgumentType]
    assert plain_marks(data) == Marks(source_type, REQUEST)


def test_a_gif_holds_the_request() -> None:
    data = saved("GIF", **labels("GIF", REQUEST, "trainedAlgorithmicMedia"))
    marks = plain_marks(data)
    assert marks
    assert marks.request == REQUEST


@pytest.mark.parametrize(
    "text",
    [
        '<rdf:Description Iptc4xmpExt:DigitalSourceType="{}digitalCapture"/>',
        "<Iptc4xmpExt:DigitalSourceType>{}digitalCapture</Iptc4xmpExt:DigitalSourceType>",
        "<Iptc4xmpExt:DigitalSourceType rdf:resource='{}digitalCapture'/>",
    ],
)
def test_the_source_type_is_read_however_it_is_written(text: str) -> None:
    data = saved("JPEG", xmp=XMP.format(text.format(ADDRESS)).encode())
    assert plain_marks(data) == Marks("digitalCapture", None)


def test_a_source_type_after_the_pixels_is_read() -> None:
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.format(f'DigitalSourceType="{ADDRESS}print"').encode()
    chunk = struct.pack(">I", len(text)) + b"iTXt" + text + struct.pack(">I", zlib.crc32(b"iTXt" + text))
    data, end = saved("PNG"), 12  # of the last chunk, which is empty
    assert plain_marks(data[:-end] + chunk + data[-end:]) == Marks("print", None)


def test_a_picture_that_says_nothing() -> None:
    assert plain_marks(saved("PNG")) == Marks(None, None)


@pytest.mark.parametrize("text", ["no JSON", json.dumps([1, 2]), json.dumps("text")])
def test_a_foreign_text_is_no_request(text: str) -> None:
    chunks = PngInfo()
    chunks.add_itxt("unclip", text)
    assert plain_marks(saved("PNG", pnginfo=chunks)) == Marks(None, None)


def test_torn_pixels_do_not_matter(picture: Callable[..., bytes]) -> None:
    marks = plain_marks(picture()[:-500])
    assert marks
    assert marks.source_type == "trainedAlgorithmicMedia"


@pytest.mark.parametrize("data", [b"", b"text", b"%PDF-1.4"])
def test_what_is_no_picture_has_no_marks(data: bytes) -> None:
    assert plain_marks(data) is None
