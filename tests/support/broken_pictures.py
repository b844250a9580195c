"""Files that are sent as pictures and are none, or cost more than they weigh: each from a seeded chance."""

import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO

from PIL import Image, PngImagePlugin

Chance = random.Random
SIGNATURE = b"\x89PNG\r\n\x1a\n"
LATIN = b"Comment\0"


def chunk(kind: bytes, data: bytes = b"", crc: int | None = None) -> bytes:
    found = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", found)


def header(width: int, height: int, depth: int = 8, colour: int = 6, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


@cache
def rows(width: int, height: int, bytes_per_pixel: int = 4) -> bytes:
    """Packed rows of zeros: a thousandth of what they unpack to."""
    packer, row = zlib.compressobj(9), bytes(1 + width * bytes_per_pixel)
    return b"".join(packer.compress(row) for _ in range(height)) + packer.flush()


def png(
    width: int = 64, height: int = 64, *before: bytes, data: bytes | None = None, after: bytes = b""
) -> bytes:
    """A PNG of transparent black, with other chunks before its pixels, and bytes after its end."""
    pixels = chunk(b"IDAT", rows(width, height) if data is None else data)
    return SIGNATURE + header(width, height) + b"".join(before) + pixels + chunk(b"IEND") + after


def saved(kind: str, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: object) -> bytes:
    file = BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


@cache
def squeezed(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def too_wide(chance: Chance) -> bytes:
    side = chance.choice((4097, 10_000, 60_000, 2**31 - 1, 2**32 - 1))
    return png(data=squeezed(1000)).replace(header(64, 64), header(side, chance.choice((side, 1, 64))))


def without_pixels(chance: Chance) -> bytes:
    return SIGNATURE + header(*chance.choice(((0, 0), (0, 64), (64, 64), (4096, 4096)))) + chunk(b"IEND")


def odd_header(chance: Chance) -> bytes:
    depth, colour = chance.choice(((3, 0), (16, 3), (8, 5), (255, 6), (1, 2)))
    return SIGNATURE + header(64, 64, depth, colour) + chunk(b"IDAT", rows(64, 64)) + chunk(b"IEND")


def not_square(chance: Chance) -> bytes:
    """It unpacks to 64 MiB, and only then is found not to be square."""
    return png(4096, 4095 - chance.randrange(4))


def many_chunks(chance: Chance) -> bytes:
    pixels = rows(64, 65)
    parts = [chunk(b"IDAT", pixels[k : k + 1]) for k in range(len(pixels))]
    empty = [chunk(chance.choice((b"IDAT", b"tEXt", b"abCd"))) for _ in range(chance.randrange(5000, 50_000))]
    return SIGNATURE + header(64, 65) + b"".join(parts + empty) + chunk(b"IEND")


def text_bomb(chance: Chance) -> bytes:
    packed = squeezed(chance.choice((2, 80, 200)) * 2**20)
    bombs = (
        chunk(b"zTXt", LATIN + b"\0" + packed),
        chunk(b"iTXt", LATIN + b"\1\0\0\0" + packed),
        chunk(b"iCCP", LATIN + b"\0" + packed),
    )
    return png(64, 63, chance.choice(bombs))


def many_texts(chance: Chance) -> bytes:
    packed = squeezed(2**20 - 100)
    kind, empty = chance.choice(((b"zTXt", b"\0"), (b"iTXt", b"\1\0\0\0")))
    return png(64, 63, *(chunk(kind, b"%d\0" % k + empty + packed) for k in range(200)))


def odd_texts(chance: Chance) -> bytes:
    kind = chance.choice(
        (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"pHYs", b"gAMA", b"tRNS", b"PLTE", b"sRGB")
    )
    return png(64, 63, chunk(kind, chance.randbytes(chance.randrange(40))))


def cut(chance: Chance) -> bytes:
    whole = png(256, 255)
    return whole[: chance.randrange(1, len(whole) - 20)]


def wrong_sum(chance: Chance) -> bytes:
    whole = png()
    return whole[:29] + chance.randbytes(3) + bytes([whole[32] ^ 1]) + whole[33:]  # of the header


def too_much_data(chance: Chance) -> bytes:
    return png(64, chance.randrange(1, 63), data=squeezed(100 * 2**20))


def wrong_data(chance: Chance) -> bytes:
    return png(64, 64, data=chance.randbytes(chance.randrange(1, 2000)))


def with_rest(chance: Chance) -> bytes:
    return png(64, 63, after=chance.randbytes(chance.randrange(1, 100_000)))


def animated(chance: Chance) -> bytes:
    frames, file = [Image.new("RGB", (64, 63), (k, k, k)) for k in range(chance.randrange(2, 30))], BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    return file.getvalue()


def odd_animation(chance: Chance) -> bytes:
    frames = chunk(b"acTL", struct.pack(">II", chance.getrandbits(32), chance.getrandbits(32)))
    return png(64, 63, frames, *(chunk(b"fcTL", chance.randbytes(26)) for _ in range(chance.randrange(1000))))


def another_format(chance: Chance) -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("image.png", png())
    others = (
        saved("JPEG"),
        saved("WEBP"),
        saved("GIF"),
        saved("BMP"),
        saved("TIFF"),
        saved("ICO"),
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        b'<!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><svg>&b;</svg>',
        archive.getvalue(),
        b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage",
        b"8BPS\0\1" + bytes(100),
        b"#!/bin/sh\nexit",
        b"",
        b"a",
        bytes(1000),
    )
    start = chance.choice((b"", b"", SIGNATURE, b"\xff\xd8\xff", b"RIFF\x10\0\0\0WEBP"))
    return start + chance.choice(others)


def wide_in_another_format(chance: Chance) -> bytes:
    """Headers of JPEG and WebP that promise far more pixels than come."""
    jpeg, webp = saved("JPEG"), saved("WEBP", lossless=True)
    size = struct.pack(">HH", 48, 64)
    return chance.choice((jpeg.replace(size, b"\xff\xff\xff\xff"), webp[:21] + b"\xff" * 4 + webp[25:]))


def too_heavy(chance: Chance) -> bytes:
    return png(after=bytes(4 * 2**20 + chance.choice((0, 1, 2**19))))


BROKEN: tuple[Callable[[Chance], bytes], ...] = (
    too_wide,
    without_pixels,
    odd_header,
    not_square,
    many_chunks,
    text_bomb,
    many_texts,
    odd_texts,
    cut,
    wrong_sum,
    too_much_data,
    wrong_data,
    with_rest,
    animated,
    odd_animation,
    another_format,
    wide_in_another_format,
    too_heavy,
)


def flipped(chance: Chance) -> bytes:
    """A picture with a few wrong bytes, which may still be one."""
    data = bytearray(chance.choice((png(), saved("JPEG", (64, 64)), saved("WEBP", (64, 64)))))
    for _ in range(chance.randrange(1, 6)):
        data[chance.randrange(8, len(data))] = chance.randrange(256)
    return bytes(data)


def strange(chance: Chance) -> bytes:
    """A square picture of an unusual kind, which may be taken."""
    modes = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA", "PA")
    exif = Image.Exif()
    exif[0x0112] = chance.randrange(12)
    info = PngImagePlugin.PngInfo()
    info.add_text("XML:com.adobe.xmp", "<x:xmpmeta><broken", zip=True)
    side = chance.choice((1, 2, 64, 100))
    whole = saved("PNG", (side, side), chance.choice(modes[:-1]), exif=exif, pnginfo=info)
    return (
        whole.replace(chunk(b"IEND"), chunk(b"caBX", chance.randbytes(40)) + chunk(b"IEND"))
        if side == 64
        else whole
    )


MAYBE: tuple[Callable[[Chance], bytes], ...] = (flipped, strange)
