"""Images: uploaded, listed, read, marked and deleted, each by its owner alone."""

from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image
from running_server import Running, User, a_png
from stub_engine import Engines, hold, until

from unclip.server.native.images import MOST_BYTES


def a_file(format: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.new("RGB", (48, 32), "teal").save(file, format, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        image.load()
        return image


def ids(page: Any) -> list[str]:
    return [image["id"] for image in page["data"]]


def test_an_upload_is_told_whole(alice: User) -> None:
    image = alice.upload(a_png(size=(48, 32)))
    assert image["id"].startswith("img_")
    assert image | {"id": "", "url": "", "created": 0} == {
        "id": "",
        "url": "",
        "created": 0,
        "job": None,
        "index": 0,
        "mime": "image/png",
        "width": 48,
        "height": 32,
        "prompt": None,
        "seed": None,
        "parent": None,
        "favourite": False,
        "about": {},
    }
    again = alice.get(f"/api/images/{image['id']}")
    assert again | {"url": ""} == image | {"url": ""}
    content = alice.http.get(f"/api/images/{image['id']}/content")
    assert content.headers["content-type"] == "image/png"
    assert content.headers["cache-control"].startswith("private")
    assert opened(content.content).size == (48, 32)
    assert httpx.get(image["url"], trust_env=False).content == content.content


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_picture_comes_in_a_form_or_as_the_body(format: str, alice: User) -> None:
    data = a_file(format)
    form = alice.http.post("/api/images", files={"image": ("what.ever", data, "text/plain")})
    assert form.status_code == 201
    body = alice.http.post("/api/images", content=data, headers={"content-type": f"image/{format.lower()}"})
    assert body.status_code == 201
    assert form.json()["width"] == body.json()["width"] == 48
    contents = [alice.http.get(f"/api/images/{r.json()['id']}/content").content for r in (form, body)]
    assert contents[0] == contents[1]
    assert form.json()["id"] != body.json()["id"]


def test_nothing_but_pixels_is_kept_of_an_upload(alice: User) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # turned by a quarter
    image = alice.upload(a_file("JPEG", exif=exif))
    assert (image["width"], image["height"]) == (32, 48)
    content = alice.http.get(f"/api/images/{image['id']}/content").content
    assert b"camera" not in content
    assert opened(content).size == (32, 48)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"content": b""}, 400, "invalid_image"),
        ({"content": b"not a picture"}, 400, "unsupported_file_mimetype"),
        ({"content": a_file("GIF")}, 400, "unsupported_file_mimetype"),
        ({"content": a_png()[:60]}, 400, "invalid_image"),
        ({"content": a_png(size=(4097, 1))}, 400, "image_too_large"),
        ({"files": {"picture": a_png()}}, 400, "unknown_parameter"),
        ({"files": {"image": a_png()}, "data": {"title": "a"}}, 400, "unknown_parameter"),
        ({"files": {"image": a_png()}, "data": {"image": "a"}}, 400, "invalid_type"),
        ({"files": [("image", a_png()), ("image", a_png())]}, 400, "invalid_value"),
        ({"files": {"": a_png()}}, 400, "unknown_parameter"),
        ({"content": b"--", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, None),
    ],
)
def test_what_is_no_picture_is_refused(sent: dict[str, Any], status: int, code: str, alice: User) -> None:
    error = alice.refused("POST", "/api/images", status, **sent)
    if code is not None:
        assert error["code"] == code
    assert alice.get("/api/images")["data"] == []


def test_a_form_without_a_picture_is_refused(alice: User) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n\r\n--b--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    error = alice.refused("POST", "/api/images", 400, content=body, headers=headers)
    assert (error["param"], error["code"]) == ("image", "missing_required_parameter")


def test_an_upload_has_a_largest_size(alice: User) -> None:
    padded = a_png() + bytes(MOST_BYTES - len(a_png()))  # after a PNG's end nothing counts
    alice.upload(padded)
    error = alice.refused("POST", "/api/images", 413, content=padded + b"\0")
    assert (error["param"], error["code"]) == ("image", "image_too_large")


def test_images_are_found(alice: User, bob: User) -> None:
    upload = alice.upload(a_png())["id"]
    red, green = (
        alice.done("text_to_image", prompt=prompt)["images"][0]["id"]
        for prompt in ("A red Apple on a table", "a green apple 100%")
    )
    child = alice.done("variations", image=red)["images"][0]["id"]
    bob.done("text_to_image", prompt="a red apple")
    assert ids(alice.get("/api/images")) == [child, green, red, upload]
    assert ids(alice.get("/api/images", search="APPLE red")) == [red]
    assert ids(alice.get("/api/images", search="apple")) == [green, red]
    assert ids(alice.get("/api/images", search="100%")) == [green]
    assert ids(alice.get("/api/images", search="%")) == [green]
    assert ids(alice.get("/api/images", search="pear")) == []
    assert ids(alice.get("/api/images", uploads=True)) == [upload]
    assert ids(alice.get("/api/images", uploads=False)) == [child, green, red]
    assert ids(alice.get("/api/images", parent=red)) == [child]
    alice.http.patch(f"/api/images/{green}", json={"favourite": True})
    assert ids(alice.get("/api/images", favourite=True)) == [green]
    assert ids(alice.get("/api/images", favourite=False, search="apple")) == [red]


def test_a_page_begins_where_the_one_before_ended(alice: User) -> None:
    made = [alice.upload(a_png(size=(k + 1, 1)))["id"] for k in range(5)]
    first = alice.get("/api/images", limit=2)
    second = alice.get("/api/images", limit=2, before=first["next"])
    third = alice.get("/api/images", limit=2, before=second["next"])
    assert [*ids(first), *ids(second), *ids(third)] == made[::-1]
    assert third["next"] is None
    assert alice.get("/api/images", limit=5)["next"] is None


@pytest.mark.parametrize(
    ("param", "value"),
    [("limit", "0"), ("limit", "101"), ("favourite", "maybe"), ("search", "a " * 101), ("before", "x" * 65)],
)
def test_conditions_out_of_bounds_are_refused(param: str, value: str, alice: User) -> None:
    error = alice.refused("GET", "/api/images", 400, params={param: value})
    assert (error["param"], error["code"]) == (param, "invalid_value")


def test_a_mark_is_set_and_taken(alice: User) -> None:
    path = f"/api/images/{alice.upload(a_png())['id']}"
    for value in (True, True, False):
        assert alice.http.patch(path, json={"favourite": value}).json()["favourite"] is value
        assert alice.get(path)["favourite"] is value
    assert alice.refused("PATCH", path, 400, json={})["code"] == "missing_required_parameter"
    assert alice.refused("PATCH", path, 400, json={"favourite": 1})["code"] == "invalid_type"
    error = alice.refused("PATCH", path, 400, json={"favourite": True, "prompt": "a"})
    assert (error["param"], error["code"]) == ("prompt", "unknown_parameter")


def test_only_their_owner_reads_and_changes_images(alice: User, bob: User) -> None:
    id = alice.upload(a_png())["id"]
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "", {}),
        ("GET", "/content", {}),
        ("PATCH", "", {"json": {"favourite": True}}),
        ("DELETE", "", {}),
    ]
    for method, rest, sent in asked:
        theirs = bob.refused(method, f"/api/images/{id}{rest}", 404, **sent)
        absent = bob.refused(method, f"/api/images/img_1{rest}", 404, **sent)
        assert theirs["code"] == absent["code"] == "not_found"
        assert theirs["message"].replace(id, "img_1") == absent["message"]
    assert bob.get("/api/images")["data"] == bob.get("/api/images", uploads=True)["data"] == []
    assert alice.get(f"/api/images/{id}")["favourite"] is False


def test_an_administrator_reads_and_deletes_all(alice: User, root: User, server: Running) -> None:
    id = alice.upload(a_png())["id"]
    assert root.get(f"/api/images/{id}")["width"] == 64
    assert root.http.get(f"/api/images/{id}/content").status_code == 200
    assert root.get("/api/images")["data"] == []
    assert root.refused("PATCH", f"/api/images/{id}", 404, json={"favourite": True})["code"] == "not_found"
    assert root.http.delete(f"/api/images/{id}").status_code == 204
    assert alice.get("/api/images")["data"] == []
    (entry,) = server.service.audit.list(10)
    assert (entry.action, entry.owner) == ("image.delete", root.id)
    assert entry.detail == {"image": id, "owner": alice.id}


def test_the_bytes_of_a_deleted_image_go_with_the_last_that_has_them(
    alice: User, bob: User, server: Running
) -> None:
    first, second, other = (user.upload(a_png())["id"] for user in (alice, alice, bob))
    picture = server.service.gallery.get(other)
    assert picture is not None
    for user, id in ((alice, first), (alice, second), (bob, other)):
        assert server.service.store.has(picture.digest)
        response = user.http.delete(f"/api/images/{id}")
        assert (response.status_code, response.content) == (204, b"")
        assert user.refused("GET", f"/api/images/{id}/content", 404)["code"] == "not_found"
        assert user.refused("DELETE", f"/api/images/{id}", 404)["code"] == "not_found"
    assert not server.service.store.has(picture.digest)


def test_a_job_still_has_a_picture_that_is_deleted_meanwhile(alice: User, engines: Engines) -> None:
    engines.act, image = hold, alice.upload(a_png("red"))
    id = alice.job("variations", image=image["id"])["id"]
    assert alice.http.delete(f"/api/images/{image['id']}").status_code == 204
    ((engine, run),) = engines.wait_for_runs(1)
    assert [pixels.image().getpixel((0, 0)) for pixels in run.pictures.values()] == [(255, 0, 0)]
    engine.draw(run)
    until(lambda: alice.get(f"/api/jobs/{id}")["state"] == "done")
    assert alice.get(f"/api/jobs/{id}")["request"]["image"] == image["id"]


def test_a_deleted_picture_is_gone_from_its_job(alice: User) -> None:
    job = alice.done("text_to_image", prompt="an apple", n=2)
    first, second = job["images"]
    assert alice.http.delete(f"/api/images/{first['id']}").status_code == 204
    assert [image["id"] for image in alice.get(f"/api/jobs/{job['id']}")["images"]] == [second["id"]]


def test_bytes_that_are_lost_are_told(alice: User, server: Running) -> None:
    id = alice.upload(a_png())["id"]
    picture = server.service.gallery.get(id)
    assert picture is not None
    server.service.store.delete(picture.digest)
    assert "not in the store" in alice.refused("GET", f"/api/images/{id}/content", 404)["message"]


def test_who_has_no_key_is_refused(server: Running, alice: User) -> None:
    id = alice.upload(a_png())["id"]
    with httpx.Client(base_url=server.url, trust_env=False) as nobody:
        for method, path in (("GET", ""), ("POST", ""), ("GET", f"/{id}"), ("GET", f"/{id}/content")):
            assert nobody.request(method, f"/api/images{path}").status_code == 401
        assert nobody.patch(f"/api/images/{id}", json={"favourite": True}).status_code == 401
        assert nobody.delete(f"/api/images/{id}").status_code == 401
