"""What deploys the server: every command, option, extra and path that it names is there."""

import configparser
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from unclip import cli
from unclip.server.app import STOP_SECONDS

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
README = (DEPLOY / "README.md").read_text(encoding="utf-8")
COMPOSE_TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: Any = yaml.safe_load(COMPOSE_TEXT)
COMMANDS: Any = typer.main.get_command(cli.app)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


def check_command(words: list[str]) -> None:
    """Fail unless `unclip` takes these words."""
    command, rest = COMMANDS, list(words)
    while rest and hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    with command.make_context("unclip", rest):
        pass


def instructions() -> dict[str, list[str]]:
    """The Dockerfile's instructions, by what they do."""
    found = dict[str, list[str]]()
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        if line:
            name, _, rest = line.partition(" ")
            found.setdefault(name, []).append(rest)
    return found


DOCKERFILE = instructions()


def words_of(text: str) -> list[str]:
    """The words of an instruction that is a JSON list."""
    return yaml.safe_load(text)


def extras_in(text: str) -> set[str]:
    return {extra for group in re.findall(r"[./\w]\[([\w,]+)\]'", text) for extra in group.split(",")}


def test_an_image_is_built_of_what_is_there() -> None:
    copied = [source for line in DOCKERFILE["COPY"] for source in line.split()[:-1]]
    assert copied
    assert not [path for path in copied if not (ROOT / path).exists()]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {"pyproject.toml", "src", project["readme"], *project["license-files"]}
    assert needed <= set(copied), "without them the package cannot be built"


def test_an_image_has_the_extras_of_a_server() -> None:
    extras = extras_in(" ".join(DOCKERFILE["RUN"]))
    assert {"server", "postgresql"} <= extras <= EXTRAS.keys()
    assert any("c2pa" in need or need == "unclip[provenance]" for need in EXTRAS["server"])


def test_an_image_has_a_python_that_the_package_takes() -> None:
    (base,) = DOCKERFILE["FROM"]
    version = re.fullmatch(r"python:3\.(\d+)-slim", base)
    assert version
    assert f"Python :: 3.{version[1]}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_an_image_serves_as_a_user_of_its_own() -> None:
    assert DOCKERFILE["USER"] == ["unclip"]
    assert words_of(DOCKERFILE["ENTRYPOINT"][0]) == ["unclip"]
    check_command(words_of(DOCKERFILE["CMD"][0]))
    environment = dict(pair.split("=") for pair in DOCKERFILE["ENV"][0].split())
    assert environment["UNCLIP_HOME"] == DOCKERFILE["VOLUME"][0]
    assert f"--owner unclip --group unclip --mode 700 {DOCKERFILE['VOLUME'][0]}" in DOCKERFILE["RUN"][-1]


def test_an_image_is_asked_where_it_serves() -> None:
    assert DOCKERFILE["EXPOSE"] == ["8000"]
    (serve,) = [param for param in COMMANDS.commands["serve"].params if "--port" in param.opts]
    assert serve.default == 8000
    check = words_of(DOCKERFILE["HEALTHCHECK"][0].partition("CMD ")[2])
    assert check[:2] == ["python", "-c"]
    compile(check[2], "healthcheck", "exec")
    assert "http://127.0.0.1:8000/healthz" in check[2]


def test_compose_serves_from_postgresql() -> None:
    server, postgres = COMPOSE["services"]["unclip"], COMPOSE["services"]["postgres"]
    check_command(server["command"])
    url = server["command"][server["command"].index("--database") + 1]
    names = postgres["environment"]
    assert url == f"postgresql://{names['POSTGRES_USER']}@postgres/{names['POSTGRES_DB']}"
    assert COMPOSE_TEXT.count(url) == 3, "keys are made in the database that is served"
    assert server["environment"]["PGPASSWORD"] == names["POSTGRES_PASSWORD"]
    assert server["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert "healthcheck" in postgres
    build = server["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    mounted = [volume.split(":") for service in (server, postgres) for volume in service["volumes"]]
    assert {name for name, _ in mounted} == COMPOSE["volumes"].keys()
    assert DOCKERFILE["VOLUME"][0] in [path for _, path in mounted]


@pytest.fixture
def unit() -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read(DEPLOY / "unclip.service")
    return unit


def test_the_unit_serves_from_its_state(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert program == "/opt/unclip/bin/unclip"
    check_command(words)
    environment = dict(pair.split("=") for pair in service["Environment"].split())
    assert environment["UNCLIP_HOME"] == f"/var/lib/{service['StateDirectory']}"
    for name in ("User", "StateDirectory", "StateDirectoryMode", "DynamicUser"):
        assert f"--property {name}={service[name]}" in README, "a key is made by who serves"


def test_the_unit_may_do_little(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert service["ProtectSystem"] == "strict"
    for name in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateTmp"):
        assert service[name] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert "MemoryDenyWriteExecute" not in service, "torch's kernels are compiled while it runs"


def test_who_stops_it_waits_for_what_is_being_drawn(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["KillMode"] == "mixed"
    assert int(unit["Service"]["TimeoutStopSec"]) > STOP_SECONDS
    assert int(COMPOSE["services"]["unclip"]["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
    seconds = re.search(r"--stop-timeout (\d+)", README)
    assert seconds
    assert int(seconds[1]) > STOP_SECONDS


def test_commands_that_are_shown_can_be_given() -> None:
    shown = (README + COMPOSE_TEXT).replace("\\\n", " ")
    told = re.findall(r"unclip(?::cuda)? ((?:keys|model|serve) [^\n`]+)", shown)
    assert len(told) == 7
    for command in told:
        check_command(shlex.split(command))


def test_extras_that_are_shown_are_there() -> None:
    texts = [README, (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")]
    for text in texts:
        assert extras_in(text) <= EXTRAS.keys()
        assert "server" in extras_in(text)
