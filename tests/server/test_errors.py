import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from served import Served, error_of
from starlette.testclient import TestClient

from unclip.errors import DataError, RequestError
from unclip.server.errors import (
    ApiError,
    ClientGoneError,
    bad_request,
    install,
    internal,
    overloaded,
    policy_violation,
)


@pytest.mark.parametrize(
    ("error", "status", "type", "code"),
    [
        (bad_request("no"), 400, "invalid_request_error", None),
        (bad_request("no", "invalid_value", "n"), 400, "invalid_request_error", "invalid_value"),
        (policy_violation(), 400, "invalid_request_error", "content_policy_violation"),
        (policy_violation("image"), 400, "invalid_request_error", "content_policy_violation"),
        (overloaded("full", 5), 503, "server_error", "overloaded"),
        (internal(), 500, "server_error", None),
        (
            ApiError(429, "slow down", type="requests", code="rate_limit_exceeded"),
            429,
            "requests",
            "rate_limit_exceeded",
        ),
    ],
)
def test_an_error_is_answered_with_all_four_keys(
    error: ApiError, status: int, type: str, code: str | None
) -> None:
    response = error.response()
    assert response.status_code == status
    body = json.loads(bytes(response.body))
    assert body == {
        "error": {"message": str(error), "type": type, "param": error.error["param"], "code": code}
    }


def test_what_may_be_asked_again_says_when() -> None:
    assert overloaded("full", 5).headers == {"retry-after": "5", "x-should-retry": "true"}
    assert internal().headers == {"x-should-retry": "false"}  # it would break again
    assert bad_request("no").headers == {}


def test_an_error_comes_back_as_it_was_stored() -> None:
    error = ApiError(400, "no", type="invalid_request_error", code="invalid_value", param="n")
    stored = json.loads(json.dumps(error.stored()))
    again = ApiError.of(stored)
    assert (again.status, again.error) == (400, error.error)
    assert again.headers == {"x-should-retry": "false"}


def test_a_refusal_says_what_may_be_wrong() -> None:
    assert str(policy_violation()).endswith(
        "Your prompt may contain text that is not allowed by our safety system."
    )
    assert "Your image may contain" in str(policy_violation("image"))


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI()
    install(app)
    raised: dict[str, Exception] = {
        "api": ApiError(403, "no", code="no", headers={"x-why": "so"}),
        "request": RequestError("size 3 is not one of 64"),
        "data": DataError("not a whole picture"),
        "gone": ClientGoneError(),
    }

    @app.get("/raise/{name}")
    async def fail(name: str) -> None:
        raise raised[name]

    @app.get("/typed/{number}")
    async def typed(number: int, limit: int = 3) -> int:
        return number + limit

    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status", "code", "message"),
    [
        ("/raise/api", 403, "no", "no"),
        ("/raise/request", 400, None, "size 3 is not one of 64"),
        ("/raise/data", 400, None, "not a whole picture"),
        (
            "/nowhere",
            404,
            "unknown_url",
            "Unknown request URL: GET /nowhere. Please check the URL for typos.",
        ),
    ],
)
def test_what_is_raised_is_answered(
    client: TestClient, path: str, status: int, code: str | None, message: str
) -> None:
    response = client.get(path)
    error = error_of(response)
    assert (response.status_code, error["code"], error["message"]) == (status, code, message)
    assert error["type"] == "invalid_request_error"


def test_headers_of_an_error_are_sent(client: TestClient) -> None:
    assert client.get("/raise/api").headers["x-why"] == "so"


@pytest.mark.parametrize(("path", "param"), [("/typed/x", "number"), ("/typed/1?limit=x", "limit")])
def test_fastapis_own_checks_are_answered_in_the_same_shape(
    client: TestClient, path: str, param: str
) -> None:
    response = client.get(path)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["code"], error["param"]) == ("invalid_value", param)


def test_who_has_gone_is_answered_for_the_log_alone(client: TestClient) -> None:
    assert client.get("/raise/gone").status_code == 499


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/images/generations", "POST"),
        ("DELETE", "/images/edits", "POST"),
        ("POST", "/v1/models", "GET"),
    ],
)
def test_a_method_that_there_is_not_is_405(standing: Served, method: str, path: str, allowed: str) -> None:
    response = standing.client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    assert error_of(response) == {
        "message": f"Not allowed to {method} on {path}",
        "type": "invalid_request_error",
        "param": None,
        "code": "method_not_supported",
    }


@pytest.mark.parametrize(
    "path", ["/", "/v1/foo", "/v1/chat/completions", "/v2/images/generations", "/v1/%ff"]
)
def test_a_path_that_there_is_not_is_404(standing: Served, path: str) -> None:
    response = standing.client.post(path, json={})
    assert response.status_code == 404
    error = error_of(response)
    assert error["code"] == "unknown_url"
    assert error["message"].startswith("Unknown request URL: POST /")


def test_what_breaks_is_500_and_tells_nothing_of_the_server(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: Any) -> None:
        raise RuntimeError("a secret path")

    monkeypatch.setattr(type(served.service.jobs), "add", breaks)
    response = served.draw(size="256x256")
    assert response.status_code == 500
    assert error_of(response) == {
        "message": "The server had an error while processing your request.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-request-id"]
    assert "a secret path" not in response.text
    assert "a secret path" in caplog.text  # whoever runs it must know
    assert 'status="500"' in served.service.metrics.text().decode()
    monkeypatch.undo()
    assert served.draw(size="256x256").status_code == 200
