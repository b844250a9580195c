"""Does with `openai`, in any version from 1.0 on, what applications do, and prints what came as JSON.

python drive_openai.py FORBIDDEN LIMITED EMPTY, beside picture.png and mask.png, with OPENAI_BASE_URL and
OPENAI_API_KEY: a word that is refused, a key of one picture a minute, and one of one picture a month.
"""

import base64
import io
import json
import os
import struct
import sys
import urllib.request
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import openai

URL, KEY = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
MODERN = int(openai.__version__.split(".")[0]) >= 2  # streams pictures, and edits several
MODEL = {"model": "dall-e-2"} if MODERN else {}  # 1.0 does not let one choose
FOREIGN = {"quality": "standard", "style": "vivid"}  # what LangChain, for one, sent to any model
PROMPT = "a red cube on a table"
forbidden, limited, empty = sys.argv[1:]
warnings.simplefilter("ignore")
client = openai.OpenAI(base_url=URL, api_key=KEY)
once = openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0)


def side(png: bytes) -> int:
    """Pixels of a side of a square PNG."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert width == height
    return width


def opened(url: str) -> bytes:
    with urllib.request.urlopen(url) as response:  # as a browser does, without a key
        assert response.headers["content-type"] == "image/png"
        return response.read()


def sides(answer) -> list[int]:
    assert answer.created > 1.6e9
    found = [opened(item.url) if item.url else base64.b64decode(item.b64_json) for item in answer.data]
    assert all((item.url is None) != (item.b64_json is None) for item in answer.data)
    assert all(getattr(item, "revised_prompt", None) is None for item in answer.data)
    return [side(png) for png in found]


def refusal(call, **asked) -> dict:
    try:
        call(**asked)
    except openai.APIStatusError as error:
        told = vars(error) if MODERN else error.response.json()["error"]  # 1.0 does not read it
        found = {"class": type(error).__name__, "status": error.status_code}
        request = {"request_id": error.response.headers["x-request-id"]}
        return found | request | {name: told[name] for name in ("type", "code", "param")}
    return {"class": None}


def drawn() -> dict:
    links = client.images.generate(prompt=PROMPT, size="256x256", user="user-1", **MODEL)
    data = client.images.generate(prompt=PROMPT, response_format="b64_json", n=2, size="256x256")
    return {
        "url": sides(links),
        "has_url": links.data[0].url is not None,
        "b64_json": sides(data),
        "has_b64_json": data.data[0].b64_json is not None,
        "sizes": [sides(client.images.generate(prompt=PROMPT, size=f"{n}x{n}"))[0] for n in (256, 512, 1024)],
        "no_size": sides(client.images.generate(prompt=PROMPT)),
        "foreign": sides(client.images.generate(prompt=PROMPT, size="256x256", extra_body=FOREIGN)),
    }


def file(name: str) -> BinaryIO:
    """Open a picture, until the program ends."""
    return files.enter_context(Path(f"{name}.png").open("rb"))


def data(name: str) -> bytes:
    return Path(f"{name}.png").read_bytes()


def edited() -> dict:
    def edit(**given) -> list[int]:
        return sides(client.images.edit(prompt=PROMPT, size="256x256", **given))

    found = {
        "files": edit(image=file("picture"), mask=file("mask"), n=2),
        "bytes": edit(image=data("picture"), mask=data("mask")),
        "bytes_io": edit(image=io.BytesIO(data("picture")), mask=io.BytesIO(data("mask"))),
        "own_hole": edit(image=file("holed")),
        "opaque": edit(image=file("picture")),
        "white": edit(image=file("picture"), mask=file("white"), extra_body={"mask_mode": "white"}),
    }
    return found | ({"list": edit(image=[file("picture")], mask=file("mask"))} if MODERN else {})


def varied() -> dict:
    vary = client.images.create_variation
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from_file = sides(vary(image=file("picture"), n=2, size="256x256"))
        from_bytes = sides(vary(image=data("picture"), size="512x512"))
    deprecated = any(one.category is DeprecationWarning for one in caught)
    return {"file": from_file, "bytes": from_bytes, "deprecated": deprecated}


def streamed() -> dict | None:
    if not MODERN:
        return None
    asked = {"prompt": PROMPT, "size": "256x256", "stream": True}
    events = list(client.images.generate(partial_images=2, **asked))
    edits = list(client.images.edit(image=file("holed"), partial_images=1, **asked))
    return {
        "types": [event.type for event in events],
        "sides": [side(base64.b64decode(event.b64_json)) for event in events],
        "indices": [event.partial_image_index for event in events[:-1]],
        "tokens": events[-1].usage.total_tokens,
        "edits": [event.type for event in edits],
    }


def refused() -> dict:
    generate = once.images.generate
    wrong, slow, spent = (
        openai.OpenAI(base_url=URL, api_key=k, max_retries=0) for k in ("sk-wrong", limited, empty)
    )
    one = {"prompt": PROMPT, "size": "256x256"}
    slow.images.generate(**one)
    spent.images.generate(**one)
    broken = {"image": b"not a picture", "mask": data("mask"), "prompt": PROMPT}
    return {
        "long_prompt": refusal(generate, prompt="a" * 1001),
        "empty_prompt": refusal(generate, prompt=""),
        "n": refusal(generate, prompt=PROMPT, n=11),
        "size": refusal(generate, prompt=PROMPT, size="300x300"),
        "content_policy": refusal(generate, prompt=f"a {forbidden}"),
        "model": refusal(generate, prompt=PROMPT, extra_body={"model": "dall-e-9"}),
        "unknown": refusal(generate, prompt=PROMPT, extra_body={"colour": "red"}),
        "no_picture": refusal(once.images.edit, **broken),
        "wrong_key": refusal(wrong.images.generate, **one),
        "model_page": refusal(once.models.retrieve, model="dall-e-9"),
        "rate": refusal(slow.images.generate, **one),
        "quota": refusal(spent.images.generate, **one),
    }


def listed() -> dict:
    models = client.models.list().data
    return {
        "models": [model.id for model in models],
        "owners": sorted({model.owned_by for model in models}),
        "retrieved": client.models.retrieve("dall-e-2").id,
    }


files = ExitStack()
steps = (drawn, edited, varied, streamed, refused, listed)
with files:
    print(json.dumps({"version": openai.__version__, **{step.__name__: step() for step in steps}}))
