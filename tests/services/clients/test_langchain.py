"""LangChain's `DallEAPIWrapper`, unchanged, against a real server."""

import json
from collections.abc import Callable
from pathlib import Path

from unclip_server import Server

DRIVER = Path(__file__).with_name("drive_langchain.py")


def test_the_wrapper_s_links_open_without_a_key(
    server: Server, python_with: Callable[..., Path], run: Callable[..., str]
) -> None:
    python = python_with("langchain-community", "openai")
    saw = json.loads(run(python, DRIVER, OPENAI_API_BASE=f"{server.url}/v1", OPENAI_BASE_URL=""))
    assert saw == {"plain": ["image/png"], "older": ["image/png", "image/png"]}
