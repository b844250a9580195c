"""Jobs of the native API: put into the queue, told, cancelled, and nobody else's business."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image
from running_server import Running, User, a_png
from stub_engine import Engines, StubEngine, colour_of, hold, until

from unclip.client import answers
from unclip.engine.messages import Done, Run

NewServer = Callable[..., Running]


def a_key(name: str) -> dict[str, str]:
    return {"idempotency-key": name}


def run_of(engines: Engines, job: str) -> Run:
    until(lambda: engines.runs(job))
    return engines.runs(job)[0][1]


def test_a_job_is_answered_at_once_and_drawn_later(alice: User, engines: Engines) -> None:
    engines.act = hold
    job = alice.job("text_to_image", prompt="an apple", n=2, seed=5, size=64)
    assert job["id"].startswith("job_")
    assert (job["task"], job["n"], job["images"], job["error"], job["notes"]) == (
        "text_to_image",
        2,
        [],
        None,
        {},
    )
    assert job["request"] == {"prompt": "an apple", "n": 2, "seed": 5, "size": 64}
    ((engine, run),) = engines.wait_for_runs(1)
    assert (run.job, run.settings, run.previews) == (job["id"], job["request"], True)
    engine.draw(run)
    until(lambda: alice.get(f"/api/jobs/{job['id']}")["state"] == "done")
    done = alice.get(f"/api/jobs/{job['id']}")
    assert job["created"] <= done["started"] <= done["finished"]
    assert [(image["index"], image["seed"], image["width"]) for image in done["images"]] == [
        (0, 5, 64),
        (1, 6, 64),
    ]
    assert {image["job"] for image in done["images"]} == {job["id"]}
    assert done["position"] is None


def test_links_to_pictures_open_without_a_key(alice: User, server: Running) -> None:
    done = alice.done("text_to_image", prompt="an apple", seed=7)
    (image,) = done["images"]
    assert image["url"].startswith(f"{server.url}/v1/files-public/{image['id']}.png?exp=")
    response = httpx.get(image["url"], trust_env=False)
    assert response.status_code == 200
    assert Image.open(BytesIO(response.content)).getpixel((0, 0)) == colour_of(7)


def test_a_seed_is_found_and_told(alice: User) -> None:
    first, second = (alice.done("text_to_image", prompt="an apple") for _ in range(2))
    assert first["request"]["seed"] != second["request"]["seed"]
    assert first["images"][0]["seed"] == first["request"]["seed"]


def test_every_task_is_given_its_pictures(alice: User, engines: Engines) -> None:
    red, blue = alice.upload(a_png("red"))["id"], alice.upload(a_png("blue", (32, 32)))["id"]
    jobs: list[tuple[dict[str, Any], int, list[str]]] = [
        ({"task": "variations", "image": red, "eta": 0.3}, 1, [red]),
        ({"task": "edit", "image": red, "mask": blue, "prompt": "a lion", "n": 2}, 2, [red, blue]),
        ({"task": "outpaint", "image": red, "prompt": "a beach", "left": 8, "frames": [[-16, 0]]}, 1, [red]),
        ({"task": "text_diff", "image": blue, "target": "a lion", "steps": 3}, 3, [blue]),
        ({"task": "interpolation", "a": {"picture": red}, "b": "a pear", "steps": 4}, 4, [red]),
        ({"task": "mix", "parts": [{"picture": blue}, "a pear", {"picture": red}], "n": 2}, 2, [blue, red]),
    ]
    colours = {red: (255, 0, 0), blue: (0, 0, 255)}
    for said, n, given in jobs:
        job = alice.done(**said)
        run = run_of(engines, job["id"])
        shown = [pixels.image().getpixel((0, 0)) for pixels in run.pictures.values()]
        assert sorted(shown) == sorted(colours[id] for id in given)
        assert (job["state"], job["n"], len(job["images"])) == ("done", n, n), job
        assert {image["parent"] for image in job["images"]} == {given[0]}
        told = {name: value for name, value in job["request"].items() if name != "seed"}
        assert {"task": job["task"], **told} == said


def test_the_engine_is_told_which_picture_is_which(alice: User, engines: Engines) -> None:
    red, blue = alice.upload(a_png("red")), alice.upload(a_png("blue"))
    job = alice.job("interpolation", a=red["id"], b={"picture": blue["id"]})
    run = run_of(engines, job["id"])
    colours = [run.pictures[run.settings[name]["picture"]].image().getpixel((0, 0)) for name in ("a", "b")]
    assert colours == [(255, 0, 0), (0, 0, 255)]


def test_a_request_that_is_told_can_be_asked_again(alice: User) -> None:
    picture = alice.upload(a_png())["id"]
    first = alice.done("mix", parts=["a pear", {"picture": picture}], weights=[1, 2])
    assert alice.done("mix", **first["request"])["request"] == first["request"]


def test_a_picture_that_was_drawn_can_be_given(alice: User) -> None:
    (image,) = alice.done("text_to_image", prompt="an apple")["images"]
    (varied,) = alice.done("variations", image=image["id"])["images"]
    assert varied["parent"] == image["id"]
    assert [found["id"] for found in alice.get("/api/images", parent=image["id"])["data"]] == [varied["id"]]


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("image", {"task": "variations", "image": "THEIRS"}),
        ("image", {"task": "edit", "image": "THEIRS", "prompt": "a"}),
        ("mask", {"task": "edit", "image": "MINE", "mask": "THEIRS", "prompt": "a"}),
        ("image", {"task": "outpaint", "image": "THEIRS", "prompt": "a", "left": 1}),
        ("image", {"task": "text_diff", "image": "THEIRS", "target": "a"}),
        ("a", {"task": "interpolation", "a": {"picture": "THEIRS"}, "b": "a"}),
        ("b", {"task": "interpolation", "a": "a", "b": "THEIRS"}),
        ("parts", {"task": "mix", "parts": ["a", {"picture": "MINE"}, {"picture": "THEIRS"}]}),
    ],
)
def test_pictures_of_others_cannot_be_given(
    param: str, fields: dict[str, Any], alice: User, bob: User, root: User, engines: Engines
) -> None:
    mine, theirs = alice.upload(a_png("red"))["id"], bob.upload(a_png("blue"))["id"]

    def filled(value: Any, theirs: str) -> Any:
        if isinstance(value, dict):
            return {name: filled(part, theirs) for name, part in value.items()}
        if isinstance(value, list):
            return [filled(part, theirs) for part in value]
        return {"MINE": mine, "THEIRS": theirs}.get(value, value)

    for id in (theirs, "img_" + "0" * 26):
        error = alice.job(status=404, **filled(fields, id))["error"]
        assert (error["code"], error["param"]) == ("not_found", param)
        assert id in error["message"]
    assert root.job(status=404, **filled(fields, theirs))["error"]["code"] == "not_found"
    assert engines.runs() == []
    assert alice.get("/api/jobs")["data"] == []


def test_errors_name_what_is_wrong(alice: User) -> None:
    error = alice.job("text_to_image", 400, prompt="an apple", n=11)["error"]
    assert error == {
        "message": "11 is greater than the maximum of 10 - 'n'",
        "type": "invalid_request_error",
        "param": "n",
        "code": "integer_above_max_value",
    }
    assert alice.job("paint", 400)["error"]["param"] == "task"
    assert alice.job("text_to_image", 400, prompt="a", size=65)["error"]["code"] == "invalid_size"
    assert alice.refused("POST", "/api/jobs", 400, content=b"{")["type"] == "invalid_request_error"


def test_a_job_that_fails_says_why(alice: User, engines: Engines) -> None:
    def fail(engine: StubEngine, run: Run) -> None:
        engine.fail(run, "request", "sampler 'x' is not one of ddim")

    engines.act = fail
    job = alice.done("text_to_image", prompt="an apple", sampler="x")
    assert job["state"] == "failed"
    assert job["error"] == {
        "status": 400,
        "message": "sampler 'x' is not one of ddim",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_notes_of_the_engine_are_told(alice: User, engines: Engines) -> None:
    def draw(engine: StubEngine, run: Run) -> None:
        engine.say(Done(run.job, [], [], {"unknown_words": {"zorp": ["zoo"]}}))

    engines.act = draw
    assert alice.done("text_to_image", prompt="a zorp")["notes"] == {"unknown_words": {"zorp": ["zoo"]}}


def test_an_idempotency_key_finds_the_job_again(alice: User, bob: User, engines: Engines) -> None:
    first = alice.job("text_to_image", prompt="an apple", headers=a_key("k"))
    again = alice.job("text_to_image", prompt="an apple", n=1, seed=None, headers=a_key("k"))
    assert (again["id"], again["request"]) == (first["id"], first["request"])
    assert bob.job("text_to_image", prompt="an apple", headers=a_key("k"))["id"] != first["id"]
    error = alice.job("text_to_image", 400, prompt="a pear", headers=a_key("k"))["error"]
    assert error["code"] == "idempotency_key_reused"
    assert alice.job("text_to_image", 400, prompt="a", headers=a_key("k" * 256))["error"]["param"]
    assert len(engines.wait_for_runs(2)) == 2


def test_a_page_begins_where_the_one_before_ended(alice: User, bob: User) -> None:
    ids = [alice.job("text_to_image", prompt=f"{k} apples")["id"] for k in range(5)]
    bob.job("text_to_image", prompt="a pear")
    first = alice.get("/api/jobs", limit=3)
    assert [job["id"] for job in first["data"]] == ids[:1:-1]
    second = alice.get("/api/jobs", limit=3, before=first["next"])
    assert [job["id"] for job in second["data"]] == ids[1::-1]
    assert second["next"] is None
    for limit in ("0", "101", "many"):
        assert alice.refused("GET", "/api/jobs", 400, params={"limit": limit})["param"] == "limit"


def test_only_their_owner_reads_and_cancels_jobs(alice: User, bob: User, engines: Engines) -> None:
    engines.act = hold
    id = alice.job("text_to_image", prompt="an apple")["id"]
    for method in ("GET", "DELETE"):
        error = bob.refused(method, f"/api/jobs/{id}", 404)
        assert error["code"] == "not_found"
        assert error == bob.refused(method, "/api/jobs/" + id, 404)
    assert bob.get("/api/jobs")["data"] == []
    assert alice.get(f"/api/jobs/{id}")["state"] in ("queued", "running")
    assert bob.refused("GET", "/api/jobs/job_1", 404)["message"] == "There is no job 'job_1'."


def test_an_administrator_reads_and_cancels_all(alice: User, root: User, engines: Engines) -> None:
    engines.act = hold
    id = alice.job("text_to_image", prompt="an apple")["id"]
    assert root.get(f"/api/jobs/{id}")["request"]["prompt"] == "an apple"
    assert root.get("/api/jobs")["data"] == []
    assert root.http.delete(f"/api/jobs/{id}").json()["state"] == "cancelled"
    (entry,) = root.get("/api/audit", action="job.cancel")["data"]
    assert (entry["owner"], entry["job"], entry["detail"]) == (root.id, id, {"owner": alice.id})


def test_positions_count_those_before(new_server: NewServer, engines: Engines) -> None:
    engines.act, server = hold, new_server(slots=1)
    alice, bob = server.user("alice"), server.user("bob")
    under_way = alice.job("text_to_image", prompt="0")
    engines.wait_for_runs(1)
    waiting = [alice.job("text_to_image", prompt=str(k)) for k in (1, 2)]
    first = bob.job("text_to_image", prompt="first of bob's")  # who has nothing under way
    assert [job["position"] for job in waiting] == [0, 1]
    told = {job["id"]: job["position"] for job in alice.get("/api/jobs")["data"]}
    assert told == {under_way["id"]: None, waiting[0]["id"]: 1, waiting[1]["id"]: 2}
    assert bob.get(f"/api/jobs/{first['id']}")["position"] == 0


def test_a_job_is_cancelled_in_the_queue_and_under_way(new_server: NewServer, engines: Engines) -> None:
    engines.act, server = hold, new_server(slots=1)
    alice = server.user("alice")
    running, queued = (alice.job("text_to_image", prompt=name)["id"] for name in ("first", "second"))
    engines.wait_for_runs(1)
    for id in (queued, running, running):  # one that has ended stays as it is
        job = alice.http.delete(f"/api/jobs/{id}").json()
        assert (job["id"], job["state"], job["position"], job["images"]) == (id, "cancelled", None, [])
        assert job["finished"] is not None
    done = alice.job("text_to_image", prompt="third")["id"]
    ((engine, run),) = engines.wait_for_runs(2)[1:]
    engine.draw(run)
    until(lambda: alice.get(f"/api/jobs/{done}")["state"] == "done")
    job = alice.http.delete(f"/api/jobs/{done}").json()
    assert (job["state"], len(job["images"])) == ("done", 1)


def test_a_priority_is_no_higher_than_the_keys(server: Running, alice: User, root: User) -> None:
    privileged = server.user("privileged", priority=5)
    asked = {"task": "text_to_image", "prompt": "an apple"}
    assert [alice.job(**asked, priority=k)["priority"] for k in (-3, 0, 9)] == [-3, 0, 0]
    assert [privileged.job(**asked, priority=k)["priority"] for k in (2, 9)] == [2, 5]
    assert privileged.job(**asked)["priority"] == 5
    assert root.job(**asked, priority=9)["priority"] == 9


def test_pictures_of_all_tasks_count(server: Running) -> None:
    carol = server.user("carol", images_per_minute=6)
    response = carol.http.post("/api/jobs", json={"task": "interpolation", "a": "a", "b": "b", "steps": 4})
    assert response.headers["x-ratelimit-remaining-images"] == "2"
    error = carol.job("text_to_image", 429, prompt="an apple", n=3)["error"]
    assert error["code"] == "rate_limit_exceeded"
    dave = server.user("dave", monthly_credits=4)
    assert dave.job("text_diff", 404, image="img_1", target="a")["error"]["code"] == "not_found"
    dave.job("mix", parts=["a"], n=3)
    assert dave.job("mix", 429, parts=["a"], n=2)["error"]["code"] == "insufficient_quota"


def test_all_sentences_are_looked_at(new_server: NewServer) -> None:
    server = new_server(policy="block")
    (server.service.settings.home / "policy").mkdir()
    (server.service.settings.home / "policy" / "words.txt").write_text("bloodbath\n", "utf-8")
    alice, root = server.user("alice"), server.user("root", scopes=("admin",))
    image = alice.upload(a_png())["id"]
    bad = "a bloodbath"
    for said in (
        {"task": "text_to_image", "prompt": bad},
        {"task": "text_to_image", "prompt": "an apple", "negative": bad},
        {"task": "edit", "image": image, "prompt": bad},
        {"task": "outpaint", "image": image, "prompt": bad, "left": 1},
        {"task": "text_diff", "image": image, "target": bad},
        {"task": "text_diff", "image": image, "target": "a", "source": bad},
        {"task": "interpolation", "a": {"picture": image}, "b": bad},
        {"task": "mix", "parts": ["a", bad]},
    ):
        assert alice.job(status=400, user="u-1", **said)["error"]["code"] == "content_policy_violation"
    entries = root.get("/api/audit", action="refused")["data"]
    assert len(entries) == 8
    assert {(entry["owner"], entry["detail"]["user"]) for entry in entries} == {(alice.id, "u-1")}


def test_the_model_must_be_known(
    new_server: NewServer, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.loaded.clear()
    monkeypatch.setattr("unclip.server.models.LOADING_SECONDS", 0.05)
    alice = new_server().user("alice")
    response = alice.http.post("/api/jobs", json={"task": "text_to_image", "prompt": "an apple"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert alice.get("/api/jobs")["data"] == []
    engines.loaded.set()


def test_who_has_no_key_is_refused(server: Running, alice: User) -> None:
    id = alice.job("text_to_image", prompt="an apple")["id"]
    with httpx.Client(base_url=server.url, trust_env=False) as nobody:
        for method, path in (("POST", "/api/jobs"), ("GET", "/api/jobs"), ("GET", f"/api/jobs/{id}")):
            assert nobody.request(method, path).status_code == 401
        assert nobody.delete(f"/api/jobs/{id}").status_code == 401
        assert nobody.get("/api/jobs", headers={"authorization": "Bearer sk-wrong"}).status_code == 401


def test_the_client_of_this_package_reads_all_that_is_told(alice: User) -> None:
    response = alice.http.get(f"/api/jobs/{alice.done('text_to_image', prompt='an apple')['id']}")
    job = answers.job(response)
    assert job.ended
    assert vars(job.images[0]) == response.json()["images"][0]
    assert {**vars(job), "images": response.json()["images"]} == response.json()


def test_jobs_of_the_images_endpoints_are_told_too(alice: User) -> None:
    picture = {"image": ("a.png", a_png("#00000000", mode="RGBA"), "image/png")}
    data = {"prompt": "a lion", "size": "256x256"}
    assert alice.http.post("/v1/images/edits", data=data, files=picture).status_code == 200
    (job,) = alice.get("/api/jobs")["data"]
    (upload,) = alice.get("/api/images", uploads=True)["data"]
    assert job["request"] == {
        "prompt": "a lion",
        "n": 1,
        "seed": job["request"]["seed"],
        "image": upload["id"],
    }
    assert job["images"][0]["parent"] == upload["id"]
