"""unclip's own client against a real server: what it reads is what the server tells."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from unclip_server import Server

from unclip.client import ApiError, Client, Event, Partial, Picture

PROMPT = "a red cube on a table"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def client(server: Server, key: str) -> Iterator[Client]:
    with Client(server.url, key, timeout=120.0) as client:
        yield client


def test_pictures_are_drawn_edited_and_varied(client: Client, pictures: Path) -> None:
    drawn = client.generate(PROMPT, n=2, size=256, user="somebody")
    edited = client.edit(pictures / "picture.png", PROMPT, mask=pictures / "mask.png", size=256)
    varied = client.vary((pictures / "picture.png").read_bytes(), size="256x256")
    assert [len(each) for each in (drawn, edited, varied)] == [2, 1, 1]
    assert all(picture.data.startswith(PNG) for picture in (*drawn, *edited, *varied))


def test_a_picture_is_shown_while_it_is_drawn(client: Client) -> None:
    *shown, picture = client.stream(PROMPT, size=256, partial_images=1)
    assert isinstance(picture, Picture)
    assert [type(each) for each in shown] == [Partial]
    assert [each.data[:8] for each in (*shown, picture)] == [PNG, PNG]


def test_a_refusal_says_why(client: Client) -> None:
    with pytest.raises(ApiError, match=r"11 is greater than the maximum of 10 - 'n'") as caught:
        client.generate(PROMPT, n=11)
    assert (caught.value.status, caught.value.code, caught.value.param) == (
        400,
        "integer_above_max_value",
        "n",
    )
    assert caught.value.request_id


def test_a_job_is_waited_for_and_its_pictures_are_kept(client: Client, pictures: Path) -> None:
    upload = client.upload(pictures / "picture.png")
    heard: list[Event] = []
    job = client.wait(client.submit("variations", image=upload, n=2, size=64).id, heard.append)
    assert (job.state, len(job.images)) == ("done", 2)
    assert {event.name for event in heard} >= {"job"}
    assert client.content(job.images[1].id).startswith(PNG)
    kept = [image.id for image in client.images(limit=1)]
    assert kept[:2] == [image.id for image in reversed(job.images)]
    assert upload.id in kept
    assert [image.id for image in client.images(uploads=True)][:1] == [upload.id]


def test_a_job_is_cancelled(client: Client) -> None:
    job = client.submit("text_to_image", prompt=PROMPT, n=10, size=1024, steps=200)
    assert client.cancel(job.id).state == "cancelled"
    assert client.wait(job.id).state == "cancelled"


def test_leaving_a_stream_cancels_its_job(client: Client, server: Server, key: str) -> None:
    stream = client.stream(PROMPT, n=10, size=1024)
    assert isinstance(next(stream), Partial)
    stream.close()
    newest = httpx.get(f"{server.url}/api/jobs?limit=1", headers={"Authorization": f"Bearer {key}"})
    assert client.wait(newest.json()["data"][0]["id"]).state == "cancelled"


def test_models_and_usage_are_told(client: Client) -> None:
    assert "dall-e-2" in client.models()
    assert set(client.usage()) == {"owner", "images_per_minute", "monthly"}
