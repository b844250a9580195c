"""Users of a server, each with a key of their own."""

import time
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import httpx
from PIL import Image

WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class User:
    """Somebody with a key of their own."""

    key: str  # its id
    http: httpx.Client

    def draw(self, **more: Any) -> httpx.Response:
        body = {"prompt": "a red cube", "size": "256x256", **more}
        return self.http.post("/v1/images/generations", json=body)

    def link(self) -> str:
        response = self.draw()
        assert response.status_code == 200, response.text
        return response.json()["data"][0]["url"]

    def submit(self, **asked: Any) -> httpx.Response:
        return self.http.post("/api/jobs", json=asked)

    def done(self) -> dict[str, Any]:
        """Draw a picture, and return its job at the end."""
        job = self.submit(task="text_to_image", prompt="a red cube", size=64).json()
        until = time.monotonic() + WAIT_SECONDS
        while job["state"] in ("queued", "running"):
            assert time.monotonic() < until, job
            time.sleep(0.02)
            job = self.http.get(f"/api/jobs/{job['id']}").json()
        assert job["state"] == "done", job
        return job

    def upload(self) -> str:
        file = BytesIO()
        Image.new("RGB", (64, 64), "red").save(file, "PNG")
        headers = {"content-type": "image/png"}
        response = self.http.post("/api/images", content=file.getvalue(), headers=headers)
        assert response.status_code == 201, response.text
        return response.json()["id"]


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error
