"""Kill -9 under load, of what draws and of what answers: nothing is lost, and nothing is done twice."""

import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from insistent import Answered, Outcome, Wish, ask, insist
from PIL import Image, ImageDraw
from programs import proc
from unclip_server import Server

from unclip.records.database import open_database
from unclip.records.jobs import Job, Jobs
from unclip.records.keys import Keys
from unclip.records.pictures import Gallery, Picture
from unclip.records.store import Store

CLIENTS, EACH, KEYS = 20, 10, 10
# After so many answers, of 200, a process is killed.
DEATHS = ((25, "engine"), (80, "engine"), (115, "front"), (160, "engine"))
KILL_SECONDS, SETTLE_SECONDS = 240.0, 20.0
ROUNDS = 60


def png(hole: str | None = None) -> bytes:
    image, file = Image.radial_gradient("L").convert("RGBA"), BytesIO()
    if hole is not None:
        ImageDraw.Draw(image).rectangle((64, 64, 191, 191), fill=hole)
    image.save(file, "PNG")
    return file.getvalue()


OPAQUE, HOLED = png(), png(hole="#00000000")


def wish(client: int, number: int) -> Wish:
    """One of a client's ten: some are edits, variations and streams, and some clients do not wait."""
    n, name = 1 + number % 2, f"{client}-{number}"
    drawn = Wish(name, "/v1/images/generations", {"prompt": f"a red cube on a blue cube {name}", "n": n})
    streamed = replace(drawn, fields={**drawn.fields, "stream": True, "partial_images": 2})
    match number:
        case 2:
            return replace(drawn, path="/v1/images/edits", files={"image": HOLED})
        case 3:
            return Wish(name, "/v1/images/variations", {"n": n}, {"image": OPAQUE})
        case 4:
            return streamed
        case 5:
            return replace(streamed, leaves="and comes back" if client % 2 else "for good")
        case 6:
            return replace(drawn, leaves="and comes back")
        case 7:
            return replace(drawn, leaves="for good")
        case _:
            return drawn


@dataclass(frozen=True)
class Run:
    """All that came of it, as clients and as the records have it."""

    outcomes: Sequence[Outcome]
    again: Mapping[str, Answered]  # what was answered to each wish that was fulfilled, asked for once more
    jobs: Mapping[str, Sequence[Job]]  # of each wish: what ended without a picture leaves its key to another
    pictures: Mapping[str, Sequence[Picture]]  # of each job
    uploads: Sequence[Picture]
    folder: Path  # of the store
    store: Store
    exit_code: int
    log: str

    def ended(self, state: str) -> list[Job]:
        return [job for jobs in self.jobs.values() for job in jobs if job.state == state]


@pytest.fixture(scope="module")
def run(new_server: Callable[..., Server]) -> Run:
    """Clients ask while processes die; then each client asks once more for what it got."""
    proc()  # by which processes are found
    server = new_server()
    server.home.mkdir(exist_ok=True)
    database = open_database(f"sqlite:///{server.home}/unclip.db")
    secrets = [Keys(database).create(f"key {k}")[1] for k in range(KEYS)]
    server.start()
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        working = [pool.submit(kill_by_and_by, server, outcomes)]
        working += [pool.submit(be_client, server, k, secrets[k % KEYS], outcomes) for k in range(CLIENTS)]
        for one in working:
            one.result()
    settle(Jobs(database))
    again = {
        outcome.wish.name: once_more(server, secrets, outcome.wish) for outcome in outcomes if outcome.seen
    }
    exit_code, jobs = server.stop(), Jobs(database).list(None, limit=10_000)
    gallery = Gallery(database)
    return Run(
        outcomes,
        again,
        {outcome.wish.name: [job for job in jobs if job.user == outcome.wish.name] for outcome in outcomes},
        {job.id: gallery.of_job(job.id) for job in jobs},
        gallery.list(None, uploads=True, limit=10_000),
        server.home / "pictures",
        Store(str(server.home / "pictures")),
        exit_code,
        server.log,
    )


def be_client(server: Server, number: int, secret: str, outcomes: list[Outcome]) -> None:
    chance = random.Random(number)
    wishes = [wish(number, k) for k in range(EACH)]
    chance.shuffle(wishes)
    with client_of(server, secret) as client:
        for one in wishes:
            outcomes.append(insist(client, one, chance))


def once_more(server: Server, secrets: Sequence[str], wish: Wish) -> Answered:
    """Ask under the same key for what was drawn; what was streamed is not streamed again."""
    with client_of(server, secrets[int(wish.name.split("-")[0]) % KEYS]) as client:
        return ask(client, wish, **({"stream": False} if wish.streamed else {}))


def client_of(server: Server, secret: str) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {secret}"})


def kill_by_and_by(server: Server, outcomes: Sequence[Outcome]) -> None:
    until = time.monotonic() + KILL_SECONDS
    for answers, what in DEATHS:
        while len(outcomes) < answers or not server.engines:
            assert time.monotonic() < until, len(outcomes)
            time.sleep(0.01)
        (engine,) = server.engines
        if what == "front":
            server.kill_front()
            server.start()
            assert not is_alive(engine)  # it has noticed
        else:
            os.kill(engine, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def settle(jobs: Jobs) -> None:
    until = time.monotonic() + SETTLE_SECONDS
    while (counts := jobs.counts())["queued"] + counts["running"]:
        assert time.monotonic() < until, counts
        time.sleep(0.05)


def test_every_request_is_answered(run: Run) -> None:
    assert len(run.outcomes) == CLIENTS * EACH
    for outcome in run.outcomes:
        if outcome.last is None:
            assert outcome.wish.leaves == "for good"
        else:
            assert outcome.last.pictures or outcome.last.error["message"], outcome
    fulfilled = sum(bool(outcome.seen) for outcome in run.outcomes)
    left = sum(outcome.last is None for outcome in run.outcomes)
    assert fulfilled + left >= CLIENTS * EACH - 2  # a job dies with its process for the fourth time


def test_clients_that_wait_are_not_told_that_their_job_was_cancelled(run: Run) -> None:
    codes = Counter(
        outcome.last.error["code"] for outcome in run.outcomes if outcome.last and outcome.last.error
    )
    assert "cancelled" not in codes


def test_every_job_has_ended_once(run: Run) -> None:
    assert sum(map(len, run.jobs.values())) == len(run.pictures)  # no job is of nobody
    for job in run.ended("done") + run.ended("failed") + run.ended("cancelled"):
        pictures = run.pictures[job.id]
        assert job.finished is not None, job
        assert [picture.index for picture in pictures] == list(range(job.n if job.state == "done" else 0)), (
            job
        )
        assert (job.error is not None and bool(job.error["message"])) == (job.state == "failed"), job
    assert len(run.ended("queued") + run.ended("running")) == 0
    assert run.ended("cancelled")  # of those who left
    assert any(job.attempts > 1 for job in run.ended("done"))  # that processes have died of


def test_no_wish_is_fulfilled_twice(run: Run) -> None:
    for outcome in run.outcomes:
        states = Counter(job.state for job in run.jobs[outcome.wish.name])
        assert states["done"] <= 1, outcome
        assert states["done"] == 1 or not outcome.seen, outcome
        assert not states["cancelled"] or outcome.wish.leaves != "never", outcome


def test_one_idempotency_key_is_one_answer(run: Run) -> None:
    for outcome in run.outcomes:
        assert len(outcome.seen) <= 1, outcome
        if outcome.seen:
            assert {run.again[outcome.wish.name].pictures} == outcome.seen
            (job,) = (job for job in run.jobs[outcome.wish.name] if job.state == "done")
            assert {tuple(picture.digest for picture in run.pictures[job.id])} == outcome.seen


def test_every_picture_is_whole(run: Run) -> None:
    for pictures in run.pictures.values():
        for picture in pictures:
            data = run.store.get(picture.digest)  # which looks at the digest
            assert len(data) == picture.size
            with Image.open(BytesIO(data), formats=["PNG"]) as image:
                assert image.size == (picture.width, picture.height) == (256, 256)
                image.load()


def test_nothing_else_is_stored(run: Run) -> None:
    rows = {picture.digest for picture in run.uploads} | {
        picture.digest for pictures in run.pictures.values() for picture in pictures
    }
    assert {path.name for path in run.folder.rglob("*") if path.is_file()} == rows


def test_the_server_has_stayed_well(run: Run) -> None:
    assert run.exit_code == 0
    assert run.log.count("a process that draws has ended (-9)") == 3
    assert "Traceback" not in run.log


def test_who_comes_back_is_waited_for(new_server: Callable[..., Server]) -> None:
    """One connection closes at about the time when the next asks for the same."""
    server, chance = new_server("--no-sign").start(), random.Random(0)
    with httpx.Client(base_url=server.url) as client:
        client.get("/healthz")  # connects
        for k in range(ROUNDS):
            one = replace(wish(0, 1), name=f"back {k}")
            first = send(server, one)
            time.sleep(0.03)
            leaving = threading.Timer(chance.uniform(0, 0.015), first.close)
            leaving.start()
            assert len(ask(client, one).pictures) == 2
            leaving.join()
    counts = Jobs(open_database(f"sqlite:///{server.home}/unclip.db")).counts()
    assert counts["done"] == ROUNDS
    assert 0 < counts["cancelled"] < ROUNDS  # else it was no close race


def send(server: Server, wish: Wish) -> socket.socket:
    """Send a request, and do not wait for its answer."""
    body = json.dumps(wish.body()["json"]).encode()
    head = f"POST {wish.path} HTTP/1.1\r\nhost: 127.0.0.1\r\nidempotency-key: {wish.name}\r\n"
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return connection
