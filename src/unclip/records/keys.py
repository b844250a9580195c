"""Keys: who may use a server, and how much. Their secrets are told once and kept nowhere."""

import hashlib
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Engine, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from unclip.errors import RequestError
from unclip.records.database import reading, writing
from unclip.records.names import check_name, new_id
from unclip.records.tables import keys

Scope = Literal["images", "admin"]  # what a user does; all users' jobs, metrics and the audit trail
ResponseFormat = Literal["url", "b64_json"]

_LARGE = 2**31
_SHOWN = 11  # characters of a secret that tell keys apart


@dataclass(frozen=True)
class Key:
    """What is known of a key. All times are unix seconds."""

    id: str  # the owner of what is made with it
    name: str  # no other key in force has it
    prefix: str  # the secret's first characters
    scopes: frozenset[Scope]
    created: float
    expires: float | None = None
    revoked: float | None = None
    images_per_minute: int | None = None  # None: no limit of its own
    monthly_credits: int | None = None  # None: no limit of its own
    priority: int = 0  # of its jobs: the highest is first
    response_format: ResponseFormat | None = None  # where a request names none
    last_used: float | None = None

    def refusal(self, now: float) -> Literal["revoked", "expired"] | None:
        """Say why the key opens no door, or None if it does."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else None


class Keys:
    """The keys of a database. Each method is one transaction; threads may share the object."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self,
        name: str,
        *,
        scopes: Collection[str] = ("images",),
        expires: float | None = None,
        images_per_minute: int | None = None,
        monthly_credits: int | None = None,
        priority: int = 0,
        response_format: ResponseFormat | None = None,
    ) -> tuple[Key, str]:
        """Make a key, and return it with its secret, which is shown here and never again.

        Raises RequestError for a name that another key in force has, or that is none, for no or unknown
        scopes, for limits below 1, and for numbers that no database holds.
        """
        _check_numbers(priority, images_per_minute, monthly_credits)
        secret = "sk-" + secrets.token_urlsafe(32)
        key = Key(
            new_id("key"),
            check_name(name),
            secret[:_SHOWN],
            _scopes(scopes),
            created=time.time(),
            expires=expires,
            images_per_minute=images_per_minute,
            monthly_credits=monthly_credits,
            priority=priority,
            response_format=response_format,
        )
        row = vars(key) | {"scopes": ",".join(sorted(key.scopes)), "hash": _hash(secret)}
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(keys).values(**row))
        except IntegrityError:
            raise RequestError(
                f"there is a key named {key.name} already: revoke it, or choose another"
            ) from None
        return key, secret

    def find(self, secret: str) -> Key | None:
        """Return the key of a secret, whatever its state; None if there is none."""
        return self._one(keys.c.hash == _hash(secret))

    def get(self, id: str) -> Key | None:
        """Return a key by its id, whatever its state; None if there is none."""
        return self._one(keys.c.id == id)

    def revoke(self, name_or_id: str) -> Key:
        """Put a key out of force, for good. Raises RequestError if none in force has this name or id."""
        named = or_(keys.c.name == name_or_id, keys.c.id == name_or_id)
        with writing(self._engine) as connection:
            id = connection.scalar(select(keys.c.id).where(named, keys.c.revoked.is_(None)))
            if id is None:
                raise RequestError(f"no key in force is named {name_or_id}: see unclip keys list")
            connection.execute(update(keys).where(keys.c.id == id).values(revoked=time.time()))
            return _key(connection.execute(select(keys).where(keys.c.id == id)).mappings().one())

    def any_live(self) -> bool:
        """Say whether there is a key that was not revoked; an expired one counts: it keeps the door shut."""
        with reading(self._engine) as connection:
            return bool(connection.scalar(select(exists().where(keys.c.revoked.is_(None)))))

    def touch(self, id: str, now: float) -> None:
        """Note when a key was last used."""
        with writing(self._engine) as connection:
            connection.execute(update(keys).where(keys.c.id == id).values(last_used=now))

    def list(self) -> list[Key]:
        """Return all keys, revoked ones too, the oldest first."""
        with reading(self._engine) as connection:
            return [_key(row) for row in connection.execute(select(keys).order_by(keys.c.id)).mappings()]

    def _one(self, condition: ColumnElement[bool]) -> Key | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(keys).where(condition)).mappings().first()
            return None if row is None else _key(row)


def _key(row: Mapping[Any, Any]) -> Key:
    values = {name: value for name, value in row.items() if name not in ("hash", "scopes")}
    return Key(scopes=_scopes(row["scopes"].split(",")), **values)


def _hash(secret: str) -> str:
    """A secret is 32 random bytes: no slower hash would make it harder to guess."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _scopes(names: Collection[str]) -> frozenset[Scope]:
    known: tuple[Scope, ...] = get_args(Scope)
    if not names or not set(names) <= set(known):
        raise RequestError(f"scopes are {' and '.join(known)}, not {', '.join(sorted(names)) or 'none'}")
    return frozenset(scope for scope in known if scope in names)


def _check_numbers(priority: int, *limits: int | None) -> None:
    if not all(limit is None or 1 <= limit < _LARGE for limit in limits) or abs(priority) >= _LARGE:
        raise RequestError(f"limits are 1 to {_LARGE - 1}, or left out, and a priority is no larger")
