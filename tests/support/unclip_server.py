"""`unclip serve` in a process of its own, as users run it, to be asked, stopped and killed."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

UNCLIP = (sys.executable, "-c", "from unclip.cli import main; main()")
READY_SECONDS = 120.0
STOP_SECONDS = 60.0
# Networks this small wait longer for threads than they compute; and no key or home of whoever runs the tests.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("UNCLIP_", "OPENAI_"))
} | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass
class Server:
    """A server with a folder, a model and a port of its own, which stay when it stops and starts again."""

    home: Path
    model: Path
    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has printed."""
        path = self.home / "log.txt"
        return path.read_text("utf-8", errors="replace") if path.exists() else ""

    def start(self) -> "Server":
        """Start it, and wait until it is ready to draw."""
        where = ["--home", str(self.home), "--port", str(self.port), "--model", str(self.model)]
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [*UNCLIP, "serve", *where, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
                start_new_session=True,  # so that what it has started can be ended with it
            )
        self._wait_until_ready(self.process)
        return self

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            if process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"unclip serve is not ready: {self.log}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether it answers, and can draw."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> int:
        """Ask it to stop, as a service manager does, and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and all that it has started at once, as a power cut does."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    @property
    def engines(self) -> list[int]:
        """The numbers of its processes that draw."""
        assert self.process is not None
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        children = [pid for thread in threads for pid in (thread / "children").read_text().split()]
        return [int(pid) for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]

    def kill_front(self) -> None:
        """End the process that answers at once, and none of those that draw."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def create_key(self, name: str, *options: str) -> str:
        """Make a key by the command, before or while the server runs, and return its secret."""
        command = [*UNCLIP, "keys", "create", name, "--home", str(self.home), *options]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
