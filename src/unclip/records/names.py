"""What records are called: ids, which sort by time and cannot be guessed, and names that users give."""

import secrets
import threading
import time

from unclip.errors import RequestError

# Crockford's: no letter is taken for a digit, and its characters sort as their values.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26  # 130 bits: 52 of time, which last until the year 2112, and 78 of chance

_lock = threading.Lock()
_last = 0


def new_id(kind: str) -> str:
    """Return an id, such as job_06dphgs05e0d3rxv5yk28c3n1q, that sorts after all that this process made."""
    value = _microseconds() << 78 | secrets.randbits(78)
    return f"{kind}_" + "".join(_DIGITS[value >> 5 * k & 31] for k in reversed(range(_LENGTH)))


def _microseconds() -> int:
    """Return the time since 1970, later each time it is asked for."""
    global _last
    with _lock:
        _last = max(_last + 1, time.time_ns() // 1000)
        return _last


def check_name(name: str) -> str:
    """Return a name as it is kept, without space around it.

    Raises RequestError unless it has 1 to 100 characters, all printable.
    """
    name = name.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise RequestError(f"a name has 1 to 100 printable characters, not {name[:110]!r}")
    return name
