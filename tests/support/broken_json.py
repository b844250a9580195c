"""JSON bodies that are broken, or say what cannot be: each from a seeded chance."""

import gzip
import json
import random
from collections.abc import Callable

Chance = random.Random

WRONG: dict[str, tuple[object, ...]] = {
    "prompt": (1, 1.5, True, [], ["a"], {}, None, ""),
    "model": (1, [], {}, True, "gpt-image-1"),
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
WRONG_JOB: dict[str, tuple[object, ...]] = {
    "task": ("", "paint", 1, [], {}, None),
    "prompt": WRONG["prompt"],
    "image": ("img_0", 1, {}, "a" * 1000, "../secret"),
    "n": (0, 11, True, "1", 1.5, 10**30),
    "seed": (-1, 2**64, 0.5, "a"),
    "size": (0, -1, 63, 10**9, "64"),
    "steps": (0, 1001, 10**30, 1.5),
    "guidance_scale": (-1, 101, "a", 1e300, [1]),
    "sampler": ("", "a" * 41, 1),
    "candidates": (0, 17),
    "negative": ([], "a" * 1001),
    "guidance_interval": ([], [1], [1, 2, 3], [-1, 0], "ab"),
    "rng": ("", "torch"),
    "priority": (2**40, "high"),
}
ODD = (r"\ud800", r"\udfff\ud800", r"\u0000", r"a\u0000b", r"\x", "\\", "\t", "\n", "\x01")
UNKNOWN = ("__proto__", "", " prompt", "n" * 100_000, "prompt\0", "\ud83d", "PROMPT", "image", "$ref", "é")
NUMBERS = ("NaN", "Infinity", "1e400", "-1e400", "1e3", "1.5e0", "9" * 400, "9" * 5000, "0x1", "01", "-1")


def fields(**more: object) -> bytes:
    return json.dumps({"prompt": "a", "size": "256x256", **more}).encode()


def wrong_value(chance: Chance) -> bytes:
    name = chance.choice(list(WRONG))
    return fields(**{name: chance.choice(WRONG[name])})


def wrong_job(chance: Chance) -> bytes:
    name = chance.choice(list(WRONG_JOB))
    job = {"task": "variations" if name == "image" else "text_to_image", "prompt": "a", "size": 64}
    if name == "image":
        del job["prompt"]
    return json.dumps({**job, name: chance.choice(WRONG_JOB[name])}).encode()


def odd_number(chance: Chance) -> bytes:
    name = chance.choice(("n", "partial_images", "prompt", "size"))
    return fields(**{name: "@"}).replace(b'"@"', chance.choice(NUMBERS).encode())


def deep(chance: Chance) -> bytes:
    depth = chance.choice((500, 5_000, 100_000))
    begin, end = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"prompt":[', b"]}")))
    return begin * depth + b"1" + end * chance.choice((depth, 0))


def odd_text(chance: Chance) -> bytes:
    name = chance.choice(("prompt", "user", "model", "size", "safety_identifier"))
    return fields(**{name: "@"}).replace(b"@", chance.choice(ODD).encode())


def long_prompt(chance: Chance) -> bytes:
    letter = chance.choice(("a", "é", "🙂", "e\u0301", "\u200b", " ", "\u202e"))
    return fields(prompt=letter * chance.choice((1001, 5_000, 50_000)))


def no_object(chance: Chance) -> bytes:
    good = fields()
    return chance.choice(
        (
            *(b"", b" ", b"[]", b"1", b"null", b'"a"', b"true", b"\xff\xfe", b"\xef\xbb\xbf", b"\0"),
            *(good[: chance.randrange(len(good))], good + b"}", good.replace(b'"', b"'")),
            *(b"[" + good + b"]", good.replace(b"a", b"\xff"), chance.randbytes(100)),
            *(b"prompt=a&size=256x256", b"<a/>", b"--edge\r\n", b"{prompt: 1}"),
            *(b'{"prompt": "a" "n": 1}', b'{"prompt": "a",}', b'{"prompt": "a"} // b'),
        )
    )


def unknown(chance: Chance) -> bytes:
    return fields(**{chance.choice(UNKNOWN): chance.choice((1, None, "a", [], {}))})


def coded(chance: Chance) -> bytes:
    return gzip.compress(fields(), mtime=chance.randrange(100))


def heavy(chance: Chance) -> bytes:
    return fields(user="a" * (2**20 + chance.randrange(2**20)))


BROKEN: tuple[Callable[[Chance], bytes], ...] = (
    *(wrong_value, odd_number, deep, odd_text, long_prompt, no_object, unknown, coded, heavy),
)
