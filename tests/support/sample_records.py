"""Jobs and pictures for tests, which say only what matters to them."""

import hashlib
import time
from typing import Any

from unclip.records.jobs import Job
from unclip.records.names import new_id
from unclip.records.pictures import Picture


def a_job(**fields: Any) -> Job:
    """A job of one picture for alice."""
    values = {"owner": "alice", "task": "text_to_image", "request": {"prompt": "a red apple"}, "n": 1}
    return Job(**{"id": new_id("job"), "created": time.time()} | values | fields)


def a_picture(**fields: Any) -> Picture:
    """An upload of alice's, of bytes like no other's."""
    id = new_id("img")
    shape = {"mime": "image/png", "width": 64, "height": 64, "size": 100}
    values = {"owner": "alice", "digest": a_digest(id), "created": time.time()}
    return Picture(**{"id": id} | shape | values | fields)


def a_digest(text: str) -> str:
    """A digest as the store gives them."""
    return hashlib.sha256(text.encode()).hexdigest()
