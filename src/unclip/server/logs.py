"""Log lines: for people, or as JSON for programs. Sentences and keys are never among them."""

import json
import logging
import sys
import time
from typing import Any, Literal


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up(form: Literal["text", "json"], level: str) -> None:
    """Log to standard error, for the whole process."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s")
    handler.setFormatter(JsonLines() if form == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # At INFO uvicorn says what is said here; at DEBUG the others tell what is in requests.
    for chatty in (
        "uvicorn",
        "multipart",
        "python_multipart",
        "httpx",
        "httpcore",
        "PIL",
        "alembic",
        "asyncio",
    ):
        logging.getLogger(chatty).setLevel(logging.WARNING)
