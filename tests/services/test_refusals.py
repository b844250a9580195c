"""What a running server refuses: wrong keys, dead links, what is another's, and to be open to everybody."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from unclip_server import ENVIRONMENT, UNCLIP, Server, free_port
from users import WAIT_SECONDS, User, error_of

from unclip.records.database import open_database
from unclip.records.keys import Keys
from unclip.server.links import LIFE_SECONDS, Links, read_secret

LOCKED = (
    "/v1/models",
    "/models",
    "/api/jobs",
    "/api/images",
    "/api/collections",
    "/api/usage",
    "/api/events",
)
NOBODY = "0" * 26  # of an id


@pytest.fixture(scope="module")
def keys(server: Server) -> Keys:
    return Keys(open_database(f"sqlite:///{server.home}/unclip.db"))


@pytest.fixture
def user(server: Server, keys: Keys, request: pytest.FixtureRequest) -> Iterator[Callable[..., User]]:
    """Makes users."""
    clients: list[httpx.Client] = []

    def new(name: str, **settings: Any) -> User:
        key, secret = keys.create(f"{name} of {request.node.name}"[:100], **settings)
        headers = {"authorization": f"Bearer {secret}"}
        clients.append(httpx.Client(base_url=server.url, headers=headers, timeout=WAIT_SECONDS))
        return User(key.id, clients[-1])

    yield new
    for client in clients:
        client.close()


@pytest.fixture
def alice(user: Callable[..., User]) -> User:
    return user("alice")


@pytest.fixture
def bob(user: Callable[..., User]) -> User:
    return user("bob")


# Keys.


@pytest.mark.parametrize("path", [*LOCKED, "/metrics", "/api/audit"])
def test_nothing_opens_without_a_key_or_with_a_wrong_one(server: Server, path: str) -> None:
    assert error_of(httpx.get(server.url + path), 401)["code"] is None
    for wrong in (f"Bearer sk-{'a' * 43}", "Basic dXNlcjpzay13cm9uZw==", "Bearer ' OR 1=1 --"):
        response = httpx.get(server.url + path, headers={"authorization": wrong})
        assert error_of(response, 401)["code"] == "invalid_api_key"
        assert response.headers["www-authenticate"] == "Bearer"


def test_an_error_does_not_repeat_a_key(server: Server) -> None:
    secret = "sk-" + "0123456789" * 4
    response = httpx.get(f"{server.url}/v1/models", headers={"authorization": f"Bearer {secret}"})
    assert secret[3:-4] not in response.text


def test_a_revoked_key_is_refused_at_once(alice: User, keys: Keys) -> None:
    assert alice.draw().status_code == 200
    keys.revoke(alice.key)
    for response in (alice.draw(), alice.http.get("/api/events"), alice.http.get("/v1/models")):
        error = error_of(response, 401)
        assert error["code"] == "invalid_api_key"
        assert "revoked" in error["message"]


def test_an_expired_key_is_refused(user: Callable[..., User]) -> None:
    soon = user("soon", expires=time.time() + 1.5)
    assert soon.http.get("/v1/models").status_code == 200
    time.sleep(1.6)
    assert "expired" in error_of(soon.http.get("/v1/models"), 401)["message"]
    assert "expired" in error_of(user("late", expires=time.time() - 1).draw(), 401)["message"]


@pytest.mark.parametrize("path", ["/metrics", "/api/audit"])
def test_what_is_for_administrators_needs_the_scope(user: Callable[..., User], path: str) -> None:
    error = error_of(user("alice").http.get(path), 403)
    assert error["code"] == "insufficient_permissions"
    assert user("admin", scopes={"admin"}).http.get(path).status_code == 200


# Links.


def test_a_link_needs_no_key_and_all_of_its_parts(server: Server, alice: User) -> None:
    link = alice.link()
    assert httpx.get(link).headers["content-type"] == "image/png"
    id = link.rpartition("/")[2].partition(".png")[0]
    for other in (
        link.partition("?")[0],
        link.partition("&sig")[0],
        link[:-1] + ("0" if link[-1] != "0" else "1"),
        link.replace("exp=", "exp=1"),
        link.replace("sig=", "sig=00"),
        link.replace(id, alice.link().rpartition("/")[2].partition(".png")[0]),
        link.replace(id, f"img_{NOBODY}"),
        link.replace("/v1/files-public/", "/v1/files-public/..%2ffiles-public%2f"),
    ):
        assert httpx.get(other).status_code in (403, 404), other


def test_a_link_dies(server: Server, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    id = alice.link().rpartition("/")[2].partition(".png")[0]
    links, now = Links(read_secret(server.home / "secret")), time.time()
    for age, status in ((0, 200), (LIFE_SECONDS - 60, 200), (LIFE_SECONDS + 1, 403)):
        with monkeypatch.context() as earlier:
            earlier.setattr(time, "time", lambda age=age: now - age)
            path = links.path(id)
        assert httpx.get(server.url + path).status_code == status
    assert "60 minutes" in error_of(httpx.get(server.url + path), 403)["message"]


@pytest.mark.parametrize(
    "id",
    [
        "..%2f..%2fsecret",
        "..%5csecret",
        "%00",
        f"img_{NOBODY}%00",
        "%F0%9F%99%82",
        "%ff",
        "a" * 8000,
        "%20",
        "'",
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/files-public/{}.png", "/v1/models/{}", "/api/images/{}", "/api/jobs/{}"]
)
def test_ids_lead_nowhere_else(alice: User, path: str, id: str) -> None:
    status = 403 if "files" in path and "%2f" not in id and "%00" not in id else 404
    error_of(alice.http.get(path.format(id)), status)


# What is another's: it is not told from what is not there.


def test_jobs_of_others_are_not_there(alice: User, bob: User, user: Callable[..., User]) -> None:
    job = alice.done()
    missing = error_of(bob.http.get(f"/api/jobs/job_{NOBODY}"), 404)
    for method in ("GET", "DELETE"):
        error = error_of(bob.http.request(method, f"/api/jobs/{job['id']}"), 404)
        assert error == {**missing, "message": missing["message"].replace(f"job_{NOBODY}", job["id"])}
    assert bob.http.get("/api/jobs").json()["data"] == []
    assert user("admin", scopes={"admin"}).http.get(f"/api/jobs/{job['id']}").json()["id"] == job["id"]


def test_a_job_that_waits_cannot_be_cancelled_by_others(alice: User, bob: User) -> None:
    job = alice.submit(task="text_to_image", prompt="a red cube", n=4, size=256).json()
    error_of(bob.http.delete(f"/api/jobs/{job['id']}"), 404)
    until = time.monotonic() + WAIT_SECONDS
    while (state := alice.http.get(f"/api/jobs/{job['id']}").json()["state"]) in ("queued", "running"):
        assert time.monotonic() < until
    assert state == "done"


def test_images_of_others_are_not_there(alice: User, bob: User) -> None:
    for id in (alice.done()["images"][0]["id"], alice.upload()):
        path = f"/api/images/{id}"
        for method, more in (("GET", {}), ("DELETE", {}), ("PATCH", {"json": {"favourite": True}})):
            error_of(bob.http.request(method, path, **more), 404)
        error_of(bob.http.get(f"{path}/content"), 404)
        found = alice.http.get(path).json()
        assert not found["favourite"]
        assert alice.http.get(f"{path}/content").status_code == 200
    assert bob.http.get("/api/images").json() == {"data": [], "next": None}
    assert bob.http.get("/api/images", params={"parent": id}).json()["data"] == []


def test_images_of_others_cannot_be_drawn_from(alice: User, bob: User) -> None:
    id = alice.upload()
    tasks = (
        {"task": "variations", "image": id},
        {"task": "edit", "image": id, "prompt": "a"},
        {"task": "edit", "image": bob.upload(), "mask": id, "prompt": "a"},
        {"task": "text_diff", "image": id, "target": "a"},
        {"task": "interpolation", "a": {"picture": id}, "b": "a"},
        {"task": "mix", "parts": ["a", {"picture": id}]},
    )
    for asked in tasks:
        assert error_of(bob.submit(**asked), 404)["code"] == "not_found"
    assert bob.http.get("/api/jobs").json()["data"] == []
    assert alice.submit(task="variations", image=id).status_code == 202


def test_collections_of_others_are_not_there(alice: User, bob: User) -> None:
    image, others = alice.upload(), bob.upload()
    collection = alice.http.post("/api/collections", json={"name": "mine"}).json()["id"]
    path = f"/api/collections/{collection}"
    assert alice.http.put(f"{path}/images/{image}").status_code == 204
    error_of(bob.http.patch(path, json={"name": "mine"}), 404)
    error_of(bob.http.delete(path), 404)
    for method in ("PUT", "DELETE"):
        for one in (image, others):
            error_of(bob.http.request(method, f"{path}/images/{one}"), 404)
    error_of(alice.http.put(f"{path}/images/{others}"), 404)
    assert bob.http.get("/api/images", params={"collection": collection}).json()["data"] == []
    assert bob.http.get("/api/collections").json()["data"] == []
    (told,) = alice.http.get("/api/collections").json()["data"]
    assert (told["name"], told["count"]) == ("mine", 1)
    bobs = bob.http.post("/api/collections", json={"name": "mine"}).json()["id"]  # names are of one user
    error_of(bob.http.put(f"/api/collections/{bobs}/images/{image}"), 404)


def test_events_of_others_are_not_told(alice: User, bob: User) -> None:
    alice.done()
    for after in ("0", "1", "x"):  # all that is remembered
        with bob.http.stream("GET", "/api/events", headers={"last-event-id": after}) as response:
            alices, bobs = alice.done()["id"], bob.done()["id"]
            heard = set[str]()
            for line in response.iter_lines():
                told = json.loads(line.partition(": ")[2]) if line.startswith("data: ") else {}
                heard |= {told[name] for name in ("id", "job") if name in told}
                if told.get("id") == bobs and told["state"] == "done":
                    break
        assert bobs in heard
        assert alices not in heard
        assert all(bob.http.get(f"/api/jobs/{job}").status_code == 200 for job in heard)


def test_an_idempotency_key_is_of_one_user(alice: User, bob: User) -> None:
    headers, body = {"idempotency-key": "the same"}, {"task": "text_to_image", "prompt": "a", "size": 64}
    ids = [
        user.http.post("/api/jobs", json=body, headers=headers).json()["id"] for user in (alice, bob, alice)
    ]
    assert ids[0] == ids[2] != ids[1]
    error_of(bob.http.get(f"/api/jobs/{ids[0]}"), 404)


# A server without keys.


@pytest.fixture(scope="module")
def open_server(new_server: Callable[..., Server]) -> Server:
    return new_server().start()


@pytest.mark.parametrize("path", ["/v1/models", "/api/jobs", "/api/images", "/metrics"])
def test_no_page_from_elsewhere_asks_through_a_browser(open_server: Server, path: str) -> None:
    port = open_server.port
    for headers in (
        {"host": f"evil.example:{port}"},  # a name that was made to lead here
        {"host": f"127.0.0.1.evil.example:{port}"},
        {"host": f"localhost.evil.example:{port}"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": f"localhost:{port}", "origin": f"http://evil.example:{port}"},
        {"host": "192.0.2.1"},
    ):
        error_of(httpx.get(open_server.url + path, headers=headers), 403)
    error_of(httpx.get(open_server.url + path, headers={"host": "[::1"}), 400)
    for headers in ({}, {"host": f"localhost:{port}"}, {"origin": f"http://localhost:{port}"}):
        assert httpx.get(open_server.url + path, headers=headers).status_code == 200


def test_no_picture_is_drawn_for_a_page_from_elsewhere(open_server: Server) -> None:
    body, headers = b'{"prompt": "a"}', {"origin": "https://evil.example", "content-type": "text/plain"}
    error_of(httpx.post(f"{open_server.url}/v1/images/generations", content=body, headers=headers), 403)
    assert httpx.get(f"{open_server.url}/api/jobs").json()["data"] == []


def test_a_first_key_shuts_the_door(new_server: Callable[..., Server]) -> None:
    server = new_server().start()
    assert httpx.get(f"{server.url}/v1/models").status_code == 200
    secret = server.create_key("first")
    error_of(httpx.get(f"{server.url}/v1/models"), 401)
    headers = {"authorization": f"Bearer {secret}"}
    assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_nobody_else_is_served_without_keys(new_server: Callable[..., Server], host: str) -> None:
    server = new_server()
    where = ["--home", server.home, "--model", server.model, "--port", str(free_port()), "--host", host]
    done = subprocess.run(
        [*UNCLIP, "serve", *where], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert host in line
    assert "unclip keys create" in line
    assert "--insecure" in line
