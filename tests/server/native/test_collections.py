"""Collections: made, renamed, filled and deleted, each by its owner alone."""

from typing import Any

import httpx
import pytest
from running_server import Running, User, a_png


def create(user: User, name: str) -> Any:
    response = user.http.post("/api/collections", json={"name": name})
    assert response.status_code == 201, response.text
    return response.json()


def put(user: User, collection: str, image: str) -> int:
    return user.http.put(f"/api/collections/{collection}/images/{image}").status_code


def inside(user: User, collection: str) -> list[str]:
    return [image["id"] for image in user.get("/api/images", collection=collection)["data"]]


def test_collections_are_listed_by_name(alice: User, bob: User) -> None:
    made = [create(alice, name) for name in ("winter", "autumn")]
    create(bob, "spring")
    assert [(collection["name"], collection["count"]) for collection in made] == [
        ("winter", 0),
        ("autumn", 0),
    ]
    assert alice.get("/api/collections") == {"data": made[::-1]}
    assert set(made[0]) == {"id", "name", "created", "count"}


def test_names_are_unique_to_their_owner(alice: User, bob: User) -> None:
    first, second = create(alice, "winter"), create(alice, "spring")
    create(bob, "winter")
    error = alice.refused("POST", "/api/collections", 400, json={"name": " winter "})
    assert "there is a collection named winter already" in error["message"]
    path = f"/api/collections/{second['id']}"
    assert "already" in alice.refused("PATCH", path, 400, json={"name": "winter"})["message"]
    renamed = alice.http.patch(path, json={"name": "summer"}).json()
    assert renamed == {**second, "name": "summer"}
    assert [collection["name"] for collection in alice.get("/api/collections")["data"]] == [
        "summer",
        "winter",
    ]
    assert first["id"] != second["id"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "  "},
        {"name": 5},
        {"name": "a" * 101},
        {"name": "a\nb"},
        {"name": "a", "n": 1},
    ],
)
def test_a_name_that_is_none_is_refused(body: dict[str, Any], alice: User) -> None:
    winter = create(alice, "winter")
    for method, path in (("POST", "/api/collections"), ("PATCH", f"/api/collections/{winter['id']}")):
        assert alice.refused(method, path, 400, json=body)["type"] == "invalid_request_error"
    assert alice.get("/api/collections") == {"data": [winter]}


def test_images_are_put_in_and_taken_out(alice: User) -> None:
    winter, spring = (create(alice, name)["id"] for name in ("winter", "spring"))
    images = [alice.upload(a_png(size=(k + 1, 1)))["id"] for k in range(3)]
    assert [put(alice, winter, image) for image in (images[0], images[2], images[2])] == [204, 204, 204]
    assert put(alice, spring, images[2]) == 204
    assert inside(alice, winter) == [images[2], images[0]]
    counts = {collection["id"]: collection["count"] for collection in alice.get("/api/collections")["data"]}
    assert counts == {winter: 2, spring: 1}
    path = f"/api/collections/{winter}/images/{images[2]}"
    assert alice.http.delete(path).status_code == 204
    assert alice.refused("DELETE", path, 404)["code"] == "not_found"
    assert (inside(alice, winter), inside(alice, spring)) == ([images[0]], [images[2]])
    assert alice.get(f"/api/images/{images[2]}")["id"] == images[2]


def test_a_collection_goes_without_its_images(alice: User) -> None:
    winter, image = create(alice, "winter")["id"], alice.upload(a_png())["id"]
    put(alice, winter, image)
    assert alice.http.delete(f"/api/collections/{winter}").status_code == 204
    assert alice.get("/api/collections") == {"data": []}
    assert alice.get(f"/api/images/{image}")["id"] == image
    assert alice.refused("DELETE", f"/api/collections/{winter}", 404)["code"] == "not_found"


def test_an_image_goes_from_its_collections(alice: User) -> None:
    winter, image = create(alice, "winter")["id"], alice.upload(a_png())["id"]
    put(alice, winter, image)
    assert alice.http.delete(f"/api/images/{image}").status_code == 204
    assert alice.get("/api/collections")["data"][0]["count"] == 0


def test_only_their_owner_sees_and_changes_collections(alice: User, bob: User, root: User) -> None:
    winter, image = create(alice, "winter")["id"], alice.upload(a_png())["id"]
    put(alice, winter, image)
    theirs, theirs_image = create(bob, "spring")["id"], bob.upload(a_png("red"))["id"]
    for user in (bob, root):
        assert (
            user.refused("PATCH", f"/api/collections/{winter}", 404, json={"name": "a"})["code"]
            == "not_found"
        )
        assert user.refused("DELETE", f"/api/collections/{winter}", 404)["code"] == "not_found"
        assert user.refused("DELETE", f"/api/collections/{winter}/images/{image}", 404)["code"] == "not_found"
        assert inside(user, winter) == []
    assert root.get("/api/collections") == {"data": []}
    for collection, picture in (
        (winter, theirs_image),
        (theirs, image),
        (theirs, "img_1"),
        ("col_1", theirs_image),
    ):
        assert put(bob, collection, picture) == 404
    assert inside(alice, winter) == [image]
    assert inside(bob, theirs) == []


def test_who_has_no_key_is_refused(server: Running, alice: User) -> None:
    winter, image = create(alice, "winter")["id"], alice.upload(a_png())["id"]
    with httpx.Client(base_url=server.url, trust_env=False) as nobody:
        for method, path in (
            ("GET", ""),
            ("POST", ""),
            ("PATCH", f"/{winter}"),
            ("DELETE", f"/{winter}"),
            ("PUT", f"/{winter}/images/{image}"),
            ("DELETE", f"/{winter}/images/{image}"),
        ):
            assert nobody.request(method, f"/api/collections{path}").status_code == 401
