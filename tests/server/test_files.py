import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from PIL import Image
from served import Served, error_of, file_of

from unclip.records.names import new_id
from unclip.server.links import LIFE_SECONDS

Serve = Callable[..., Served]
ELSEWHERE = ("203.0.113.7", 5)


def path_of(served: Served) -> str:
    """The path and query of the link to a new picture."""
    split = urlsplit(served.draw().json()["data"][0]["url"])
    return f"{split.path}?{split.query}"


def test_a_link_opens_for_everybody_without_a_key(served: Served) -> None:
    path = path_of(served)
    served.service.keys.create("alice")
    response = served.client.get(path, headers={"host": "any.example", "origin": "https://page.example"})
    assert response.status_code == 200
    assert response.content.startswith(b"\x89PNG")
    assert response.headers["content-type"] == "image/png"
    assert response.headers["content-disposition"] == "inline"
    assert response.headers["cache-control"] == f"private, max-age={LIFE_SECONDS}"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cross-origin-resource-policy"] == "cross-origin"
    assert served.client.get(path.replace("/v1/", "/")).content == response.content


def test_a_link_dies_and_the_picture_does_not(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    path, now = path_of(served), time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFE_SECONDS + 5)
    response = served.client.get(path)
    assert response.status_code == 403
    assert error_of(response)["message"].startswith("This link is not valid, or not any more")
    assert len(served.service.gallery.list("anonymous")) == 1


def test_only_links_of_this_server_open(served: Served) -> None:
    path = path_of(served)
    id = path.split("/")[-1].split(".png")[0]
    query = path.partition("?")[2]
    broken = [
        f"/v1/files-public/{id}.png",
        f"/v1/files-public/{id}.png?{query.partition('&')[0]}",
        path[:-1] + ("0" if path[-1] != "0" else "1"),
        path.replace("exp=", "exp=1"),
        path.replace(id, new_id("img")),
        f"/v1/files-public/..%2f..%2fsecret?{query}",
        f"/v1/files-public/{id}.png%00?{query}",
        f"/v1/files-public/job_{id[4:]}.png?{query}",
        f"/v1/files-public/%ff.png?{query}",
        f"/v1/files-public/{'x' * 500}.png?{query}",
        f"/v1/files-public/{id}.png?exp=%C2%B2&sig=%C3%A9",
    ]
    for link in broken:
        response = served.client.get(link)
        assert response.status_code in (403, 404), link
        error_of(response)
    assert served.client.get(path).status_code == 200
    assert served.client.get(path.replace(".png", "")).status_code == 200


def test_a_picture_that_was_deleted_is_404(served: Served) -> None:
    path = path_of(served)
    (picture,) = served.service.gallery.list("anonymous")
    served.service.store.delete(picture.digest)
    response = served.client.get(path)
    assert (response.status_code, error_of(response)["message"]) == (
        404,
        "This picture is not in the store any more.",
    )
    served.service.gallery.delete(picture.id, "anonymous")
    response = served.client.get(path)
    assert (response.status_code, error_of(response)["message"]) == (404, "This picture was deleted.")


def test_a_file_has_the_type_that_it_has(served: Served) -> None:
    response = served.client.post("/api/images", files={"image": file_of(Image.new("RGB", (8, 8)))})
    split = urlsplit(response.json()["url"])
    assert served.client.get(f"{split.path}?{split.query}").headers["content-type"] == "image/png"
