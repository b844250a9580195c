"""Forms that are broken, in their parts and in how they are put together: each from a seeded chance."""

import random
from collections.abc import Callable, Mapping, Sequence

import broken_pictures

Chance = random.Random
Form = tuple[str, bytes]  # the content type, and the body
EDGE = "edge"
PICTURE = broken_pictures.png(64, 63)  # not square: were all else right, it would still be refused
TYPE = f"multipart/form-data; boundary={EDGE}"


def part(disposition: str, data: bytes, *headers: str) -> bytes:
    lines = "\r\n".join([f"Content-Disposition: {disposition}", *headers])
    return lines.encode("latin-1") + b"\r\n\r\n" + data + b"\r\n"


def text(name: str, value: str | bytes) -> bytes:
    return part(f'form-data; name="{name}"', value if isinstance(value, bytes) else value.encode())


def file(name: str, data: bytes = PICTURE, filename: str = "a.png") -> bytes:
    return part(f'form-data; name="{name}"; filename="{filename}"', data, "Content-Type: image/png")


def body(*parts: bytes, edge: bytes = EDGE.encode()) -> bytes:
    return b"".join(b"--" + edge + b"\r\n" + one for one in parts) + b"--" + edge + b"--\r\n"


def form(*parts: bytes, kind: str = TYPE) -> Form:
    """A whole form, for an edit: a sentence and its size, and the parts given."""
    return kind, body(text("prompt", "a"), text("size", "256x256"), *parts)


def broken_picture(chance: Chance) -> Form:
    return form(file("image", chance.choice(broken_pictures.BROKEN)(chance)))


def broken_mask(chance: Chance) -> Form:
    square = broken_pictures.png(64, 64)
    return form(file("image", square), file("mask", chance.choice(broken_pictures.BROKEN)(chance)))


def mask_that_does_not_fit(chance: Chance) -> Form:
    opaque = broken_pictures.saved("PNG", (64, 64))
    small = broken_pictures.png(63, 63)
    return form(file("image", opaque), file("mask", chance.choice((opaque, small))))


def missing(chance: Chance) -> Form:
    kinds: Sequence[Sequence[bytes]] = (
        (),
        (text("image", "a"),),
        (file("picture"),),
        (part('form-data; name="image"', PICTURE),),
        (part('form-data; filename="a.png"', PICTURE),),
        (part("form-data", PICTURE),),
        (part("attachment; name=image", PICTURE),),
        (file("image[x]"),),
        (file("images"),),
    )
    return form(*chance.choice(kinds))


def doubled(chance: Chance) -> Form:
    kinds: Sequence[Sequence[bytes]] = (
        [file("image")] * 2,
        [file("image"), file("image[]"), file("image[0]")],
        [file("image")] * 30,
        [file(f"image{k}") for k in range(30)],
        [text(f"field{k}", "a") for k in range(100)],
        [text("image", "a"), file("image")],
    )
    return form(*chance.choice(kinds))


def odd_part(chance: Chance) -> Form:
    inner = body(file("image"), edge=b"inner")
    kinds: Mapping[str, bytes] = {
        "a huge header's name": part('form-data; name="image"', PICTURE, "X" * 200_000 + ": 1"),
        "a huge header": part('form-data; name="image"', PICTURE, "X: " + "1" * 2_000_000),
        "many headers": part('form-data; name="image"', PICTURE, *(f"X{k}: 1" for k in range(20_000))),
        "a huge name": text("n" * chance.randrange(1000, 500_000), "1"),
        "a huge file's name": file("image", filename="a" * 300_000),
        "a path": file("image", filename="../../../etc/passwd"),
        "nul": file("im\0age", filename="\0"),
        "quotes": part('form-data; name="image""; filename="a\\"b', PICTURE),
        "no colon": b"Content-Disposition form-data\r\n\r\n" + PICTURE + b"\r\n",
        "no header": b"\r\n" + PICTURE + b"\r\n",
        "no end of headers": b'Content-Disposition: form-data; name="image"; filename="a"',
        "nested": part('form-data; name="image"', inner, "Content-Type: multipart/mixed; boundary=inner"),
        "base64": part(
            'form-data; name="image"; filename="a"', b"iVBORw0KGgo=", "Content-Transfer-Encoding: base64"
        ),
        "a text of megabytes": text("user", "a" * (2**20 + 1)),
        "a name in another charset": part("form-data; name*=utf-7''%2BAGk-mage; filename*=x''a", PICTURE),
    }
    return form(kinds[chance.choice(list(kinds))])


def odd_text(chance: Chance) -> Form:
    fields: Sequence[tuple[str, bytes]] = (
        ("n", chance.choice((b"0", b"11", b"-1", b"1.5", b"1e3", b"two", b"0x1", b"\xd9\xa1", b"9" * 5000))),
        ("size", chance.choice((b"1x1", b"256", b"256 x 256", b"\xff\xfe"))),
        ("response_format", b"URL"),
        ("stream", chance.choice((b"yes", b"1", b"TRUE\0"))),
        ("partial_images", chance.choice((b"4", b"-1", b"a"))),
        ("mask_mode", b"black"),
        ("user", b"a" * 1025),
        ("prompt", b"a" * 1001),
        ("prompt", b"a\0b"),
        (chance.choice(("nn", "__class__", "_charset_", "", "\xff")), b"utf-7"),
    )
    name, value = chance.choice(fields)
    return form(file("image", broken_pictures.png()), text(name, value))


def odd_type(chance: Chance) -> Form:
    kinds = (
        "multipart/form-data",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="',
        f"multipart/form-data; boundary={'b' * 1000}",
        f"multipart/form-data; boundary={EDGE}x",
        f"multipart/form-data; boundary={EDGE}; boundary=other",
        f"multipart/form-data; charset=utf-7; boundary={EDGE}",
        f"multipart/form-data; charset=nothing; boundary={EDGE}",
        f"multipart/form-data; charset=undefined; boundary={EDGE}",
        f"multipart/form-data; charset=idna; boundary={EDGE}",
        "multipart/form-data; boundary=\xff\xfe",
        "multipart/form-data; boundary*=utf-8''edge",
        f"multipart/mixed; boundary={EDGE}",
        f"MULTIPART/FORM-DATA; BOUNDARY={EDGE.upper()}",
        "application/x-www-form-urlencoded",
        "application/json",
        "image/png",
        "",
        "a" * 2000,
        "multipart/form-data; " * 50,
    )
    return form(file("image"), kind=chance.choice(kinds))


def cut(chance: Chance) -> Form:
    kind, whole = form(file("image", broken_pictures.png()))
    return kind, whole[: chance.randrange(len(whole) - 8)]


def odd_ends(chance: Chance) -> Form:
    kind, whole = form(file("image"))
    kinds = (b"", b"--", b"\r\n" * 100_000 + whole, b"a" * 100_000, whole.replace(b"\r\n", b"\n"), whole[4:])
    return kind, chance.choice(kinds)


BROKEN: tuple[Callable[[Chance], Form], ...] = (
    *(4 * (broken_picture,)),
    broken_mask,
    mask_that_does_not_fit,
    missing,
    doubled,
    *(2 * (odd_part,)),
    odd_text,
    *(2 * (odd_type,)),
    cut,
    odd_ends,
)


def mutated(chance: Chance) -> Form:
    """A form in which some bytes are others, twice there, or gone; it may still be one."""
    kind, whole = form(file("image", broken_pictures.png()), text("n", "1"))
    for _ in range(chance.randrange(1, 8)):
        k = chance.randrange(len(whole))
        new = (b"", chance.randbytes(1), whole[k : k + 20] * 2, b"\r\n", b"\0")
        whole = whole[:k] + chance.choice(new) + whole[k + chance.randrange(3) :]
    return kind, whole


def strange_picture(chance: Chance) -> Form:
    return form(file("image", chance.choice(broken_pictures.MAYBE)(chance)))


MAYBE: tuple[Callable[[Chance], Form], ...] = (mutated, mutated, strange_picture)
