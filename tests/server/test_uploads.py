import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from served import file_of

from unclip.provenance.certificates import signing_identity
from unclip.provenance.signing import Manifest, Signer
from unclip.server.errors import ApiError
from unclip.server.settings import Compat
from unclip.server.uploads import MOST_BYTES, MOST_SIDE, Upload, check_square, has_credentials, opened

FORMATS = ["PNG", "JPEG", "WEBP"]


def picture(mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Red above left, and black elsewhere."""
    image = Image.new("RGB", size)
    image.paste((255, 0, 0), (0, 0, size[0] // 2, size[1] // 2))
    return image.convert(mode)


def read(data: bytes, compat: Compat = "lenient") -> Upload:
    return opened(data, "image", compat)


def refusal(data: bytes, compat: Compat = "lenient", param: str = "image") -> ApiError:
    with pytest.raises(ApiError) as refused:
        opened(data, param, compat)
    assert refused.value.status == 400
    assert refused.value.error["type"] == "invalid_request_error"
    return refused.value


def kept(upload: Upload) -> Image.Image:
    with Image.open(BytesIO(upload.data)) as image:
        image.load()
        return image


@pytest.mark.parametrize("format", FORMATS)
def test_pictures_of_every_format_are_read_and_kept_as_png(format: str) -> None:
    upload = read(file_of(picture(), format, quality=95))
    assert (upload.image.mode, upload.image.size, upload.mime) == ("RGB", (24, 16), "image/png")
    assert upload.image.getpixel((2, 2))[0] > 200
    assert kept(upload).format == "PNG"
    assert kept(upload).tobytes() == upload.image.tobytes()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("RGB", "RGB"), ("L", "RGB"), ("P", "RGB"), ("1", "RGB"), ("RGBA", "RGBA"), ("LA", "RGBA")],
)
def test_pictures_of_every_mode_are_read_with_their_transparency(mode: str, expected: str) -> None:
    upload = read(file_of(picture(mode)))
    assert upload.image.mode == expected
    assert kept(upload).mode == expected


def test_a_palette_may_have_a_transparent_colour() -> None:
    image = picture().quantize(2)
    upload = read(file_of(image, transparency=image.getpixel((20, 10))))
    assert upload.image.mode == "RGBA"
    assert [upload.image.getpixel(at)[3] for at in ((2, 2), (20, 10))] == [255, 0]


def test_sixteen_bits_are_read_as_the_grey_that_they_are() -> None:
    deep = np.full((8, 8), 40_000, np.uint16)
    upload = read(file_of(Image.fromarray(deep)))
    assert upload.image.getpixel((0, 0)) == (156, 156, 156)


def test_a_jpeg_of_a_printer_is_read() -> None:
    assert read(file_of(picture("CMYK"), "JPEG")).image.mode == "RGB"


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_strictly_a_picture_is_a_png(format: str) -> None:
    assert read(file_of(picture()), "strict").image.size == (24, 16)
    error = refusal(file_of(picture(), format), "strict").error
    assert error["code"] == "unsupported_file_mimetype"
    assert error["message"] == (
        "Invalid file 'image': unsupported mimetype. Supported file formats are 'image/png'."
    )


@pytest.mark.parametrize(
    "data",
    [
        b"GIF89a" + bytes(50),
        b"%PDF-1.7",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"RIFF1234WAVE",
        b"BM" * 9,
    ],
)
def test_what_is_no_such_picture_is_told_by_its_first_bytes(data: bytes) -> None:
    error = refusal(data).error
    assert (error["code"], error["param"]) == ("unsupported_file_mimetype", "image")
    assert "'image/png', 'image/jpeg', 'image/webp'" in str(error["message"])


def test_no_format_is_tried_that_the_first_bytes_do_not_name() -> None:
    gif = file_of(picture().quantize(4), "GIF")
    assert refusal(b"\x89PNG\r\n\x1a\n" + gif).error["code"] == "invalid_image"
    assert refusal(b"\xff\xd8\xff" + gif).error["code"] == "invalid_image"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_short_is_refused(format: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole = file_of(noise, format)
    error = refusal(whole[: int(share * len(whole))], param="mask").error
    assert (error["code"], error["param"]) == ("invalid_image", "mask")
    assert error["message"] == "Invalid image file 'mask': it cannot be decoded."


def test_nothing_is_no_picture() -> None:
    assert refusal(b"").error["message"] == "The file 'image' is empty."


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def bomb(width: int, height: int) -> bytes:
    """A PNG of one colour, whose file is small and whose pixels are many."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    line = bytes(1 + (width + 7) // 8)
    packed = b"".join(rows.compress(line * 64) for _ in range(height // 64)) + rows.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height"), [(30_000, 30_000), (12_000, 12_000), (MOST_SIDE + 1, 64), (64, 65_500)]
)
def test_a_small_file_of_many_pixels_is_not_decoded(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bomb(width, height)
    assert len(data) < 200_000
    monkeypatch.setattr(Image.Image, "load", None)
    error = refusal(data).error
    assert (error["code"], error["param"]) == ("image_too_large", "image")
    assert str(error["message"]).endswith(f"at most {MOST_SIDE} a side.")


def test_the_largest_picture_is_decoded() -> None:
    assert read(bomb(MOST_SIDE, MOST_SIDE)).image.size == (MOST_SIDE, MOST_SIDE)


def test_text_that_swells_is_not_unpacked() -> None:
    swelling = b"Comment\0\0" + zlib.compress(bytes(80 * 2**20), 9)
    whole = file_of(picture())
    assert refusal(whole[:33] + chunk(b"zTXt", swelling) + whole[33:]).error["code"] == "invalid_image"


def test_a_file_has_less_than_four_megabytes() -> None:
    whole = file_of(picture())
    assert read(whole + bytes(MOST_BYTES - len(whole) - 1)).image.size == (24, 16)
    error = refusal(whole + bytes(MOST_BYTES - len(whole)))
    assert error.error["message"] == "Uploaded image must be a PNG and less than 4 MB."
    assert opened(whole + bytes(MOST_BYTES), "image", "lenient", 25 * 2**20).image.size == (24, 16)


SECRET = b"48.8584 N"


def with_secrets(format: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = SECRET.decode()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (48.0, 51.0, 30.0)
    text = PngInfo()
    text.add_text("Author", SECRET.decode())
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + SECRET + b"</x:xmpmeta>"
    options: dict[str, Any] = {"pnginfo": text} if format == "PNG" else {"xmp": xmp, "comment": SECRET}
    return file_of(picture(), format, exif=exif, icc_profile=SECRET + bytes(128), **options)


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_kept_that_tells_of_place_or_person(format: str) -> None:
    data = with_secrets(format)
    assert SECRET in data
    upload = read(data)
    assert SECRET not in upload.data
    assert not kept(upload).getexif()
    assert kept(upload).info == {}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("orientation", "corner"), [(1, (2, 2)), (3, (21, 13)), (6, (13, 2)), (8, (2, 21))])
def test_a_picture_is_turned_as_its_camera_was_held(
    format: str, orientation: int, corner: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    upload = read(file_of(picture(), format, exif=exif, quality=95))
    assert upload.image.size == ((24, 16) if orientation < 5 else (16, 24))
    assert upload.image.getpixel(corner)[0] > 200
    assert kept(upload).size == upload.image.size


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(signing_identity(tmp_path_factory.mktemp("home") / "certificates"))


@pytest.mark.parametrize("format", FORMATS)
def test_a_signed_picture_is_kept_as_it_came(format: str, signer: Signer) -> None:
    mime = f"image/{format.lower()}"
    said = Manifest("picture", "trainedAlgorithmicMedia", "c2pa.created", "unclip 0.1.0", "tiny")
    data = signer.sign(with_secrets(format), mime, said)
    assert has_credentials(data)
    upload = read(data)
    assert upload.data == data
    assert upload.mime == mime
    assert upload.image.mode == "RGB"


def test_a_name_by_chance_is_no_manifest() -> None:
    data = file_of(picture())
    assert not has_credentials(data)
    assert not has_credentials(data + b"caBX")


@pytest.mark.parametrize(("size", "square"), [((16, 16), True), ((24, 16), False), ((16, 17), False)])
def test_a_square_is_as_wide_as_high(size: tuple[int, int], square: bool) -> None:
    upload = read(file_of(picture(size=size)))
    if square:
        check_square(upload)
        return
    with pytest.raises(ApiError, match=f"must be square. This one is {size[0]} x {size[1]} pixels"):
        check_square(upload)
