"""Uploads: looked at before they are decoded, decoded with bounds, and freed of what nobody meant to send."""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps

from unclip.imagefiles import to_rgb
from unclip.server.errors import ApiError, bad_request
from unclip.server.settings import Compat

MOST_BYTES = 4 * 2**20  # of one picture, which must be smaller
MOST_SIDE = 4096  # pixels; a file of a few bytes can decode to gigabytes

_MAGIC = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "WEBP": b"RIFF"}
_MIMES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@dataclass(frozen=True)
class Upload:
    """A picture that was sent: upright, and the bytes that are kept of it."""

    image: Image.Image
    data: bytes
    mime: str


def opened(data: bytes, param: str, compat: Compat, most_bytes: int = MOST_BYTES) -> Upload:
    """Decode an upload, whatever its name and type say that it is. Raises ApiError for what is no picture."""
    if not data:
        raise bad_request(f"The file '{param}' is empty.", "invalid_image", param)
    if len(data) >= most_bytes:
        size = f"{most_bytes // 2**20} MB"
        raise bad_request(f"Uploaded image must be a PNG and less than {size}.", param=param)
    kind = _kind(data)
    if kind is None or (compat == "strict" and kind != "PNG"):
        known = "'image/png'" if compat == "strict" else ", ".join(f"'{mime}'" for mime in _MIMES.values())
        raise bad_request(
            f"Invalid file '{param}': unsupported mimetype. Supported file formats are {known}.",
            "unsupported_file_mimetype",
            param,
        )
    image = _decoded(data, kind, param)
    kept, mime = (data, _MIMES[kind]) if has_credentials(data) else (_plain(image), "image/png")
    return Upload(image, kept, mime)


def _kind(data: bytes) -> str | None:
    for kind, magic in _MAGIC.items():
        if data.startswith(magic) and (kind != "WEBP" or data[8:12] == b"WEBP"):
            return kind
    return None


def _decoded(data: bytes, kind: str, param: str) -> Image.Image:
    try:
        with Image.open(BytesIO(data), formats=[kind]) as image:
            if max(image.size) > MOST_SIDE:
                raise _too_large(param, f"{image.width} x {image.height}")
            return upright(image)
    except ApiError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(param, "far too many") from None
    except Exception as error:  # Pillow's decoders raise whatever they stumble on
        raise bad_request(
            f"Invalid image file '{param}': it cannot be decoded.", "invalid_image", param
        ) from error


def upright(image: Image.Image) -> Image.Image:
    """Return an opened picture as its camera was held, RGBA if it has transparency and RGB if not."""
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image.convert("RGBA") if image.has_transparency_data else to_rgb(image)


def _too_large(param: str, pixels: str) -> ApiError:
    message = f"The file '{param}' is {pixels} pixels: at most {MOST_SIDE} a side."
    return bad_request(message, "image_too_large", param)


def has_credentials(data: bytes) -> bool:
    """Tell whether a file seems to carry a C2PA manifest, which any change of the file would break."""
    return b"jumb" in data and b"c2pa" in data  # the names of its boxes, in every format


def _plain(image: Image.Image) -> bytes:
    """Return the pixels as a PNG that says nothing of camera, place or time."""
    file = BytesIO()
    image.info.clear()
    image.save(file, "PNG", compress_level=3)
    return file.getvalue()


def check_square(upload: Upload, param: str = "image") -> None:
    """Raise ApiError unless width and height are equal."""
    width, height = upload.image.size
    if width != height:
        raise bad_request(
            f"Uploaded image must be square. This one is {width} x {height} pixels.",
            "invalid_image",
            param,
        )
