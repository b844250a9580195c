"""Requests that no client should send: each kind is a function of a seeded chance, to the bytes to send."""

import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice

import broken_forms
import broken_json
import broken_pictures
from broken_json import fields

Chance = random.Random
Kind = Callable[[Chance], bytes]
GENERATIONS, EDITS, VARIATIONS = "/v1/images/generations", "/v1/images/edits", "/v1/images/variations"
JOBS, IMAGES, COLLECTIONS = "/api/jobs", "/api/images", "/api/collections"
NOBODY = "img_" + "0" * 26

METHODS = ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "HEAD2", "get", "post", "M-SEARCH"]
PATHS = (GENERATIONS, EDITS, VARIATIONS, "/v1/models", "/v1/models/dall-e-2", "/healthz", "/openapi.json")
STARTS = [
    "/v1/files-public/",
    "/v1/models/",
    "/",
    "/files-public/",
    "/v1/",
    "//",
    "/v1/images/../../",
    "/api/images/",
    "/api/jobs/",
]
TAILS = (
    *[
        "..%2f..%2fsecret",
        "%2e%2e/%2e%2e/secret",
        "%00",
        "a%00.png",
        "%ff%fe",
        "%F0%9F%99%82",
        "%5c..%5c",
        "..;/",
        "%252e%252e",
    ],
    *["%0d%0aset-cookie:%20a", "~root", "{id}", "*", "'%20or%201=1--", "%u002e"],
    *(f"{NOBODY}.png{more}" for more in ("", "%00", "?exp=", "?exp=%D9%A1&sig=%C3%A9", "?exp=1e9&sig=a")),
    *(f"{NOBODY}.png?exp={end}&sig={'0' * 64}" for end in ("9999999999", "-1", "9" * 5000)),
    "a" * 30_000,
)
QUERIES = (
    *(f"{IMAGES}?limit={limit}" for limit in ("0", "-1", "a", "9" * 500, "1.5", "101", "%D9%A1")),
    *(f"{IMAGES}?{name}={'a' * 300}" for name in ("search", "collection", "parent", "before")),
    *(f"{IMAGES}?{name}=2" for name in ("favourite", "uploads")),
    *(f"{JOBS}?limit=&before={'b' * 65}", f"{IMAGES}?search=%00", f"{JOBS}?before=%00"),
)
HOSTS = ("a b", "a/b", "a?b", "user@host", "<a>", '"a"', "a\\b", "\xe9", "[::1", "a:b:c", ":", "a:99999999")
CREDENTIALS = (
    "Basic %%%",
    "Basic a",
    "Basic /w==",
    "Bearer",
    "Bearer \xff\xfe",
    "Bearer " + "a" * 20_000,
    "sk-a",
    "",
)


@dataclass(frozen=True)
class Broken:
    """A request as it goes over the wire."""

    kind: str
    data: bytes
    maybe: bool = False  # it may be understood after all
    by_http: bool = False  # it is hardly HTTP: refused in plain text, or by hanging up


def http(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    own = ("host: 127.0.0.1", "connection: close", "authorization: Bearer KEY", *headers)
    lines = (f"{method} {path} HTTP/1.1", *own, f"content-length: {len(body)}", "", "")
    return "\r\n".join(lines).encode("latin-1") + body


def posted(body: bytes, *headers: str, path: str = GENERATIONS) -> bytes:
    return http("POST", path, "content-type: application/json", *headers, body=body)


def json_of(make: Kind) -> Kind:
    return _named(make, lambda chance: posted(make(chance)))


def form_of(make: Callable[[Chance], broken_forms.Form]) -> Kind:
    def send(chance: Chance) -> bytes:
        kind, body = make(chance)
        path = EDITS if "mask" in make.__name__ else chance.choice((EDITS, VARIATIONS))
        if path == VARIATIONS:
            body = body.replace(broken_forms.text("prompt", "a"), broken_forms.text("user", "a"))
        return http("POST", path, f"content-type: {kind}", body=body)

    return _named(make, send)


def _named(make: Callable[..., object], send: Kind) -> Kind:
    send.__name__ = f"{make.__module__}.{make.__name__}"
    return send


def coded_json(chance: Chance) -> bytes:
    code = chance.choice(("gzip", "deflate", "br", "zstd", "x", "gzip, gzip"))
    return posted(broken_json.coded(chance), f"content-encoding: {code}")


def odd_key(chance: Chance) -> bytes:
    return posted(fields(), f"idempotency-key: {chance.choice(('', 'k' * 256, 'k' * 10_000))}")


def another_body(chance: Chance) -> bytes:
    path, body = chance.choice((EDITS, VARIATIONS)), fields()
    kind = chance.choice(
        ("application/json", "text/plain", "application/octet-stream", "image/png", "a/b; c=d")
    )
    return http("POST", path, f"content-type: {kind}", body=body)


def native_job(chance: Chance) -> bytes:
    make = chance.choice((broken_json.wrong_job, broken_json.no_object, broken_json.deep))
    return posted(make(chance), path=JOBS)


def native_upload(chance: Chance) -> bytes:
    whole = chance.choice((broken_pictures.too_wide, broken_pictures.wrong_sum, broken_pictures.text_bomb))(
        chance
    )
    if chance.random() < 0.5:
        return http("POST", IMAGES, "content-type: image/png", body=whole)
    body = broken_forms.body(broken_forms.file("image", whole))
    return http("POST", IMAGES, f"content-type: {broken_forms.TYPE}", body=body)


def native_change(chance: Chance) -> bytes:
    name = chance.choice(
        (b'""', b'" "', b"1", b"null", b'"' + b"a" * 101 + b'"', rb'"\u0000"', rb'"a\nb"', rb'"\ud800"')
    )
    collection, image = f"{COLLECTIONS}/col_{'0' * 26}", f"{IMAGES}/{NOBODY}"
    return chance.choice(
        (
            posted(b'{"name": ' + name + b"}", path=COLLECTIONS),
            http("PATCH", collection, body=b'{"name": "a"}'),
            http("PATCH", image, body=b'{"favourite": 1}'),
            http("PUT", f"{collection}/images/{NOBODY}"),
            http("DELETE", image),
            http("GET", f"{image}/content"),
        )
    )


def odd_query(chance: Chance) -> bytes:
    return http("GET", chance.choice(QUERIES))


def wrong_method(chance: Chance) -> bytes:
    made_up = "".join(chance.choices(string.ascii_uppercase, k=8))
    return http(chance.choice((*METHODS, made_up, "A" * 100)), chance.choice(PATHS), body=fields())


def wrong_path(chance: Chance) -> bytes:
    return http("GET", chance.choice(STARTS) + chance.choice(TAILS))


def odd_host(chance: Chance) -> bytes:
    others = (posted(b"{"), http("GET", "/v1/nothing"), http("GET", GENERATIONS))
    request = chance.choice((posted(fields()), *others))
    return request.replace(b"host: 127.0.0.1", b"host: " + chance.choice(HOSTS).encode("latin-1"))


def odd_credentials(chance: Chance) -> bytes:
    return posted(fields()).replace(b"Bearer KEY", chance.choice(CREDENTIALS).encode("latin-1"))


def upgrade(chance: Chance) -> bytes:
    kind = chance.choice(("websocket", "h2c", "TLS/1.0"))
    key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
    headers = (f"upgrade: {kind}", key, "sec-websocket-version: 13")
    request = http("GET", chance.choice((GENERATIONS, "/v1/nothing")), *headers)
    return request.replace(b"connection: close", b"connection: upgrade, close")


def no_http(chance: Chance) -> bytes:
    good = posted(fields())
    length = f"content-length: {len(fields())}".encode()
    hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"
    return chance.choice(
        (
            *(chance.randbytes(200) + b"\r\n\r\n", hello + chance.randbytes(100) + b"\r\n\r\n"),
            *(good.replace(b"HTTP/1.1", b"HTTP/9.9 a"), good.replace(b"POST /", b"POST \0/")),
            good.replace(b"host: 127.0.0.1\r\n", b""),
            good.replace(b"host: 127.0.0.1", b"host: 127.0.0.1\r\nhost: other"),
            good.replace(length, length + b"\r\ncontent-length: 5"),
            *(good.replace(length, b"content-length: " + other) for other in (b"-1", b"a", b"1" * 50)),
            *(good.replace(length, b"transfer-encoding: " + code) for code in (b"gzip, chunked", b"chunked")),
            *(good.replace(b"authorization", name) for name in (b"x" * 100_000, b"a b", b"a\0", b"\xe9")),
            good.replace(b"authorization: ", b"authorization: \0"),
            good.replace(b"\r\n", b"\r\n folded: a\r\n", 1),
            b"GET http://[::1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        )
    )


REFUSED: tuple[Kind, ...] = (
    *map(json_of, broken_json.BROKEN),
    *map(form_of, broken_forms.BROKEN),
    *(coded_json, odd_key, another_body, native_job, native_upload, native_change, odd_query),
    *(wrong_method, wrong_path, odd_host, odd_credentials, upgrade),
)


def broken(seed: int, count: int) -> Iterator[Broken]:
    """All kinds in turn, each time another of its kind."""
    chance = random.Random(seed)
    kinds = [(make, False, False) for make in REFUSED]
    kinds += [(form_of(make), True, False) for make in broken_forms.MAYBE]
    kinds += [(no_http, False, True)]
    for make, maybe, by_http in islice(cycle(kinds), count):
        yield Broken(make.__name__, make(chance), maybe, by_http)
