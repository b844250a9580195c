import json
import logging
import sys
import time
from collections.abc import Iterator

import pytest
from served import Served

from unclip.server.logs import JsonLines, set_up


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging is the whole process's: leave it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {
        name: logging.getLogger(name).level for name in ("uvicorn", "httpx", "PIL", "asyncio", "alembic")
    }
    monkeypatch.setattr(logging.getLogger("httpx2"), "disabled", True)  # the test's own client
    yield
    root.handlers[:], root.level = handlers, level
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


def record(message: str, *values: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("unclip.server", logging.WARNING, __file__, 1, message, values, None)
    made.__dict__.update(more)
    return made


def test_a_line_is_one_json_object() -> None:
    line = JsonLines().format(record("%d jobs\ngo on", 3, created=0.0625, msecs=62.5, facts={"status": 200}))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.062Z",
        "level": "warning",
        "logger": "unclip.server",
        "message": "3 jobs\ngo on",
        "status": 200,
    }


def test_the_time_is_utc_to_the_millisecond() -> None:
    made = record("hello", created=1_700_000_000.9996, msecs=999.6)
    assert json.loads(JsonLines().format(made))["time"] == "2023-11-14T22:13:20.999Z"
    assert len(json.loads(JsonLines().format(record("now")))["time"]) == len("2023-11-14T22:13:20.999Z")


def test_what_broke_is_in_the_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        line = JsonLines().format(record("sorry", exc_info=sys.exc_info()))
    assert "ValueError: broken" in json.loads(line)["exception"]
    assert "\n" not in line


def test_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "info")
    logging.getLogger("unclip.server").info("hello")
    logging.getLogger("unclip.server").debug("not this")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert json.loads(printed.err)["message"] == "hello"
    set_up("text", "warning")
    logging.getLogger("unclip.server").info("not this")
    logging.getLogger("unclip.server").warning("for people")
    printed = capsys.readouterr().err
    assert printed.startswith(time.strftime("%Y-%m-"))
    assert printed.endswith("WARNING for people\n")


def test_others_are_quiet_even_where_all_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text", "debug")
    for name in ("uvicorn.error", "httpx", "httpcore.http11", "PIL.Image", "python_multipart.multipart"):
        logging.getLogger(name).info("not this")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_sentence_and_no_key_is_in_the_log(
    served: Served, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    set_up("json" if form == "json" else "text", "debug")
    _, secret = served.service.keys.create("alice")
    for key in (secret, "sk-wrong-wrong-wrong"):
        headers = {"authorization": f"Bearer {key}", "idempotency-key": "a-key-of-theirs"}
        served.draw(headers=headers, prompt="my secret sentence", user="their name")
    served.client.get("/v1/models?api_key=sk-in-the-query")
    printed = capsys.readouterr().err
    assert "/v1/images/generations 200" in printed
    assert "/v1/images/generations 401" in printed
    for private in (secret, "sk-wrong", "secret sentence", "their name", "a-key-of-theirs", "in-the-query"):
        assert private not in printed


def test_a_line_of_the_access_log_has_its_facts(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "info")
    served.client.get("/healthz", headers={"x-request-id": "from-the-client"})
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines() if "/healthz" in line]
    assert line["logger"] == "unclip.access"
    told = {name: line[name] for name in ("request_id", "method", "path", "status")}
    assert told == {"request_id": "from-the-client", "method": "GET", "path": "/healthz", "status": 200}
    assert 0 <= line["milliseconds"] < 5000
