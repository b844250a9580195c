"""What the server adds to a picture, and what drawing requests together saves.

    python benchmarks/serve.py [--model FOLDER] [--runs 30] [--rounds 3] [--json FILE]

Starts `unclip serve` in a process of its own, as users run it, signatures included, and asks it:

- overhead: one picture by HTTP, beside the same picture by the bare pipeline in this process, PNG encoding in
  both, in turns;
- first partial: from the POST to the first picture of a stream, when nothing else is asked for;
- throughput: eight jobs at once, beside the same eight one after another: the same pictures, 256 px, twelve
  steps of the decoder that was not distilled;
- fairness: several keys with the same load at once: the longest mean wait of a key over the shortest.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

import unclip
from unclip.imagefiles import encoded

SENTENCES = [
    f"{thing}, 3D render"
    for thing in (
        "a red apple on a wooden table",
        "two green apples on a beach",
        "a blue elephant in the snow",
        "a cat",
        "a yellow car at night",
        "a dog in the city",
        "a penguin in the desert",
        "a purple balloon",
    )
]
UNCLIP = (sys.executable, "-c", "from unclip.cli import main; main()")
KEYS, EACH = 5, 6  # of the fairness test: keys, and requests of each at once


@contextmanager
def server(model: str | None, home: Path, log: Path) -> Iterator[str]:
    """A server that is ready; gives its address."""
    chosen = [] if model is None else ["--model", model]
    with log.open("wb") as out:
        command = [*UNCLIP, "serve", "--home", str(home), "--port", "8377", *chosen]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        url = "http://127.0.0.1:8377"
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def draw(client: httpx.Client, sentence: str) -> None:
    body = {"prompt": sentence, "size": "256x256"}
    client.post("/v1/images/generations", json=body).raise_for_status()


def overhead(client: httpx.Client, model: str | None, runs: int) -> dict[str, float]:
    """Medians, in milliseconds, of a picture by HTTP and by the bare pipeline."""
    system = unclip.load(model)

    def bare(sentence: str) -> None:
        (image,) = unclip.generate(system, sentence, size=256)
        encoded(image, "PNG", {"prompt": sentence})

    for work in (bare, lambda sentence: draw(client, sentence)):
        for sentence in SENTENCES[:3]:
            work(sentence)
    pairs = [
        (seconds(lambda s=s: draw(client, s)), seconds(lambda s=s: bare(s)))
        for s in (SENTENCES[k % len(SENTENCES)] for k in range(runs))
    ]
    http, pipeline = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    return {"http_ms": http, "pipeline_ms": pipeline, "overhead_ms": http - pipeline}


def first_partial(client: httpx.Client, runs: int) -> dict[str, float]:
    """Milliseconds from the POST to the first partial picture, median and worst."""

    def one(sentence: str) -> float:
        body = {"prompt": sentence, "size": "1024x1024", "stream": True, "partial_images": 1}
        began, found = time.perf_counter(), 0.0
        with client.stream("POST", "/v1/images/generations", json=body) as response:
            for line in response.iter_lines():
                if line.startswith("data:") and "partial_image_index" in line and not found:
                    found = time.perf_counter() - began
        return 1000 * found

    times = [one(SENTENCES[k % len(SENTENCES)]) for k in range(runs)]
    return {"first_partial_ms": statistics.median(times), "first_partial_worst_ms": max(times)}


def throughput(client: httpx.Client, rounds: int) -> dict[str, float]:
    """Seconds of eight jobs one after another and at once, medians of rounds in turns, and their ratio."""

    def job(k: int) -> None:
        settings = {"prompt": SENTENCES[k], "seed": k, "size": 256, "steps": 12, "quality": "best"}
        job = client.post("/api/jobs", json={"task": "text_to_image", **settings}).raise_for_status().json()
        while job["state"] in ("queued", "running"):
            time.sleep(0.03)  # asking all the time would take the processors from who draws
            job = client.get(f"/api/jobs/{job['id']}").json()
        assert job["state"] == "done", job

    def in_turn() -> None:
        for k in range(len(SENTENCES)):
            job(k)

    def at_once() -> None:
        with ThreadPoolExecutor(len(SENTENCES)) as pool:
            list(pool.map(job, range(len(SENTENCES))))

    times = [(seconds(in_turn), seconds(at_once)) for _ in range(rounds)]
    apart, together = (statistics.median(each) for each in zip(*times, strict=True))
    return {"one_by_one_s": apart, "at_once_s": together, "throughput": apart / together}


def fairness(url: str, keys: list[str]) -> dict[str, float]:
    """The longest mean wait of a key over the shortest; the first key's requests are sent first."""
    clients = [
        httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=600) for key in keys
    ]

    def wait(place: int) -> tuple[int, float]:
        key, number = divmod(place, EACH)
        return key, seconds(lambda: draw(clients[key], SENTENCES[number]))

    with ThreadPoolExecutor(KEYS * EACH) as pool:
        waits = list(pool.map(wait, range(KEYS * EACH)))
    means = [statistics.mean(spent for key, spent in waits if key == place) for place in range(KEYS)]
    return {"fairness_longest_over_shortest": max(means) / min(means)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = dict[str, float]()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with (
            server(given.model, home, Path(folder) / "log") as url,
            httpx.Client(base_url=url, timeout=600) as client,
        ):
            found |= overhead(client, given.model, given.runs)
            found |= first_partial(client, given.runs)
            found |= throughput(client, given.rounds)
        keys = [
            subprocess.run(
                [*UNCLIP, "keys", "create", f"key {k}", "--home", str(home)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.strip()
            for k in range(KEYS)
        ]
        with server(given.model, home, Path(folder) / "log") as url:
            found |= fairness(url, keys)
    for name, value in found.items():
        print(f"{name:>32} {value:10.2f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
