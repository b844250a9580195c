"""The HTTP contract: a server does what its OpenAPI page says, and what clients of OpenAI expect of it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from PIL import Image, ImageDraw
from unclip_server import ENVIRONMENT, Server

from unclip.checkpoints.store import save_system
from unclip.system import Stage, System

SUPPORT = Path(__file__).parents[1] / "support"
SCHEMAS = json.loads((SUPPORT / "image_schemas.json").read_text("utf-8"))
OPERATIONS_LEFT_OUT = 1  # GET /api/events; the reason is in schemathesis.toml


@pytest.fixture(scope="module")
def server(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a tiny model that draws with few steps and enlarges little, for thousands of requests."""
    model, home = tmp_path_factory.mktemp("model") / "quick", tmp_path_factory.mktemp("home")
    assert system.prior is not None
    assert system.decoder is not None
    upsamplers = (_quick(system.upsamplers[0]),)
    quick = replace(system, prior=_quick(system.prior), decoder=_quick(system.decoder), upsamplers=upsamplers)
    save_system(model, quick)
    server = Server(home, model)
    yield server
    server.kill()


def _quick(stage: Stage[Any]) -> Stage[Any]:
    return replace(stage, defaults=replace(stage.defaults, sampler="ddim", num_steps=1))


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    key = server.create_key("administrator", "--scopes", "images,admin")
    server.start()
    return key


def test_the_server_does_what_its_page_says(server: Server, key: str, tmp_path: Path) -> None:
    hooks = {"SCHEMATHESIS_HOOKS": str(SUPPORT / "schemathesis_hooks.py"), "KEY": key}
    asked = [
        "--config-file",
        SUPPORT / "schemathesis.toml",
        "run",
        f"{server.url}/openapi.json",
        "--no-color",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *asked],
        cwd=tmp_path,  # it leaves files
        env=ENVIRONMENT | hooks,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    page = httpx.get(f"{server.url}/openapi.json").json()
    count = sum(map(len, page["paths"].values()))
    assert f"{count - OPERATIONS_LEFT_OUT} selected / {count} total" in done.stdout
    assert "Traceback" not in server.log


# Answers, by the schemas of OpenAI's API.


def check(value: Any, name: str) -> None:
    schema = {"$ref": f"#/$defs/{name}", "$defs": SCHEMAS["$defs"]}
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)


@pytest.fixture
def client(server: Server, key: str) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def picture() -> bytes:
    """A square with a hole."""
    image, file = Image.new("RGBA", (64, 64), "red"), BytesIO()
    ImageDraw.Draw(image).rectangle((16, 16, 47, 47), fill="#00000000")
    image.save(file, "PNG")
    return file.getvalue()


def ask(client: httpx.Client, path: str, picture: bytes, **fields: Any) -> httpx.Response:
    fields = {"size": "256x256", **fields}
    if path == "generations":
        return client.post("/v1/images/generations", json={"prompt": "a red cube", **fields})
    texts = {name: json.dumps(value).strip('"') for name, value in fields.items()}
    prompt = {"prompt": "a red cube"} if path == "edits" else {}
    return client.post(f"/v1/images/{path}", data={**prompt, **texts}, files={"image": picture})


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
@pytest.mark.parametrize("path", ["generations", "edits", "variations"])
def test_pictures(client: httpx.Client, picture: bytes, path: str, response_format: str) -> None:
    response = ask(client, path, picture, n=2, response_format=response_format)
    assert response.status_code == 200
    check(response.json(), "ImagesResponse")
    assert [list(one) for one in response.json()["data"]] == [[response_format]] * 2


@pytest.mark.parametrize(("path", "kind"), [("generations", "ImageGen"), ("edits", "ImageEdit")])
def test_streams(client: httpx.Client, picture: bytes, path: str, kind: str) -> None:
    response = ask(client, path, picture, n=2, stream=True, partial_images=1)
    assert response.headers["content-type"].startswith("text/event-stream")
    names = list[str]()
    for event in response.text.strip().split("\n\n"):
        name, data = (line.partition(": ")[2] for line in event.splitlines())
        told = json.loads(data)
        assert told["type"] == name
        names.append("PartialImage" if name.endswith("partial_image") else "Completed")
        check(told, f"{kind}{names[-1]}Event")
    assert names.count("Completed") == 2
    assert names == sorted(names, reverse=True)


def test_models(client: httpx.Client) -> None:
    models = client.get("/v1/models").json()
    check(models, "ListModelsResponse")
    for model in models["data"]:
        assert client.get(f"/v1/models/{model['id']}").json() == model
    assert "dall-e-2" in [model["id"] for model in models["data"]]


ERRORS: dict[str, tuple[int, Callable[[httpx.Client], httpx.Response]]] = {
    "no prompt": (400, lambda client: client.post("/v1/images/generations", json={})),
    "too many": (400, lambda client: client.post("/v1/images/generations", json={"prompt": "a", "n": 11})),
    "no JSON": (400, lambda client: client.post("/v1/images/generations", content=b"{")),
    "no picture": (400, lambda client: client.post("/v1/images/variations", files={"image": b"a"})),
    "no form": (400, lambda client: client.post("/v1/images/edits", json={})),
    "no such model": (404, lambda client: client.get("/v1/models/gpt-image-1")),
    "no such job": (404, lambda client: client.get("/api/jobs/job_0")),
    "no such path": (404, lambda client: client.get("/v1/chat/completions")),
    "wrong method": (405, lambda client: client.get("/v1/images/generations")),
    "no key": (401, lambda client: client.get("/v1/models", headers={"authorization": ""})),
    "wrong key": (401, lambda client: client.get("/v1/models", headers={"authorization": "Bearer sk-a"})),
    "dead link": (403, lambda client: client.get("/v1/files-public/img_0.png?exp=1&sig=0")),
    "too large": (413, lambda client: client.post("/v1/images/generations", content=bytes(20 * 2**20))),
}


@pytest.mark.parametrize("what", ERRORS)
def test_errors(client: httpx.Client, what: str) -> None:
    status, send = ERRORS[what]
    response = send(client)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    check(response.json(), "ErrorResponse")


def test_the_schemas_are_no_blank_cheques() -> None:
    for name, value in (
        ("ImagesResponse", {"created": 1_700_000_000}),
        ("ImagesResponse", {"created": "now", "data": []}),
        ("Image", {"url": "/v1/a.png"}),
        ("Image", {"url": "http://a", "b64_json": "aaaa"}),
        ("Model", {"id": "a", "object": "models", "created": 1_700_000_000, "owned_by": "a"}),
        ("ErrorResponse", {"error": {"message": "a", "type": "b", "param": None}}),
    ):
        assert not Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMAS["$defs"]}).is_valid(
            value
        )
