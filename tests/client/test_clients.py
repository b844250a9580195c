"""What both clients send, what they read, and when they send it again."""

import json
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import Ask

from unclip.client import ApiError, Image, Job, Partial, Picture
from unclip.errors import DataError, RequestError

PNG = b"\x89PNG\r\n\x1a\n and so on"
PICTURES = {"created": 1, "data": [{"b64_json": b64encode(PNG).decode()}]}
IMAGE: dict[str, Any] = {
    "id": "img_1",
    "job": None,
    "index": 0,
    "url": "http://127.0.0.1:8000/v1/files-public/img_1.png?exp=1&sig=2",
    "mime": "image/png",
    "width": 64,
    "height": 64,
    "created": 1.5,
    "prompt": None,
    "seed": None,
    "parent": None,
    "favourite": False,
    "about": {},
}
JOB: dict[str, Any] = {
    "id": "job_1",
    "task": "text_to_image",
    "state": "queued",
    "request": {"prompt": "an apple"},
    "n": 1,
    "created": 1.5,
    "started": None,
    "finished": None,
    "priority": 0,
    "position": 3,
    "error": None,
    "notes": {},
    "images": [],
}
DONE = JOB | {"state": "done", "position": None, "finished": 2.5, "images": [IMAGE | {"job": "job_1"}]}


class Server:
    """Gives prepared answers in turn, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception):
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def json(self, k: int = 0) -> Any:
        return json.loads(self.asked[k].content)

    def form(self) -> dict[str, bytes]:
        """The parts of a form, by name."""
        (head, boundary) = self.asked[0].headers["content-type"].split("; boundary=")
        assert head == "multipart/form-data"
        parts = self.asked[0].content.split(f"--{boundary}".encode())[1:-1]
        texts = [part.strip(b"\r\n").split(b"\r\n\r\n", 1) for part in parts]
        return {head.split(b'name="')[1].split(b'"')[0].decode(): body for head, body in texts}


def answer(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def refused(status: int, **headers: str) -> httpx.Response:
    error = {
        "message": "No.",
        "type": "invalid_request_error",
        "param": "n",
        "code": "integer_above_max_value",
    }
    return answer({"error": error}, status, **headers)


def sent(*events: tuple[str, dict[str, Any]]) -> httpx.Response:
    text = "".join(
        f"event: {name}\ndata: {json.dumps(data)}\nid: {k}\n\n" for k, (name, data) in enumerate(events)
    )
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


def test_generate_asks_for_pictures_as_data(ask: Ask) -> None:
    server = Server(answer(PICTURES))
    pictures = ask.answered_by(server)("generate", "an apple", n=2, size=256, user="u-1")
    assert pictures == [Picture(PNG)]
    assert server.asked[0].url == "http://127.0.0.1:8000/v1/images/generations"
    assert server.json() == {
        "prompt": "an apple",
        "n": 2,
        "size": "256x256",
        "response_format": "b64_json",
        "user": "u-1",
    }


def test_a_size_left_out_is_the_servers(ask: Ask) -> None:
    server = Server(answer(PICTURES))
    ask.answered_by(server)("generate", "an apple")
    assert "size" not in server.json()


def test_edit_sends_picture_and_mask_from_wherever_they_are(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "lion.png").write_bytes(b"lion")
    for image in (b"lion", tmp_path / "lion.png", str(tmp_path / "lion.png"), BytesIO(b"lion")):
        server = Server(answer(PICTURES))
        pictures = ask.answered_by(server)(
            "edit", image, "a fox", mask=b"mask", size="512x512", mask_mode="white"
        )
        assert pictures == [Picture(PNG)]
        assert server.asked[0].url.path == "/v1/images/edits"
        assert server.form() == {
            "prompt": b"a fox",
            "n": b"1",
            "response_format": b"b64_json",
            "size": b"512x512",
            "mask_mode": b"white",
            "image": b"lion",
            "mask": b"mask",
        }


def test_vary_sends_the_picture(ask: Ask) -> None:
    server = Server(answer(PICTURES))
    assert ask.answered_by(server)("vary", b"lion", n=3) == [Picture(PNG)]
    assert server.asked[0].url.path == "/v1/images/variations"
    assert server.form() == {"n": b"3", "response_format": b"b64_json", "image": b"lion"}


def test_a_picture_file_that_is_missing_is_named(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png: cannot be read .*; give a picture file"):
        ask.answered_by(Server(answer(PICTURES)))("vary", tmp_path / "none.png")


def test_a_stream_shows_pictures_while_they_are_drawn(ask: Ask) -> None:
    shown = {"b64_json": b64encode(b"shown").decode(), "partial_image_index": 1, "image_index": 2}
    server = Server(
        sent(
            ("image_generation.partial_image", {"type": "image_generation.partial_image", **shown}),
            ("image_generation.completed", {"b64_json": b64encode(PNG).decode(), "usage": {}}),
        )
    )
    assert ask.answered_by(server)("stream", "an apple", partial_images=3) == [
        Partial(b"shown", 1, 2),
        Picture(PNG),
    ]
    assert server.json()["stream"] is True
    assert server.json()["partial_images"] == 3


def test_an_error_in_a_stream_is_raised(ask: Ask) -> None:
    server = Server(
        sent(("error", {"error": {"message": "Out of memory.", "type": "server_error", "code": None}}))
    )
    with pytest.raises(ApiError, match="Out of memory") as caught:
        ask.answered_by(server)("stream", "an apple")
    assert caught.value.status == 200


def test_a_key_is_given_or_in_the_environment(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(answer({"object": "list", "data": [{"id": "dall-e-2"}, {"id": "bundled"}]}))
    asking = ask.answered_by(server)
    assert asking("models") == ["dall-e-2", "bundled"]
    monkeypatch.setenv("UNCLIP_API_KEY", "sk-environment")
    asking("models")
    asking.settings["api_key"] = "sk-given"
    asking("models")
    keys = [request.headers.get("authorization") for request in server.asked]
    assert keys == [None, "Bearer sk-environment", "Bearer sk-given"]


@pytest.mark.parametrize(
    "base_url", ["http://box:9000", "http://box:9000/", "http://box:9000/v1", "http://box:9000/v1/"]
)
def test_a_base_url_is_also_that_of_the_openai_clients(ask: Ask, base_url: str) -> None:
    server = Server(answer({"data": []}))
    ask.settings["base_url"] = base_url
    ask.answered_by(server)("models")
    assert server.asked[0].url == "http://box:9000/v1/models"


@pytest.mark.parametrize("base_url", ["box:9000", "http://", "ftp://box", "http://box:nine", ""])
def test_a_base_url_that_is_none_is_refused(ask: Ask, base_url: str) -> None:
    ask.settings["base_url"] = base_url
    with pytest.raises(
        RequestError, match=f"base_url '{base_url}' is no address: give one such as http://127"
    ):
        ask("models")


def test_a_refusal_says_why(ask: Ask) -> None:
    server = Server(refused(400, x_request_id="req_1"))
    with pytest.raises(ApiError, match=r"^No\.$") as caught:
        ask.answered_by(server)("generate", "an apple", n=11)
    error = caught.value
    assert (error.status, error.code, error.param) == (400, "integer_above_max_value", "n")
    assert (error.request_id, error.retry_after) == ("req_1", None)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body", ["<h1>Bad Gateway</h1>", '"no"', "[]", '{"error": "no"}', '{"detail": "no"}']
)
def test_a_refusal_in_another_form_is_one_too(ask: Ask, body: str) -> None:
    with pytest.raises(ApiError, match=r"/v1/models answers 502 Bad Gateway") as caught:
        ask.answered_by(Server(httpx.Response(502, text=body)))("models")
    assert caught.value.status == 502


def test_an_answer_of_another_server_is_refused(ask: Ask) -> None:
    with pytest.raises(RequestError, match=r"answers '<html>', which is not JSON: give the base_url"):
        ask.answered_by(Server(httpx.Response(200, text="<html>")))("models")


@pytest.mark.parametrize("method", ["generate", "stream"])
def test_a_call_is_sent_again_as_the_same(ask: Ask, slept: list[float], method: str) -> None:
    picture = {"b64_json": b64encode(PNG).decode()}
    last = answer(PICTURES) if method == "generate" else sent(("image_generation.completed", picture))
    server = Server(httpx.ConnectError("refused"), refused(503, retry_after="7"), last)
    assert ask.answered_by(server)(method, "an apple") == [Picture(PNG)]
    assert slept == [0.5, 7.0]
    assert len({request.headers["idempotency-key"] for request in server.asked}) == 1
    assert len({request.content for request in server.asked}) == 1


def test_a_picture_is_sent_again_whole(ask: Ask, slept: list[float]) -> None:
    server = Server(refused(429, retry_after_ms="20"), answer(PICTURES))
    ask.answered_by(server)("vary", BytesIO(b"lion"))
    assert server.asked[0].content == server.asked[1].content
    assert slept == [0.02]


def test_two_calls_are_two(ask: Ask) -> None:
    server = Server(answer(PICTURES))
    asking = ask.answered_by(server)
    asking("generate", "an apple")
    asking("generate", "an apple")
    assert server.asked[0].headers["idempotency-key"] != server.asked[1].headers["idempotency-key"]


@pytest.mark.parametrize(
    ("response", "attempts"),
    [
        (refused(503, retry_after="1"), 3),
        (refused(429, retry_after="60"), 3),
        (refused(429, retry_after="61"), 1),
        (refused(429, retry_after="-1"), 1),
        (refused(429, retry_after="nan"), 1),
        (refused(429), 1),
        (refused(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), 1),
        (refused(503, retry_after="1", x_should_retry="false"), 1),
        (refused(500, retry_after="1"), 1),
        (refused(404), 1),
    ],
)
def test_who_is_refused_comes_back_only_where_it_helps(
    ask: Ask, slept: list[float], response: httpx.Response, attempts: int
) -> None:
    server = Server(response)
    with pytest.raises(ApiError, match="No"):
        ask.answered_by(server)("models")
    assert len(server.asked) == attempts
    assert len(slept) == attempts - 1


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (httpx.ConnectError("refused"), 3),
        (httpx.RemoteProtocolError("broke off"), 3),
        (httpx.ReadTimeout(""), 1),
    ],
)
def test_a_server_that_does_not_answer_is_named(
    ask: Ask, slept: list[float], error: httpx.TransportError, attempts: int
) -> None:
    server = Server(error)
    with pytest.raises(
        RequestError, match=r"http://127\.0\.0\.1:8000/ does not answer \((refused|broke off|ReadT)"
    ):
        ask.answered_by(server)("models")
    assert len(server.asked) == attempts


def test_submit_gives_pictures_by_their_id(ask: Ask) -> None:
    server = Server(answer(IMAGE, 201), answer(JOB | {"new": "field"}, 202))
    asking = ask.answered_by(server)
    image = asking("upload", b"lion")
    assert image == Image(**IMAGE)
    assert server.form() == {"image": b"lion"}
    job = asking("submit", "mix", parts=[image, "in the snow"], weights=[2, 1])
    assert job == Job(**JOB)
    assert not job.ended
    assert server.json(1) == {"task": "mix", "parts": ["img_1", "in the snow"], "weights": [2, 1]}
    assert server.asked[1].headers["content-type"] == "application/json"


def test_a_job_cannot_take_a_file(ask: Ask) -> None:
    with pytest.raises(RequestError, match=r"cannot take b'lion': upload pictures"):
        ask.answered_by(Server(answer(JOB)))("submit", "variations", image=b"lion")


def test_a_job_is_asked_for_and_cancelled(ask: Ask) -> None:
    server = Server(answer(DONE), answer(JOB | {"state": "cancelled"}))
    asking = ask.answered_by(server)
    assert asking("job", "job_1").images == [Image(**IMAGE | {"job": "job_1"})]
    assert asking("cancel", "job_1").state == "cancelled"
    assert [(request.method, request.url.path) for request in server.asked] == [
        ("GET", "/api/jobs/job_1"),
        ("DELETE", "/api/jobs/job_1"),
    ]


def test_images_come_page_by_page(ask: Ask) -> None:
    first = {"data": [IMAGE, IMAGE | {"id": "img_2"}], "next": "img_2"}
    server = Server(answer(first), answer({"data": [IMAGE | {"id": "img_3"}], "next": None}))
    images = ask.answered_by(server)("images", search="an apple", favourite=True, parent=None)
    assert [image.id for image in images] == ["img_1", "img_2", "img_3"]
    assert [dict(request.url.params) for request in server.asked] == [
        {"search": "an apple", "favourite": "true"},
        {"search": "an apple", "favourite": "true", "before": "img_2"},
    ]


def test_a_file_comes_as_it_is(ask: Ask) -> None:
    server = Server(httpx.Response(200, content=PNG))
    assert ask.answered_by(server)("content", "img_1") == PNG
    assert server.asked[0].url.path == "/api/images/img_1/content"


def test_usage_is_told(ask: Ask) -> None:
    usage = {"owner": "key_1", "monthly": {"limit": 10, "used": 3, "reset": 1.5}}
    assert ask.answered_by(Server(answer(usage)))("usage") == usage


class Working:
    """A server whose job ends when `ends` questions have been asked of it."""

    def __init__(self, ends: int, *streams: httpx.Response):
        self.ends, self.streams = ends, list(streams)
        self.heard: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/events":
            self.heard.append(request.headers.get("last-event-id"))
            return self.streams.pop(0) if self.streams else refused(404)
        self.ends -= 1
        return answer(JOB if self.ends >= 0 else DONE)


STEP = ("step", {"job": "job_1", "stage": "decoder", "index": 3, "num_steps": 12})
ENDED = ("job", {"id": "job_1", "state": "done"})


def test_wait_hears_the_job_s_events(ask: Ask, slept: list[float]) -> None:
    others = (("job", {"id": "job_2", "state": "done"}), ("step", {"job": "job_2"}))
    heard: list[str] = []
    server = Working(1, sent(("job", JOB), *others, STEP, ENDED))
    job = ask.answered_by(server)("wait", "job_1", lambda event: heard.append(event.name))
    assert job.state == "done"
    assert heard == ["job", "step", "job"]
    assert not slept


def test_wait_does_not_miss_what_happens_before_it_listens(ask: Ask, slept: list[float]) -> None:
    server = Working(0, sent())
    assert ask.answered_by(server)("wait", "job_1").ended
    assert not slept


def test_wait_asks_again_after_a_gap(ask: Ask, slept: list[float]) -> None:
    server = Working(1, sent(("reset", {})))
    assert ask.answered_by(server)("wait", "job_1").ended
    assert not slept


def test_wait_listens_again_from_where_it_was(ask: Ask, slept: list[float]) -> None:
    server = Working(3, sent(STEP, STEP), sent(STEP), sent(ENDED))
    assert ask.answered_by(server)("wait", "job_1").ended
    assert server.heard == [None, "1"]
    assert slept == [1.0]


def test_wait_asks_every_second_where_events_do_not_come(ask: Ask, slept: list[float]) -> None:
    assert ask.answered_by(Working(3))("wait", "job_1").ended
    assert slept == [1.0, 1.0, 1.0]


def test_an_error_of_the_listener_s_is_its_own(ask: Ask) -> None:
    def listener(event: object) -> None:
        raise RequestError("mine")

    with pytest.raises(RequestError, match="mine"):
        ask.answered_by(Working(9, sent(STEP)))("wait", "job_1", listener)


def test_waiting_for_no_job_is_refused(ask: Ask) -> None:
    with pytest.raises(ApiError, match="No"):
        ask.answered_by(Server(refused(404)))("wait", "job_9")


def test_a_picture_is_saved_as_it_came(tmp_path: Path) -> None:
    Picture(PNG).save(tmp_path / "apple.png")
    assert (tmp_path / "apple.png").read_bytes() == PNG
    with pytest.raises(RequestError, match=r"cannot be written .*; choose another place"):
        Picture(PNG).save(tmp_path / "none" / "apple.png")
