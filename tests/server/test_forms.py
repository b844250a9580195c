import asyncio
from collections.abc import Sequence

import pytest
from fastapi import Request
from starlette.types import Message

from unclip.server.errors import ApiError
from unclip.server.forms import MOST_FIELDS, MOST_FILES, Form, read_form

TYPE = "multipart/form-data; boundary=XX"
Part = tuple[str, str | bytes, str | None]  # name, value, and of a file what it says that it is


def body_of(*parts: Part) -> bytes:
    lines = list[bytes]()
    for name, value, mime in parts:
        data = value if isinstance(value, bytes) else value.encode()
        about = f'Content-Disposition: form-data; name="{name}"'
        if mime is not None:
            about += f'; filename="upload"\r\nContent-Type: {mime}'
        lines += [b"--XX", about.encode(), b"", data]
    return b"\r\n".join([*lines, b"--XX--", b""])


def read(
    body: bytes, content_type: str | None = TYPE, names: tuple[str, ...] = ("image", "mask"), size: int = 0
) -> Form:
    """Read a body, which comes in pieces of a size, or at once."""
    pieces = [body[k : k + size] for k in range(0, len(body), size)] if size else [body]
    messages: Sequence[Message] = [
        {"type": "http.request", "body": piece, "more_body": k + 1 < len(pieces)}
        for k, piece in enumerate(pieces)
    ]
    coming = iter(messages)

    async def receive() -> Message:
        return next(coming)

    headers = [] if content_type is None else [(b"content-type", content_type.encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    return asyncio.run(read_form(request, names))


def refusal(body: bytes, content_type: str | None = TYPE) -> ApiError:
    with pytest.raises(ApiError) as refused:
        read(body, content_type)
    assert refused.value.status == 400
    return refused.value


PNG: Part = ("image", b"\x89PNG\r\n\x1a\n--X\r\n", "image/png")


@pytest.mark.parametrize("size", [0, 1, 7])
def test_texts_and_files_are_read_however_they_come(size: int) -> None:
    form = read(body_of(PNG, ("prompt", "a caf\u00e9", None), ("n", "2", None)), size=size)
    assert form.texts == {"prompt": "a caf\u00e9", "n": "2"}
    assert form.files == {"image": [PNG[1]]}
    assert form.file("image") == PNG[1]
    assert form.file("mask") is None


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]", "image[12]"])
@pytest.mark.parametrize("mime", ["image/png", "application/octet-stream", "text/plain", ""])
def test_clients_name_and_type_their_files_in_many_ways(name: str, mime: str) -> None:
    assert read(body_of((name, b"1", mime))).file("image") == b"1"


def test_names_of_other_shapes_are_other_names() -> None:
    assert read(body_of(("image[a]", "1", None), ("n[]", "2", None))).texts == {"image[a]": "1", "n": "2"}


def test_one_file_of_a_name_is_enough() -> None:
    form = read(body_of(("image[]", b"1", "image/png"), ("image[]", b"2", "image/png")))
    with pytest.raises(ApiError, match="Too many files for 'image': this model takes one") as refused:
        form.file("image")
    assert refused.value.error["param"] == "image"


def test_an_empty_text_in_the_place_of_a_file_is_none() -> None:
    assert read(body_of(("mask", "", None))).file("mask") is None


def test_a_text_in_the_place_of_a_file_is_refused() -> None:
    error = refusal(body_of(("mask", "mask.png", None))).error
    assert (error["code"], error["param"]) == ("invalid_type", "mask")
    assert error["message"] == "Invalid type for 'mask': expected a file, but got text instead."


def test_a_file_of_another_name_is_refused() -> None:
    error = refusal(body_of(PNG, ("x" * 100, b"1", "image/png"))).error
    assert (error["code"], error["param"]) == ("unknown_parameter", "x" * 60)
    assert refusal(body_of(("prompt", b"1", "text/plain"))).error["param"] == "prompt"


@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/json", "application/x-www-form-urlencoded", "multipart/mixed; boundary=XX"],
)
def test_a_form_says_that_it_is_one(content_type: str | None) -> None:
    error = refusal(body_of(PNG), content_type).error
    assert error["code"] == "unsupported_content_type"
    assert error["message"] == "Send this request as multipart/form-data."


def test_the_type_of_a_form_is_read_in_any_case() -> None:
    assert read(body_of(PNG), "Multipart/Form-Data; boundary=XX").file("image")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (body_of(PNG), "multipart/form-data"),
        (body_of(PNG), "multipart/form-data; boundary="),
        (body_of(PNG), f"multipart/form-data; boundary={'X' * 5000}"),
        (b"not a form", TYPE),
        (b"--XX\r\nnonsense\r\n\r\n1\r\n--XX--\r\n", TYPE),
        (b"--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--\r\n", TYPE),
        (
            b'--XX\r\nContent-Disposition: form-data; name="n"\r\n\r\n'
            + b"1" * (2**20 + 1)
            + b"\r\n--XX--\r\n",
            TYPE,
        ),
        (body_of(*[(f"image[{k}]", b"1", "image/png") for k in range(MOST_FILES + 1)]), TYPE),
        (body_of(*[(f"n{k}", "1", None) for k in range(MOST_FIELDS + 1)]), TYPE),
    ],
)
def test_what_cannot_be_read_is_told(body: bytes, content_type: str) -> None:
    assert str(refusal(body, content_type)).startswith("Could not parse multipart form: ")


@pytest.mark.parametrize("cut", [3, 5, 9, 40, 90])
def test_a_form_that_was_cut_short_is_no_form(cut: int) -> None:
    body = body_of(("prompt", "a red cube", None), PNG)
    assert str(refusal(body[:-cut])).startswith("Could not parse multipart form: ")


def test_bytes_that_are_no_text_are_read_as_some() -> None:
    assert read(body_of(("prompt", b"caf\xe9", None))).texts == {"prompt": "caf\u00e9"}


def test_a_form_may_be_empty() -> None:
    assert read(b"--XX--\r\n") == Form({}, {})
