import base64
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import Served, error_of, file_of
from stub_engine import ABOUT, StubEngine, colour_of

from unclip.engine.messages import Run
from unclip.imagefiles import read_metadata
from unclip.provenance.reading import read
from unclip.provenance.signature import TILES
from unclip.server import models

Serve = Callable[..., Served]

PICTURE = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
MASK = Image.new("RGBA", (64, 64), "black")
MASK.paste((0, 0, 0, 0), (16, 16, 48, 48))
HOLED = PICTURE.convert("RGBA")
HOLED.paste((0, 0, 0, 0), (16, 16, 48, 48))
TOWARDS = {"prompt": "a blue cube", "size": "256x256"}


def opened(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        image.load()
        return image


def decoded(response: Any) -> list[Image.Image]:
    """The pictures of an answer in base64."""
    assert response.status_code == 200, response.text
    return [opened(base64.b64decode(picture["b64_json"])) for picture in response.json()["data"]]


def edited(served: Served, image: Image.Image, mask: Image.Image | None = None, **fields: Any) -> Any:
    given = {"image": image, "mask": mask}
    sent = {name: file_of(picture) for name, picture in given.items() if picture is not None}
    fields = {"response_format": "b64_json"} | TOWARDS | fields
    return served.client.post("/v1/images/edits", data=fields, files=sent)


def varied(served: Served, image: Image.Image, **fields: Any) -> Any:
    fields = {"response_format": "b64_json", "size": "256x256"} | fields
    return served.client.post("/v1/images/variations", data=fields, files={"image": file_of(image)})


def last_run(served: Served) -> Run:
    return served.engines.runs()[-1][1]


# Answers.


def test_links_are_absolute_and_open_without_a_key(served: Served) -> None:
    _, secret = served.service.keys.create("alice")
    before = int(time.time())
    response = served.draw(headers={"authorization": f"Bearer {secret}"}, n=2)
    body = response.json()
    assert body.keys() == {"created", "data"}
    assert before <= body["created"] <= time.time()
    assert [picture.keys() for picture in body["data"]] == [{"url"}] * 2
    for picture in body["data"]:
        assert picture["url"].startswith("http://127.0.0.1:8000/v1/files-public/img_")
        file = served.client.get(picture["url"])
        assert (file.status_code, file.headers["content-type"]) == (200, "image/png")
        assert (opened(file.content).mode, opened(file.content).size) == ("RGB", (256, 256))


def test_base64_is_the_file_itself(standing: Served) -> None:
    body = standing.draw(n=2, response_format="b64_json").json()
    assert [picture.keys() for picture in body["data"]] == [{"b64_json"}] * 2
    for picture in body["data"]:
        assert base64.b64decode(picture["b64_json"]).startswith(b"\x89PNG\r\n\x1a\n")


def test_pictures_come_in_the_order_of_their_seeds(standing: Served) -> None:
    images = decoded(standing.draw(n=3, response_format="b64_json"))
    seed = last_run(standing).settings["seed"]
    assert [image.getpixel((9, 9)) for image in images] == [colour_of(seed + k) for k in range(3)]


@pytest.mark.parametrize(
    ("size", "side", "drawn"),
    [
        ("256x256", 256, 256),
        ("512x512", 512, 256),
        ("1024x1024", 1024, 256),
        ("auto", 1024, 256),
        (None, 1024, 256),
    ],
)
def test_pictures_have_the_size_that_is_asked_for(
    standing: Served, size: str | None, side: int, drawn: int
) -> None:
    (image,) = decoded(standing.draw(size=size, response_format="b64_json"))
    assert image.size == (side, side)
    assert last_run(standing).settings["size"] == drawn  # the model's largest


@pytest.mark.parametrize(("size", "drawn"), [("256x256", 256), ("512x512", 1024), ("1024x1024", 1024)])
def test_the_smallest_size_of_the_model_is_drawn_that_is_large_enough(
    serve: Serve, size: str, drawn: int
) -> None:
    served = serve()
    served.engines.about = replace(ABOUT, sizes=(64, 256, 1024))
    served.engines.begun[0].say_ready()
    assert served.draw(size=size).status_code == 200
    assert last_run(served).settings["size"] == drawn


@pytest.mark.parametrize(
    ("own", "asked", "expected"),
    [
        (None, {}, "url"),
        ("b64_json", {}, "b64_json"),
        ("b64_json", {"response_format": "url"}, "url"),
        ("url", {"response_format": "b64_json"}, "b64_json"),
        (None, {"quality": "auto"}, "b64_json"),
        (None, {"background": "auto", "output_format": "png"}, "b64_json"),
        (None, {"quality": "standard"}, "url"),
        ("url", {"quality": "auto"}, "url"),
        (None, {"quality": "auto", "response_format": "url"}, "url"),
    ],
)
def test_the_form_of_an_answer_is_the_requests_the_keys_or_the_clients(
    served: Served, own: Any, asked: dict[str, Any], expected: str
) -> None:
    _, secret = served.service.keys.create("alice", response_format=own)
    response = served.draw(headers={"authorization": f"Bearer {secret}"}, **asked)
    assert response.json()["data"][0].keys() == {expected}


def test_the_same_paths_are_there_without_v1(standing: Served) -> None:
    assert standing.client.post("/images/generations", json=TOWARDS).status_code == 200
    for path in ("edits", "variations"):
        fields = TOWARDS if path == "edits" else {"size": "256x256"}
        response = standing.client.post(f"/images/{path}", data=fields, files={"image": file_of(HOLED)})
        assert response.status_code == 200, response.text


def test_a_detached_request_says_so_in_its_query(standing: Served) -> None:
    for query, detached in (("", False), ("?detach=1", True), ("?detach=true", True), ("?detach=0", False)):
        assert standing.client.post(f"/v1/images/generations{query}", json=TOWARDS).status_code == 200
        assert standing.service.jobs.list(None, 1)[0].detached is detached


# Models.


@pytest.mark.parametrize("model", [None, "dall-e-2", "stub-1"])
def test_the_model_goes_by_its_names(standing: Served, model: str | None) -> None:
    assert standing.draw(model=model).status_code == 200


def test_another_model_is_400_as_the_live_api_answers(standing: Served) -> None:
    response = standing.client.post("/v1/images/generations", json={"prompt": "a", "model": "invalid-model"})
    assert response.status_code == 400
    error = error_of(response)
    assert error["message"] == "The model 'invalid-model' does not exist"
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    for response in (
        edited(standing, HOLED, model="gpt-image-1"),
        varied(standing, PICTURE, model="gpt-image-1"),
    ):
        assert error_of(response)["code"] == "model_not_found"


def test_without_the_alias_dall_e_2_is_another_model(serve: Serve) -> None:
    served = serve(alias=False)
    assert served.draw(model="dall-e-2").status_code == 400
    assert served.draw(model="stub-1").status_code == 200


def test_what_the_model_has_no_networks_for_is_refused(served: Served) -> None:
    served.engines.about = replace(ABOUT, tasks=("text_to_image",))
    served.engines.begun[0].say_ready()
    assert served.draw().status_code == 200
    for response in (edited(served, HOLED), varied(served, PICTURE)):
        assert response.status_code == 400
        assert error_of(response)["param"] == "model"
        assert "cannot do this: it has no" in error_of(response)["message"]


def test_while_the_model_is_loaded_clients_wait_and_then_come_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, engines: Any
) -> None:
    monkeypatch.setattr(models, "LOADING_SECONDS", 0.05)
    engines.loaded.clear()
    served = serve()
    response = served.draw()
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert error_of(response)["message"] == "The model is being loaded: ask again."
    engines.loaded.set()
    monkeypatch.setattr(models, "LOADING_SECONDS", 5.0)
    assert served.draw().status_code == 200


# Refusals, by HTTP.


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", "invalid_type"),
        (b"{}", "missing_required_parameter"),
        (b'{"prompt": "a", "n": 11}', "integer_above_max_value"),
        (b'{"prompt": "a", "size": "1x1"}', "invalid_size"),
        (b'{"prompt": "a", "shape": "round"}', "unknown_parameter"),
    ],
)
def test_a_body_that_is_wrong_is_400(standing: Served, body: bytes, code: str | None) -> None:
    response = standing.client.post("/v1/images/generations", content=body)
    assert (response.status_code, error_of(response)["code"]) == (400, code)


def test_strictly_only_the_parameters_of_dall_e_2_are_taken(serve: Serve) -> None:
    served = serve(compat="strict")
    assert served.draw(n=1, response_format="url", user="me", model="dall-e-2").status_code == 200
    response = served.draw(quality="standard")
    assert error_of(response)["message"] == "Unknown parameter: 'quality'."
    response = edited(served, PICTURE)
    assert response.status_code == 400
    assert error_of(response)["message"] == (
        "Invalid input image - format must be in ['RGBA', 'LA', 'L'], got RGB."
    )
    files = {"image": file_of(PICTURE, "JPEG")}
    response = served.client.post("/v1/images/variations", files=files)
    assert error_of(response)["code"] == "unsupported_file_mimetype"


def test_what_the_engine_refuses_is_400(served: Served) -> None:
    served.engines.act = lambda engine, run: engine.fail(run, "request", "the prompt is empty: describe it")
    response = served.draw(prompt=" ")
    assert response.status_code == 400
    assert error_of(response)["message"] == "the prompt is empty: describe it"
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", ["edits", "variations"])
def test_pictures_come_in_a_form(standing: Served, path: str) -> None:
    response = standing.client.post(f"/v1/images/{path}", json=TOWARDS)
    assert (response.status_code, error_of(response)["code"]) == (400, "unsupported_content_type")
    fields = TOWARDS if path == "edits" else {"n": "1"}
    response = standing.client.post(f"/v1/images/{path}", data=fields, files={"other": b"1"})
    assert (response.status_code, error_of(response)["code"]) == (400, "unknown_parameter")


@pytest.mark.parametrize(
    ("files", "fields", "code", "param"),
    [
        ({"mask": MASK}, TOWARDS, "missing_required_parameter", "image"),
        ({"image": HOLED}, {}, "missing_required_parameter", "prompt"),
        ({"image": HOLED}, {"prompt": ""}, "invalid_value", "prompt"),
        ({"image": HOLED}, {**TOWARDS, "n": "0"}, "integer_below_min_value", "n"),
        ({"image": HOLED}, {**TOWARDS, "n": "two"}, "invalid_type", "n"),
        ({"image": HOLED}, {**TOWARDS, "size": "8x8"}, "invalid_size", None),
        ({"image": PICTURE.resize((64, 32))}, TOWARDS, "invalid_image", "image"),
        ({"image": HOLED, "mask": MASK.resize((32, 32))}, TOWARDS, "invalid_image", "mask"),
        ({"image": PICTURE, "mask": PICTURE}, TOWARDS, "invalid_image", "mask"),
        ({"image": PICTURE, "mask": PICTURE.convert("RGBA")}, TOWARDS, "invalid_image", "mask"),
    ],
)
def test_an_edit_that_cannot_be_done_is_refused(
    standing: Served, files: dict[str, Image.Image], fields: dict[str, str], code: str, param: str | None
) -> None:
    before = len(standing.states())
    sent = {name: file_of(image) for name, image in files.items()}
    response = standing.client.post("/v1/images/edits", data=fields, files=sent)
    assert response.status_code == 400
    assert (error_of(response)["code"], error_of(response)["param"]) == (code, param)
    assert len(standing.states()) == before


# Edits.


@pytest.mark.parametrize(
    ("image", "mask", "mode"),
    [
        (HOLED, None, None),
        (PICTURE, MASK, None),
        (PICTURE.convert("RGBA"), MASK, "alpha"),
        (PICTURE, Image.eval(MASK.getchannel("A"), lambda value: 255 - value), "white"),
    ],
)
def test_an_edit_is_painted_where_the_hole_is(
    standing: Served, image: Image.Image, mask: Image.Image | None, mode: str | None
) -> None:
    fields = {} if mode is None else {"mask_mode": mode}
    (painted,) = decoded(edited(standing, image, mask, **fields))
    assert painted.size == (256, 256)
    run = last_run(standing)
    assert run.task == "edit"
    assert run.settings["prompt"] == "a blue cube"
    given = run.pictures[run.settings["image"]["picture"]].image()
    assert (given.mode, given.size) == ("RGBA", (256, 256))
    hole = np.asarray(given)[..., 3] == 0
    assert hole[66:190, 66:190].all()
    assert not hole[:56].any()


def test_the_upload_is_kept_as_parent_and_the_hole_is_not(served: Served) -> None:
    assert edited(served, PICTURE, MASK).status_code == 200
    made, upload = served.service.gallery.list("anonymous")
    assert (made.parent, upload.parent, upload.job) == (upload.id, None, None)
    assert made.prompt == "a blue cube"
    assert opened(served.service.store.get(upload.digest)).tobytes() == PICTURE.tobytes()
    assert set(served.service.store.digests()) == {made.digest, upload.digest}


def test_the_hole_of_an_edit_that_fails_is_not_kept_either(served: Served) -> None:
    served.engines.act = lambda engine, run: engine.fail(run, "internal", "broken")
    assert edited(served, PICTURE, MASK).status_code == 500
    (upload,) = served.service.gallery.list("anonymous")
    assert list(served.service.store.digests()) == [upload.digest]


def test_the_same_edit_twice_needs_its_hole_twice(served: Served) -> None:
    for _ in range(2):
        assert edited(served, HOLED).status_code == 200
    assert served.states() == ["done", "done"]


@pytest.mark.parametrize(("n", "theta"), [(1, [0.0, 0.5]), (3, [0.3, 0.5])])
def test_an_opaque_picture_without_a_mask_is_changed_as_a_whole(
    standing: Served, n: int, theta: list[float]
) -> None:
    assert len(decoded(edited(standing, PICTURE, n=str(n)))) == n
    run = last_run(standing)
    assert run.task == "text_diff"
    told = {name: run.settings[name] for name in ("target", "steps", "theta", "size")}
    assert told == {"target": "a blue cube", "steps": n, "theta": theta, "size": 256}
    assert run.pictures[run.settings["image"]["picture"]].image().tobytes() == PICTURE.tobytes()


# Variations.


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_picture_of_any_format_is_varied(standing: Served, format: str) -> None:
    files = {"image[]": ("upload", file_of(PICTURE, format), "application/octet-stream")}
    response = standing.client.post("/v1/images/variations", data={"n": "2", "size": "256x256"}, files=files)
    assert response.status_code == 200, response.text
    assert len(response.json()["data"]) == 2
    run = last_run(standing)
    assert (run.task, run.settings["n"], run.settings["size"]) == ("variations", 2, 256)
    assert run.pictures[run.settings["image"]["picture"]].image().size == (64, 64)


def test_a_variation_names_its_parent(served: Served) -> None:
    assert varied(served, PICTURE).status_code == 200
    made, upload = served.service.gallery.list("anonymous")
    assert (made.parent, made.prompt, upload.job) == (upload.id, None, None)


def test_a_variation_is_of_a_square(standing: Served) -> None:
    response = varied(standing, PICTURE.resize((64, 48)))
    assert response.status_code == 400
    assert "must be square. This one is 64 x 48 pixels" in error_of(response)["message"]


# Files.


def saved(served: Served, tmp_path: Any, **asked: Any) -> Any:
    response = served.draw(response_format="b64_json", **asked)
    path = tmp_path / "picture.png"
    path.write_bytes(base64.b64decode(response.json()["data"][0]["b64_json"]))
    return path


def test_a_file_says_what_made_it(served: Served, tmp_path: Any) -> None:
    said = read_metadata(saved(served, tmp_path))
    assert said["prompt"] == "a red cube"
    assert said["seed"] == last_run(served).settings["seed"]
    assert (said["model"], said["model_hash"], said["version"]) == ("Stub 1", ABOUT.hash, ABOUT.version)
    (picture,) = served.service.gallery.list("anonymous")
    assert (picture.prompt, picture.seed, picture.about) == ("a red cube", said["seed"], said)
    assert (picture.width, picture.height, picture.mime, picture.index) == (256, 256, "image/png", 0)


def test_a_file_says_that_a_model_made_it_or_changed_it(served: Served) -> None:
    drawn = served.draw(response_format="b64_json")
    painted = edited(served, HOLED)
    for response, source in (
        (drawn, "trainedAlgorithmicMedia"),
        (painted, "compositeWithTrainedAlgorithmicMedia"),
    ):
        data = base64.b64decode(response.json()["data"][0]["b64_json"])
        assert re.findall(rb"digitalsourcetype/(\w+)", data) == [source.encode()]


def test_sentences_are_left_out_of_files_where_the_operator_wants_it(serve: Serve, tmp_path: Any) -> None:
    served = serve(omit_prompt=True)
    path = saved(served, tmp_path)
    assert "prompt" not in read_metadata(path)
    assert b"a red cube" not in path.read_bytes()
    assert served.service.gallery.list("anonymous")[0].prompt == "a red cube"  # its owner may know


def test_signed_pictures_are_trusted_by_their_own_authority(serve: Serve, tmp_path: Any) -> None:
    served = serve(sign=True)
    anchors = (served.service.settings.home / "certificates" / "ca.pem").read_bytes()
    report = read(saved(served, tmp_path).read_bytes(), anchors)
    assert (report.state, report.actions) == ("trusted", ("c2pa.created",))
    painted = edited(served, HOLED)
    report = read(base64.b64decode(painted.json()["data"][0]["b64_json"]), anchors)
    assert (report.state, report.actions[-1]) == ("trusted", "c2pa.edited")
    assert [parent.relationship for parent in report.parents] == ["parentOf"]


def test_a_visible_signature_is_in_the_corner(serve: Serve) -> None:
    served = serve(visible_signature=True)
    (image,) = decoded(served.draw(response_format="b64_json"))
    assert "#{:02x}{:02x}{:02x}".format(*image.getpixel((255, 255))) == TILES[0, 0]
    assert image.getpixel((9, 9)) == colour_of(last_run(served).settings["seed"])


# Addresses.


def url_of(served: Served, **headers: str) -> str:
    _, secret = served.service.keys.create(f"key {len(served.service.keys.list())}")
    response = served.draw(headers={"authorization": f"Bearer {secret}", **headers})
    assert response.status_code == 200, response.text
    return response.json()["data"][0]["url"]


def test_links_name_the_server_as_its_client_does(served: Served) -> None:
    assert url_of(served, host="pictures.lan:9000").startswith("http://pictures.lan:9000/v1/files-public/")


def test_nobody_is_believed_who_is_no_trusted_proxy(served: Served) -> None:
    forwarded = {"x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}
    assert url_of(served, **forwarded).startswith("http://127.0.0.1:8000/v1/")


def test_a_trusted_proxy_says_how_the_server_is_known(served: Served, serve: Serve) -> None:
    served.service.keys.create("alice")
    served.service.closing.close()
    behind = serve(trusted_proxies=("127.0.0.1",))
    forwarded = {"x-forwarded-proto": "https, http", "x-forwarded-host": "pictures.example, proxy.lan"}
    assert url_of(behind, **forwarded).startswith("https://pictures.example/v1/files-public/")


def test_the_public_url_is_above_all(served: Served, serve: Serve) -> None:
    served.service.keys.create("alice")
    served.service.closing.close()
    public = serve(public_url="https://pictures.example/unclip/", trusted_proxies=("127.0.0.1",))
    url = url_of(public, **{"x-forwarded-host": "other.example"})
    assert url.startswith("https://pictures.example/unclip/v1/files-public/")


@pytest.mark.parametrize("host", ["a b", "evil.example/path", "me@evil.example", "evil.example?x", '"'])
def test_no_link_is_made_to_a_host_that_is_none(served: Served, serve: Serve, host: str) -> None:
    _, secret = served.service.keys.create("alice")
    response = served.draw(headers={"authorization": f"Bearer {secret}", "host": host})
    assert response.status_code == 400
    assert error_of(response)["code"] == "invalid_host"
    served.service.closing.close()
    behind = serve(trusted_proxies=("127.0.0.1",))
    response = behind.draw(headers={"authorization": f"Bearer {secret}", "x-forwarded-host": host})
    assert response.status_code == 500
    assert "--public-url" in error_of(response)["message"]


def test_a_job_is_written_as_json(served: Served) -> None:
    served.draw(n=2)
    (job,) = served.service.jobs.list(None, 1)
    assert json.loads(json.dumps(job.request)) == job.request


def test_the_engine_is_not_asked_for_previews_that_nobody_sees(served: Served) -> None:
    served.engines.act = StubEngine.draw
    served.draw()
    assert not last_run(served).previews
