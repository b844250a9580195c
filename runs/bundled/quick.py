"""What `unclip evaluate --suite quick` reports, for the scripts beside this file."""

import json
import subprocess
import sys
from pathlib import Path


def quick(report: Path, data: Path, *options: object) -> dict:
    """Return a report, evaluated unless it is there; the pictures go to a folder of its name."""
    if not report.exists():
        unclip = [sys.executable, "-c", "from unclip.cli import main; main()"]
        command = [*unclip, "evaluate", "--suite", "quick", "--data", data, "--json", report]
        command += ["--out", report.with_suffix(""), *options]
        subprocess.run([str(part) for part in command], check=True)
    return json.loads(report.read_text("utf-8"))
