"""The OpenAPI page: every endpoint with its answers, its refusals and its key."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from running_server import Running, User, a_png

from unclip.server.errors import REFUSALS
from unclip.server.native.asked import KINDS

NATIVE = {
    "/api/jobs": {"get", "post"},
    "/api/jobs/{id}": {"get", "delete"},
    "/api/events": {"get"},
    "/api/images": {"get", "post"},
    "/api/images/{id}": {"get", "patch", "delete"},
    "/api/images/{id}/content": {"get"},
    "/api/collections": {"get", "post"},
    "/api/collections/{id}": {"patch", "delete"},
    "/api/collections/{id}/images/{image}": {"put", "delete"},
    "/api/usage": {"get"},
    "/api/audit": {"get"},
}


@pytest.fixture
def page(server: Running) -> Any:
    return server.user("reader").get("/openapi.json")


def operations(page: Any) -> list[tuple[str, str, Any]]:
    return [
        (path, method, operation)
        for path, methods in page["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_endpoint_is_there(page: Any) -> None:
    found = {path: set(methods) for path, methods in page["paths"].items() if path.startswith("/api/")}
    assert found == NATIVE


def test_operations_have_names_of_their_own(page: Any) -> None:
    names = [operation["operationId"] for _, _, operation in operations(page)]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and "_" not in name for name in names)
    assert {"createImage", "createImageEdit", "createImageVariation", "listModels", "createJob"} <= set(names)
    assert all(operation["tags"] and operation["description"] for _, _, operation in operations(page))


def test_refusals_are_described(page: Any) -> None:
    for path, method, operation in operations(page):
        if path in ("/healthz", "/readyz", "/metrics"):
            continue
        assert set(map(str, REFUSALS)) <= operation["responses"].keys(), (path, method)
        assert "422" not in operation["responses"]
        for status in REFUSALS:
            (schema,) = operation["responses"][str(status)]["content"].values()
            assert schema == {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}


def test_keys_are_described(page: Any) -> None:
    open_to_all = ("/healthz", "/readyz", "/metrics", "/v1/files-public/{name}")
    for path, method, operation in operations(page):
        assert ("security" in operation) == (path not in open_to_all), (path, method)
    assert page["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for part in value for name in references(part)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [name for part in value.values() for name in references(part)]


def test_all_that_is_referred_to_is_there(page: Any) -> None:
    names = {name.removeprefix("#/components/schemas/") for name in references(page)}
    assert names <= page["components"]["schemas"].keys()


def test_the_body_of_a_job_is_one_of_the_tasks(page: Any) -> None:
    body = page["paths"]["/api/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    Draft202012Validator.check_schema(body)
    assert [schema["properties"]["task"]["const"] for schema in body["oneOf"]] == list(KINDS)
    check = Draft202012Validator(body).is_valid
    assert check({"task": "interpolation", "a": "an apple", "b": {"picture": "img_1"}, "steps": 3})
    assert not check({"task": "interpolation", "a": "an apple", "b": {"picture": 1}})
    assert not check({"task": "text_to_image", "prompt": "an apple", "n": 11})


def test_answers_are_what_is_described(page: Any, server: Running) -> None:
    alice: User = server.user("alice")
    image, job = alice.upload(a_png()), alice.done("text_to_image", prompt="an apple")
    alice.http.post("/api/collections", json={"name": "winter"})
    answers = {
        "/api/jobs/{id}": job,
        "/api/images/{id}": image,
        "/api/jobs": alice.get("/api/jobs"),
        "/api/images": alice.get("/api/images"),
        "/api/collections": alice.get("/api/collections"),
        "/api/usage": alice.get("/api/usage"),
        "/api/audit": server.user("root", scopes=("admin",)).get("/api/audit"),
    }
    for path, answer in answers.items():
        schema = page["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": page["components"]}).validate(answer)
    refused = alice.http.get("/api/jobs/job_1").json()
    schema = {"$ref": "#/components/schemas/ErrorAnswer", "components": page["components"]}
    Draft202012Validator(schema).validate(refused)


def test_methods_that_there_are_not_are_told_with_those_that_there_are(page: Any, server: Running) -> None:
    alice = server.user("alice")
    for path, methods in page["paths"].items():
        response = alice.http.request("OPTIONS", path)
        assert response.status_code == 405
        assert response.json()["error"]["code"] == "method_not_supported"
        assert {method.strip().lower() for method in response.headers["allow"].split(",")} == methods.keys()
