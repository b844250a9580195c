"""A hub on this machine for tests: the part of the Hugging Face Hub's protocol that pulling a model speaks.

A repository is a dictionary of contents. What was asked is in `log`; the other fields make the hub fail.
"""

import hashlib
import json
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub
import huggingface_hub.constants
import pytest
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

LARGE = (".safetensors", ".bin", ".ckpt", ".msgpack", ".onnx")  # what is in LFS


@dataclass
class Repository:
    """What is at a repository's branch `main`."""

    files: dict[str, bytes]
    licence: str | None = "creativeml-openrail-m"
    gated: bool = False

    @property
    def commit(self) -> str:
        digests = sorted((name, hashlib.sha1(content).hexdigest()) for name, content in self.files.items())
        return hashlib.sha1(repr((digests, self.licence)).encode()).hexdigest()


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    start: int | None  # of a Range


@dataclass
class LocalHub:
    """A hub, its log, and how it fails."""

    endpoint: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    log: list[Asked] = field(default_factory=list)
    cut: dict[str, list[int]] = field(
        default_factory=dict
    )  # after how many bytes connections break off, in turn
    wrong: set[str] = field(default_factory=set)  # files that come with another content
    short: set[str] = field(default_factory=set)  # files that come without their last byte
    deaf: bool = False  # to Range
    status: int = 200  # of what is told of models
    answer: bytes | None = None  # in place of what is told of models

    def add(self, name: str, files: dict[str, bytes], **about: Any) -> Repository:
        """Put a repository onto the hub, in place of one of that name."""
        self.repositories[name] = Repository(files, **about)
        return self.repositories[name]

    def fetched(self) -> list[str]:
        """The files that were sent, in order."""
        return [asked.path.rpartition("/resolve/")[2].partition("/")[2] for asked in self.gets()]

    def gets(self) -> list[Asked]:
        """The requests for contents."""
        return [asked for asked in self.log if asked.method == "GET" and "/resolve/" in asked.path]


@pytest.fixture
def karlo() -> dict[str, bytes]:
    """The files of a repository like Karlo's, with weights of 64 kB."""
    rng = random.Random(0)
    index: dict[str, Any] = {"_class_name": "UnCLIPPipeline", "_diffusers_version": "0.11.0.dev0"}
    files = {
        ".gitattributes": b"*.bin filter=lfs",
        "README.md": b"---\nlicense: creativeml-openrail-m\n---\n# Karlo\n",
        "prior_scheduler/scheduler_config.json": b"{}",
        "tokenizer/merges.txt": b"#version: 0.2\n",
        "tokenizer/vocab.json": b'{"!": 0}',
    }
    for component, weights, old in (
        ("prior", "diffusion_pytorch_model", "diffusion_pytorch_model"),
        ("text_encoder", "model", "pytorch_model"),
    ):
        files[f"{component}/config.json"] = json.dumps({"_class_name": component}).encode()
        files[f"{component}/{weights}.safetensors"] = rng.randbytes(1 << 16)
        files[f"{component}/{old}.bin"] = rng.randbytes(1000)
        files[f"{component}/{weights}.fp16.safetensors"] = rng.randbytes(1000)
    components = ("prior", "prior_scheduler", "text_encoder", "tokenizer")
    index |= {component: ["library", "Class"] for component in components} | {"safety_checker": [None, None]}
    return files | {"model_index.json": json.dumps(index).encode()}


def digest_of(name: str, content: bytes) -> str:
    """The hash by which the hub knows a file."""
    if name.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: LocalHub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        given = self.headers.get("Range")
        start = int(given.removeprefix("bytes=").partition("-")[0]) if given and not self.hub.deaf else None
        self.hub.log.append(Asked(self.command, path, start))
        if path.startswith("/api/models/"):
            self.tell(path.removeprefix("/api/models/"))
        elif "/resolve/" in path:
            self.give(path.lstrip("/"), start)
        else:
            self.refuse(404, "EntryNotFound")

    def tell(self, path: str) -> None:
        """Answer what a model is, or what its tree is."""
        name, kind, revision = re.fullmatch(r"([^/]+/[^/]+)(?:/(revision|tree)/(.+))?", path).groups()
        if (found := self.found(name, revision or "main")) is None:
            return None
        described = [(file, self.describe(file, content)) for file, content in found.files.items()]
        if kind == "tree":
            tree = [
                {"type": "file", "path": file, "oid": about.pop("blobId"), **about}
                for file, about in described
            ]
            return self.send(json.dumps(tree).encode(), {})
        about = {"id": name, "sha": found.commit, "gated": "auto" if found.gated else False}
        about["siblings"] = [{"rfilename": file, **about} for file, about in described]
        if found.licence is not None:
            about["cardData"] = {"license": found.licence}
        answer = json.dumps(about).encode() if self.hub.answer is None else self.hub.answer
        return self.send(answer, {"Content-Type": "application/json"}, self.hub.status)

    def describe(self, file: str, content: bytes) -> dict[str, Any]:
        about: dict[str, Any] = {"size": len(content), "blobId": digest_of("", content)}
        if file.endswith(LARGE):
            digest = digest_of(file, content)
            about["lfs"] = {"oid": digest, "sha256": digest, "size": len(content), "pointerSize": 130}
        return about

    def give(self, path: str, start: int | None) -> None:
        """Answer with a file, or the rest of it."""
        name, _, rest = path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        if (found := self.found(name, revision)) is None:
            return None
        if found.gated:
            return self.refuse(403, "GatedRepo")
        if file not in found.files:
            return self.refuse(404, "EntryNotFound")
        content = found.files[file]
        digest = digest_of(file, content)
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": found.commit, "Accept-Ranges": "bytes"}
        if file.endswith(LARGE):
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        if file in self.hub.wrong:
            content = bytes(len(content))
        if file in self.hub.short:
            content = content[:-1]
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cuts = self.hub.cut.get(file) if self.command == "GET" else None
        self.send(
            content[start or 0 :], headers, 206 if start is not None else 200, cuts.pop(0) if cuts else None
        )
        return None

    def found(self, name: str, revision: str) -> Repository | None:
        """The repository, or None after an answer that there is none."""
        found = self.hub.repositories.get(name)
        if found is None:
            self.refuse(401, "RepoNotFound")
        elif revision not in ("main", found.commit):
            self.refuse(404, "RevisionNotFound")
        else:
            return found
        return None

    def refuse(self, status: int, code: str) -> None:
        self.send(b"{}", {"X-Error-Code": code}, status)

    def send(
        self, content: bytes, headers: dict[str, str], status: int = 200, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[:cut])
        if cut is not None:
            self.close_connection = True


@contextmanager
def serving() -> Iterator[LocalHub]:
    """Run a hub in a thread."""
    hub = LocalHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def local_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A hub on this machine, with an empty cache and an empty record. Nobody sleeps between attempts."""
    for variable in ("http_proxy", "https_proxy", "all_proxy", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    monkeypatch.setenv("UNCLIP_HOME", str(tmp_path / "home"))
    constants = huggingface_hub.constants  # read from the environment when the library was imported
    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agents"), raising=False)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        huggingface_hub.close_session()  # it knows the proxies of before
        disable_progress_bars()
        yield hub
        enable_progress_bars()
        huggingface_hub.close_session()
