from collections.abc import Callable
from dataclasses import replace

import pytest
from served import Served, error_of
from stub_engine import ABOUT, Engines

from unclip.server import models

Serve = Callable[..., Served]


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_the_model_is_listed_by_its_own_name_and_as_dall_e_2(standing: Served, path: str) -> None:
    body = standing.client.get(path).json()
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["stub-1", "dall-e-2"]
    for model in body["data"]:
        assert model == {
            "id": model["id"],
            "object": "model",
            "created": model["created"],
            "owned_by": "unclip",
            "shutdown_date": None,
        }
        assert model["created"] > 1_700_000_000
        assert standing.client.get(f"{path}/{model['id']}").json() == model


def test_without_the_alias_there_is_one_name(serve: Serve) -> None:
    served = serve(alias=False)
    assert [model["id"] for model in served.client.get("/v1/models").json()["data"]] == ["stub-1"]
    assert served.client.get("/v1/models/dall-e-2").status_code == 404


@pytest.mark.parametrize("name", ["dall-e-3", "STUB-1", "x" * 300])
def test_a_model_that_there_is_not_is_404(standing: Served, name: str) -> None:
    response = standing.client.get(f"/v1/models/{name}")
    assert response.status_code == 404
    assert error_of(response) == {
        "message": f"The model '{name[:80]}' does not exist",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unclip bundled", ["unclip-bundled", "dall-e-2"]),
        ("Karlo v1.0 (alpha)", ["karlo-v1.0-alpha", "dall-e-2"]),
        ("DALL-E 2", ["dall-e-2"]),
        ("\u7d75", ["unclip", "dall-e-2"]),
    ],
)
def test_a_name_is_one_that_programs_can_write(
    serve: Serve, engines: Engines, name: str, expected: list[str]
) -> None:
    engines.about = replace(ABOUT, name=name)
    served = serve()
    assert [model["id"] for model in served.client.get("/v1/models").json()["data"]] == expected
    assert served.draw(model=expected[0]).status_code == 200


def test_while_it_is_loaded_there_is_no_model_yet(
    serve: Serve, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "LOADING_SECONDS", 0.02)
    engines.loaded.clear()
    served = serve()
    for path in ("/v1/models", "/v1/models/dall-e-2"):
        response = served.client.get(path)
        assert (response.status_code, error_of(response)["code"]) == (503, "overloaded")
