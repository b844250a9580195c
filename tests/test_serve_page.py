"""The server's page: it names all options, endpoints and metrics, and no others; its lines can be run."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from unclip import cli
from unclip.provenance import CERTIFICATES
from unclip.server import (
    accepting,
    app,
    dispatcher,
    links,
    metrics,
    middleware,
    retention,
    streaming,
    uploads,
)
from unclip.server.auth import Principal
from unclip.server.native import images
from unclip.server.service import Service, open_service
from unclip.server.settings import Settings

PAGE = (Path(__file__).parents[1] / "docs" / "serve.md").read_text(encoding="utf-8")
ROUTE = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) (/[\w/{}.-]*)`")
VALUED = {"-X", "-H", "-d", "-F", "-o"}
UNVALUED = {"--no-buffer"}
COMMANDS: Any = typer.main.get_command(cli.app)
"""What the shell's words are read by."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def lines(program: str) -> list[list[str]]:
    """The words of every line of the page that runs a program."""
    joined = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in joined if line.startswith(f"{program} ")]


def options(*names: str) -> list[list[str]]:
    """The options of one of our commands, each by all of its names."""
    command = COMMANDS
    for name in names:
        command = command.commands[name]
    given = [[*param.opts, *param.secondary_opts] for param in command.params]
    return [names for names in given if names[0].startswith("--") and "--help" not in names]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    database, store = f"sqlite:///{home / 'unclip.db'}", str(home / "pictures")
    service = open_service(Settings(home, database, store))
    yield service
    service.closing.close()


@pytest.fixture(scope="module")
def routes(service: Service) -> set[tuple[str, str]]:
    paths = app.create_app(service).openapi()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_every_endpoint_is_named_and_no_other(routes: set[tuple[str, str]]) -> None:
    assert set(ROUTE.findall(PAGE)) - {("GET", "/openapi.json")} == routes


def asked(words: list[str]) -> tuple[str, str]:
    """The method and path of a line for curl."""
    given, urls, rest = list[str](), list[str](), iter(words[1:])
    for word in rest:
        if word in VALUED:
            given += [word, next(rest)]
        elif word not in UNVALUED:
            urls.append(word)
    (url,) = urls
    assert url.startswith("$UNCLIP_URL/")
    sends = "POST" if {"-d", "-F"} & set(given) else "GET"
    method = given[given.index("-X") + 1] if "-X" in given else sends
    return method, url.removeprefix("$UNCLIP_URL").partition("?")[0]


@pytest.mark.parametrize("words", lines("curl"), ids=lambda words: " ".join(words)[:60])
def test_every_curl_line_asks_an_endpoint(words: list[str], routes: set[tuple[str, str]]) -> None:
    method, path = asked(words)
    patterns = [re.sub(r"{\w+}", "[^/]+", known) for verb, known in routes if verb == method]
    assert any(re.fullmatch(pattern, path) for pattern in patterns)
    assert "Authorization: Bearer $UNCLIP_API_KEY" in words


def test_curl_shows_every_endpoint_of_the_dall_e_api(routes: set[tuple[str, str]]) -> None:
    shown = {path for _, path in map(asked, lines("curl"))}
    theirs = {path for _, path in routes if path.startswith("/v1/") and "files" not in path}
    assert {path.replace("{model}", "dall-e-2") for path in theirs} <= shown


def test_every_option_of_the_server_is_named() -> None:
    named = set(re.findall(r"--[a-z][\w-]*", PAGE))
    assert not [names for names in options("serve") if named.isdisjoint(names)]


def test_no_option_is_named_that_there_is_not() -> None:
    commands = [("serve",), ("keys", "create"), ("keys", "list")]
    known = {name for command in commands for names in options(*command) for name in names}
    named = set(re.findall(r"`(--[\w-]+)", PAGE))
    assert named
    assert named <= known


@pytest.mark.parametrize("words", lines("unclip"), ids=lambda words: " ".join(words)[:60])
def test_every_command_can_be_given(words: list[str]) -> None:
    names = words[1:3] if words[1] == "keys" else words[1:2]
    command = COMMANDS
    for name in names:
        command = command.commands[name]
    with command.make_context("unclip", words[1 + len(names) :]):
        pass


def test_the_table_of_metrics_is_that_of_the_server() -> None:
    kinds = [kind for name, kind in vars(metrics.Metrics()).items() if name != "registry"]
    told = [
        f"| `{family.name}{'_total' if family.type == 'counter' else ''}` | {family.type}"
        f" | {', '.join(kind._labelnames)} | {family.documentation} |"
        for kind in kinds
        for family in kind.describe()
    ]
    assert re.findall(r"^\| `unclip_.*$", PAGE, re.MULTILINE) == told
    named = set(re.findall(r"`(unclip_\w+)`", PAGE))
    assert named == {line.split("`")[1] for line in told}


def test_what_the_home_folder_holds(service: Service) -> None:
    named = re.findall(r"^\| `([\w.]+)/?` \|", PAGE[PAGE.index("| in the home folder |") :], re.MULTILINE)[:5]
    assert named == ["unclip.db", "pictures", CERTIFICATES, "policy", "secret"]
    there = {path.name for path in service.settings.home.iterdir()}
    assert there - {"unclip.db-wal", "unclip.db-shm", "unclip.db.lock"} == set(named) - {"policy"}


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("lives for 60 minutes", links.LIFE_SECONDS == 3600),
        ("every 15 seconds", streaming.PING_SECONDS == 15),
        ("within an hour", accepting.REPEAT_SECONDS == 3600),
        ("and fails at the fourth time", dispatcher.MOST_ATTEMPTS == 4),
        ("has 30 seconds", app.STOP_SECONDS == 30),
        ("and every hour the server", retention.PAUSE_SECONDS == 3600),
        ("of JSON has at most 1 MiB", middleware.JSON_BYTES == 2**20),
        ("one for `/v1` 9 MiB", middleware.FORM_BYTES == 9 * 2**20),
        ("one for `POST /api/images` 32 MiB", middleware.most_bytes("/api/images") == 32 * 2**20),
        ("one for `/v1` has less than 4 MiB", uploads.MOST_BYTES == 4 * 2**20),
        ("to be kept at most 25 MiB", images.MOST_BYTES == 25 * 2**20),
        ("4,096 pixels a side", uploads.MOST_SIDE == 4096),
    ],
)
def test_numbers(said: str, value: bool) -> None:
    assert re.search(said.replace(" ", r"\s+"), PAGE)
    assert value


def test_the_headers_of_limits(service: Service) -> None:
    key, _ = service.keys.create("limited", images_per_minute=3)
    told = accepting.rate_headers(service, Principal(key.id, key.scopes, key))
    assert len(told) == 3
    assert all(f"`{name}`" in PAGE for name in told)
