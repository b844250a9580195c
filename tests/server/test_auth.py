import base64
import time
from collections.abc import Callable
from typing import Any

import pytest
from served import Served, error_of

from unclip.errors import RequestError
from unclip.records.database import open_database
from unclip.records.keys import Keys
from unclip.server.settings import Settings

ELSEWHERE = ("203.0.113.7", 50000)
Serve = Callable[..., Served]


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def asked(served: Served, headers: dict[str, str] | None = None, path: str = "/v1/models") -> Any:
    return served.client.get(path, headers=headers)


# Without keys.


def test_without_keys_this_machine_is_served(served: Served) -> None:
    for headers in (None, bearer("sk-anything"), {"origin": "http://localhost:3000"}):
        assert asked(served, headers).status_code == 200
    assert asked(served, path="/metrics").status_code == 200


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1", "127.0.0.1:9", "[::1]:8000", "127.8.9.10:80", "LOCALHOST"],
)
def test_this_machine_has_several_names(standing: Served, host: str) -> None:
    assert asked(standing, {"host": host}).status_code == 200


@pytest.mark.parametrize("address", ["::1", "127.1.2.3"])
def test_this_machine_has_several_addresses(serve: Serve, address: str) -> None:
    assert asked(serve(client=(address, 5))).status_code == 200


@pytest.mark.parametrize(
    "address", ["203.0.113.7", "10.0.0.2", "192.168.1.4", "::ffff:203.0.113.7", "testclient"]
)
def test_without_keys_no_other_machine_is_served(serve: Serve, address: str) -> None:
    response = asked(serve(client=(address, 5)))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert error_of(response)["message"].startswith("Without keys only this machine is served")


@pytest.mark.parametrize("header", ["host", "origin"])
@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "",
        "null",
    ],
)
def test_no_web_page_from_elsewhere_reaches_in_through_a_browser(
    standing: Served, header: str, name: str
) -> None:
    if header == "origin" and name not in ("null", ""):
        name = f"http://{name}"
    response = asked(standing, {header: name})
    assert response.status_code == (400 if (header, name) == ("host", "[::1") else 403)
    assert header in error_of(response)["message"].lower()


def test_pages_that_the_operator_names_may_call(serve: Serve) -> None:
    served = serve(cors=("https://studio.example",))
    assert asked(served, {"origin": "https://studio.example"}).status_code == 200
    assert asked(served, {"origin": "https://other.example"}).status_code == 403


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "via", "x-real-ip"]
)
def test_what_a_proxy_on_this_machine_passes_on_is_not_its_own(standing: Served, header: str) -> None:
    assert asked(standing, {header: "203.0.113.7"}).status_code == 401
    assert asked(standing).status_code == 200


PUBLIC: list[dict[str, Any]] = [
    {"host": "0.0.0.0"},
    {"public_url": "https://pictures.example"},
    {"trusted_proxies": ("127.0.0.1",)},
]


@pytest.mark.parametrize("public", PUBLIC)
def test_what_others_reach_needs_a_key_to_start(
    serve: Serve, settings: Settings, public: dict[str, Any]
) -> None:
    with pytest.raises(RequestError, match="make one with `unclip keys create NAME`, or give --insecure"):
        serve(**public)
    database = open_database(settings.database)  # which was let go
    Keys(database).create("alice")
    database.dispose()
    assert asked(serve(**public, client=ELSEWHERE)).status_code == 401


def test_insecure_serves_everybody_and_shows_them_only_pictures(serve: Serve) -> None:
    served = serve(host="0.0.0.0", insecure=True, client=ELSEWHERE)
    assert asked(served, {"host": "pictures.example", "origin": "https://any.example"}).status_code == 200
    response = asked(served, path="/metrics")
    assert (response.status_code, error_of(response)["code"]) == (403, "insufficient_permissions")


def test_insecure_gives_a_proxys_clients_no_more(serve: Serve) -> None:
    served = serve(insecure=True)
    assert asked(served, path="/metrics").status_code == 200
    assert asked(served, {"x-forwarded-for": "203.0.113.7"}, "/metrics").status_code == 403


# With keys.


def test_a_key_opens_the_door_and_is_noted(served: Served) -> None:
    key, secret = served.service.keys.create("alice")
    before = time.time()
    assert asked(served, bearer(secret)).status_code == 200
    found = served.service.keys.get(key.id)
    assert found is not None
    assert found.last_used is not None
    assert found.last_used >= before


def test_a_key_works_from_everywhere_under_every_name(serve: Serve) -> None:
    served = serve(client=ELSEWHERE)
    _, secret = served.service.keys.create("alice")
    assert (
        asked(served, {**bearer(secret), "host": "x.example", "origin": "https://y.example"}).status_code
        == 200
    )


def test_once_there_is_a_key_everybody_needs_one(served: Served) -> None:
    served.service.keys.create("alice")
    response = asked(served)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    error = error_of(response)
    assert error["message"].startswith("You didn't provide an API key.")
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", None, None)


def test_a_wrong_key_is_refused_and_not_repeated(served: Served) -> None:
    served.service.keys.create("alice")
    for secret, shown in {
        "sk-0123456789abcdefghij": "sk-***ghij",
        "sk-short": "***",
        "x" * 13: "xxx***xxxx",
    }.items():
        response = asked(served, bearer(secret))
        assert response.status_code == 401
        error = error_of(response)
        assert error["code"] == "invalid_api_key"
        assert error["message"] == f"Incorrect API key provided: {shown}."
        assert secret not in response.text


def test_a_header_without_a_secret_is_no_key(served: Served) -> None:
    served.service.keys.create("alice")
    nothing = ("", "Bearer", "Bearer ", "Token abc", "Basic", "Basic ???", "Basic " + "4" * 9, "Basic Og==")
    for header in nothing:
        response = asked(served, {"authorization": header})
        assert (response.status_code, error_of(response)["code"]) == (401, None)


def test_a_key_may_be_a_password(served: Served) -> None:
    _, secret = served.service.keys.create("alice")
    for user in ("", "alice", "api"):
        told = base64.b64encode(f"{user}:{secret}".encode()).decode()
        assert asked(served, {"authorization": f"Basic {told}"}).status_code == 200
        assert asked(served, {"authorization": f"basic {told}"}).status_code == 200
    assert asked(served, {"authorization": f"BEARER  {secret} "}).status_code == 200


def test_a_revoked_key_opens_no_door_and_leaves_it_shut(served: Served) -> None:
    _, secret = served.service.keys.create("alice")
    served.service.keys.create("bob")
    served.service.keys.revoke("alice")
    response = asked(served, bearer(secret))
    assert response.status_code == 401
    assert error_of(response)["message"] == "This API key is not valid any more: revoked."


def test_an_expired_key_opens_no_door_and_leaves_it_shut(served: Served) -> None:
    _, secret = served.service.keys.create("alice", expires=time.time() - 1)
    response = asked(served, bearer(secret))
    assert response.status_code == 401
    assert error_of(response)["message"] == "This API key is not valid any more: expired."
    assert asked(served).status_code == 401  # it is the only one, and nobody is let in without


def test_when_all_keys_are_revoked_this_machine_is_served_again(served: Served) -> None:
    served.service.keys.create("alice")
    served.service.keys.revoke("alice")
    assert asked(served).status_code == 200


def test_a_key_opens_what_its_scopes_say(served: Served) -> None:
    for scopes, path, status in (
        (("images",), "/v1/models", 200),
        (("images",), "/metrics", 403),
        (("admin",), "/v1/models", 200),
        (("admin",), "/metrics", 200),
        (("images", "admin"), "/metrics", 200),
    ):
        _, secret = served.service.keys.create(f"{scopes} {path}", scopes=scopes)
        response = asked(served, bearer(secret), path)
        assert response.status_code == status
        if status == 403:
            assert error_of(response)["message"] == "This key has no scope 'admin'."


def test_how_the_server_is_and_what_it_speaks_is_no_secret(serve: Serve) -> None:
    served = serve(client=ELSEWHERE)
    served.service.keys.create("alice")
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert asked(served, path=path).status_code == 200


def test_nobody_is_let_in_by_a_body(served: Served) -> None:
    served.service.keys.create("alice")
    for path in ("generations", "edits", "variations"):
        assert served.client.post(f"/v1/images/{path}", content=b"nonsense").status_code == 401
