"""Requests that no client should send: each kind is a function of a seeded chance, to the bytes to send."""

import gzip
import json
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice

import broken_forms

Chance = random.Random
GENERATIONS, EDITS, VARIATIONS = "/v1/images/generations", "/v1/images/edits", "/v1/images/variations"
PATHS = (
    GENERATIONS,
    EDITS,
    VARIATIONS,
    "/v1/models",
    "/v1/models/dall-e-2",
    "/healthz",
    "/readyz",
    "/openapi.json",
)


@dataclass(frozen=True)
class Broken:
    """A request as it goes over the wire."""

    kind: str
    data: bytes
    maybe: bool = False  # it may be understood after all
    by_http: bool = False  # it is no HTTP: refused in plain text, or by hanging up


def http(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = (
        f"{method} {path} HTTP/1.1",
        "host: 127.0.0.1",
        "connection: close",
        "authorization: Bearer KEY",
        *headers,
    )
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode("latin-1") + body


def posted(body: bytes, *headers: str, path: str = GENERATIONS) -> bytes:
    return http("POST", path, "content-type: application/json", *headers, body=body)


def fields(**more: object) -> bytes:
    return json.dumps({"prompt": "a", "size": "256x256", **more}).encode()


def wrong_type(chance: Chance) -> bytes:
    wrong: dict[str, tuple[object, ...]] = {
        "prompt": (1, 1.5, True, [], ["a"], {}, None, ""),
        "model": (1, [], {}, True),
        "n": ("2", 1.5, True, [], {}, 0, -1, 11, 10**30),
        "size": (256, [], {}, True, "1x1", "512X512", "256 x 256", ""),
        "response_format": (1, [], {}, "URL", ""),
        "user": (1, [], {}, "a" * 1025),
        "safety_identifier": (1, {"a": 1}),
        "quality": (1, "best", []),
        "style": ({}, "plain"),
        "background": ("transparent", 0),
        "moderation": ("off", False),
        "output_format": ("gif", 1),
        "output_compression": (101, "50", 1.5),
        "stream": ("true", 1, [], {}),
        "partial_images": (4, -1, "1", True),
    }
    name = chance.choice(list(wrong))
    return posted(fields(**{name: chance.choice(wrong[name])}))


def odd_number(chance: Chance) -> bytes:
    numbers = (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "1e3",
        "1.0e0000",
        "9" * 400,
        "9" * 5000,
        "0x1",
        "01",
        "-0",
    )
    name = chance.choice(("n", "partial_images", "prompt", "size"))
    number = chance.choice(numbers if name != "partial_images" else numbers[:-1])  # where 0 is good
    return posted(fields(**{name: "@"}).replace(b'"@"', number.encode()))


def deep(chance: Chance) -> bytes:
    depth = chance.choice((500, 5_000, 100_000))
    begins, ends = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"prompt":[', b"]}")))
    middle = chance.choice((b"", b"1")) if begins == b"[" else b"1"
    return posted(begins * depth + middle + ends * chance.choice((depth, 0)))


def odd_text(chance: Chance) -> bytes:
    odd = chance.choice(
        (r"\ud800", r"\udfff\ud800", r"\u0000", r"a\u0000b", r"\x", "\\", "\t", "\n", "\x7f\x01")
    )
    name = chance.choice(("prompt", "user", "model", "size", "safety_identifier"))
    return posted(fields(**{name: "@"}).replace(b"@", odd.encode()))


def long_prompt(chance: Chance) -> bytes:
    letter = chance.choice(("a", "é", "🙂", "e\u0301", "\u200b", " ", "\u202e"))
    return posted(fields(prompt=letter * chance.choice((1001, 5_000, 50_000))))


def no_object(chance: Chance) -> bytes:
    good = fields()
    bodies = (
        *(
            b"",
            b" ",
            b"[]",
            b"1",
            b"null",
            b'"a"',
            b"true",
            b"[" + good + b"]",
            b"\xff\xfe",
            b"\xef\xbb\xbf",
            b"\0",
        ),
        *(good[: chance.randrange(len(good))], good + b"}", good.replace(b'"', b"'"), chance.randbytes(100)),
        *(b"prompt=a&size=256x256", b"<a/>", b"--edge\r\n", good.replace(b"a", b"\xff")),
        *(b'{"prompt": "a" "n": 1}', b'{"prompt": "a",}', b"{prompt: 1}", b'{"prompt": "a"} // b'),
    )
    return posted(chance.choice(bodies))


def unknown(chance: Chance) -> bytes:
    names = (
        "__proto__",
        "constructor",
        "",
        " prompt",
        "n" * 100_000,
        "prompt\0",
        "\ud83d",
        "PROMPT",
        "image",
        "$ref",
        "é",
    )
    return posted(fields(**{chance.choice(names): chance.choice((1, None, "a", [], {}))}))


def coded(chance: Chance) -> bytes:
    code = chance.choice(("gzip", "deflate", "br", "zstd", "x", "gzip, gzip"))
    return posted(gzip.compress(fields()), f"content-encoding: {code}")


def heavy(chance: Chance) -> bytes:
    return posted(fields(user="a" * (2**20 + chance.randrange(2**20))))


def odd_key(chance: Chance) -> bytes:
    return posted(fields(), f"idempotency-key: {chance.choice(('', 'k' * 256, 'k' * 10_000))}")


def form_of(make: Callable[[Chance], broken_forms.Form]) -> Callable[[Chance], bytes]:
    def send(chance: Chance) -> bytes:
        kind, body = make(chance)
        path = EDITS if "mask" in make.__name__ else chance.choice((EDITS, VARIATIONS))
        if path == VARIATIONS:
            body = body.replace(broken_forms.text("prompt", "a"), broken_forms.text("user", "a"))
        return http("POST", path, f"content-type: {kind}", body=body)

    send.__name__ = f"form: {make.__name__}"
    return send


def another_body(chance: Chance) -> bytes:
    path, body = chance.choice((EDITS, VARIATIONS)), fields()
    kind = chance.choice(
        ("application/json", "text/plain", "application/octet-stream", "image/png", "a/b; c=d")
    )
    return http("POST", path, f"content-type: {kind}", body=body)


def wrong_method(chance: Chance) -> bytes:
    others = ("PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "HEAD2", "get", "M-SEARCH", "A" * 100)
    random_one = "".join(chance.choices(string.ascii_uppercase, k=8))
    return http(
        chance.choice((*others, random_one)), chance.choice(PATHS), body=chance.choice((b"", fields()))
    )


def wrong_path(chance: Chance) -> bytes:
    id = "img_" + "0" * 26
    tail = chance.choice(
        (
            *(
                "..%2f..%2fsecret",
                "%2e%2e/%2e%2e/secret",
                "%00",
                "a%00.png",
                f"{id}.png%00",
                "%ff%fe",
                "%F0%9F%99%82",
            ),
            *(
                f"{id}.png",
                f"{id}.png?exp=9999999999&sig={'0' * 64}",
                f"{id}.png?exp=%D9%A1&sig=%C3%A9",
                f"{id}.png?exp=",
            ),
            *(
                f"{id}.png?exp={'9' * 5000}&sig=a",
                f"{id}.png?exp=-1&sig=a",
                f"{id}.png?exp=1e9&sig=a",
                "a" * 30_000,
            ),
            *(
                "%0d%0aset-cookie:%20a",
                "%5c..%5c",
                "..;/",
                "%252e%252e",
                "~root",
                "{id}",
                "*",
                "'%20or%201=1--",
                "%u002e",
            ),
        )
    )
    start = chance.choice(
        ("/v1/files-public/", "/v1/models/", "/", "/files-public/", "/v1/", "//", "/v1/images/../../")
    )
    return http("GET", f"{start}{tail}x" if start == "/" else f"{start}{tail}")


def odd_host(chance: Chance) -> bytes:
    names = (
        "a b",
        "a/b",
        "a?b",
        "user@host",
        "<a>",
        '"a"',
        "a\\b",
        "\xe9",
        "[::1",
        "a:b:c",
        ":",
        "",
        "a:99999999",
        "[x]",
    )
    request = chance.choice(
        (posted(fields()), posted(b"{"), http("GET", "/v1/nothing"), http("GET", GENERATIONS))
    )
    return request.replace(b"host: 127.0.0.1", b"host: " + chance.choice(names).encode("latin-1"))


def odd_credentials(chance: Chance) -> bytes:
    kinds = (
        "Basic %%%",
        "Basic a",
        "Basic /w==",
        "Bearer",
        "Bearer ",
        "Bearer \xff\xfe",
        "Bearer " + "a" * 20_000,
        "sk-a",
        "",
    )
    return posted(fields()).replace(b"Bearer KEY", chance.choice(kinds).encode("latin-1"))


def upgrade(chance: Chance) -> bytes:
    kind = chance.choice(("websocket", "h2c", "TLS/1.0"))
    key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
    headers = ("upgrade: " + kind, key, "sec-websocket-version: 13")
    request = http("GET", chance.choice((GENERATIONS, "/v1/nothing")), *headers)
    return request.replace(b"connection: close", b"connection: upgrade, close")


def no_http(chance: Chance) -> bytes:
    good = posted(fields())
    length = f"content-length: {len(fields())}".encode()
    return chance.choice(
        (
            chance.randbytes(200) + b"\r\n\r\n",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + chance.randbytes(100) + b"\r\n\r\n",
            good.replace(b"HTTP/1.1", b"HTTP/9.9"),
            good.replace(b"POST /", b"POST \0/"),
            good.replace(b"host: 127.0.0.1\r\n", b""),
            good.replace(b"host: 127.0.0.1", b"host: 127.0.0.1\r\nhost: other"),
            good.replace(length, length + b"\r\ncontent-length: 5"),
            good.replace(length, b"content-length: -1"),
            good.replace(length, b"content-length: a"),
            good.replace(length, b"transfer-encoding: gzip, chunked"),
            good.replace(length, b"transfer-encoding: chunked"),
            good.replace(b"authorization", b"x" * 100_000),
            good.replace(b"authorization", b"a b"),
            good.replace(b"authorization: ", b"authorization: \0"),
            good.replace(b"\r\n", b"\r\n folded: a\r\n", 1),
            b"GET http://[::1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        )
    )


REFUSED = (
    *(wrong_type, odd_number, deep, odd_text, long_prompt, no_object, unknown, coded, heavy, odd_key),
    *map(form_of, broken_forms.BROKEN),
    *(another_body, wrong_method, wrong_path, odd_host, odd_credentials, upgrade),
)


def broken(seed: int, count: int) -> Iterator[Broken]:
    """All kinds in turn, each time another of its kind."""
    chance = random.Random(seed)
    kinds = [
        *((make, False, False) for make in REFUSED),
        *((form_of(make), True, False) for make in broken_forms.MAYBE),
        (no_http, False, True),
    ]
    for make, maybe, by_http in islice(cycle(kinds), count):
        yield Broken(make.__name__, make(chance), maybe, by_http)
