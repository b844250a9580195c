import inspect
import subprocess
import sys

import pytest

from unclip.client import AsyncClient, Client

METHODS = sorted({name for name in vars(Client) if not name.startswith("_")})


def test_both_clients_have_the_same_methods() -> None:
    assert sorted({name for name in vars(AsyncClient) if not name.startswith("_")}) == METHODS


@pytest.mark.parametrize("method", METHODS)
def test_methods_take_the_same(method: str) -> None:
    one, other = (inspect.signature(getattr(kind, method)) for kind in (Client, AsyncClient))
    assert one.parameters == other.parameters


def run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_client_needs_httpx_and_nothing_heavy() -> None:
    run(
        "import sys, unclip.client;"
        "assert not {'torch', 'numpy', 'PIL', 'fastapi', 'sqlalchemy'} & sys.modules.keys()"
    )


def test_the_package_and_the_command_need_no_httpx() -> None:
    run(
        "import sys; sys.modules['httpx'] = None; import unclip; from unclip.cli import app;"
        "app(['--help'], standalone_mode=False)"
    )


def test_without_httpx_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    run(
        "import sys; sys.modules['httpx'] = None\n"
        "from unclip.errors import RequestError\n"
        "try:\n    import unclip.client\n"
        "except RequestError as error: assert \"pip install 'unclip[client]'\" in str(error)\n"
        "else: raise SystemExit('it was imported')"
    )
