"""Pictures: what was made and what was uploaded, and the collections that users put them in."""

import time
import unicodedata
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Text,
    and_,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from unclip.errors import RequestError
from unclip.records.database import reading, until_unique, writing
from unclip.records.names import check_name, new_id
from unclip.records.tables import collected, collections, jobs, pictures


@dataclass(frozen=True)
class Picture:
    """A picture in the store: one that a job made, or an upload."""

    id: str  # of new_id("img")
    owner: str
    digest: str  # SHA-256 of its bytes, by which the store has them
    mime: str
    width: int  # pixels
    height: int
    size: int  # bytes
    created: float  # unix seconds
    job: str | None = None  # None: an upload
    index: int = 0  # of its job's pictures
    prompt: str | None = None
    seed: int | None = None
    parent: str | None = None  # the picture that it was made from, perhaps deleted since
    favourite: bool = False
    about: dict[str, Any] = field(default_factory=dict[str, Any])  # the request, as its file tells it


@dataclass(frozen=True)
class Collection:
    """Pictures that their owner keeps together."""

    id: str
    owner: str
    name: str  # no other of the owner's has it
    created: float  # unix seconds
    count: int = 0  # pictures in it


_COLUMNS = [pictures.c[column.name] for column in fields(Picture)]
_COUNT = select(func.count()).where(collected.c.collection == collections.c.id).scalar_subquery()
_COLLECTIONS = select(collections, _COUNT.label("count"))


def insert_pictures(connection: Connection, rows: Iterable[Picture]) -> None:
    """Add the rows of pictures, in a transaction that is open."""
    values = [vars(picture) | {"folded": picture.prompt and _fold(picture.prompt)} for picture in rows]
    if values:
        connection.execute(insert(pictures), values)


class Gallery:
    """The pictures of a database. Each method is one transaction; threads may share the object."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, picture: Picture) -> None:
        """Add an upload."""
        with writing(self._engine) as connection:
            insert_pictures(connection, [picture])

    def get(self, id: str, owner: str | None = None) -> Picture | None:
        """Return a picture, or None if there is none by this id, or it is not the owner's that is named."""
        query = select(*_COLUMNS).where(pictures.c.id == id)
        if owner is not None:
            query = query.where(pictures.c.owner == owner)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
            return None if row is None else Picture(**row)

    def of_job(self, job: str) -> Sequence[Picture]:
        """Return a job's pictures, in its order."""
        query = select(*_COLUMNS).where(pictures.c.job == job).order_by(pictures.c.index)
        with reading(self._engine) as connection:
            return [Picture(**row) for row in connection.execute(query).mappings()]

    def set_favourite(self, id: str, owner: str, value: bool) -> bool:
        """Mark a picture or take its mark; False if the owner has no such picture."""
        with writing(self._engine) as connection:
            change = update(pictures).where(pictures.c.id == id, pictures.c.owner == owner)
            return connection.execute(change.values(favourite=value)).rowcount == 1

    def delete(self, id: str, owner: str) -> str | None:
        """Delete a picture's row, and return the digest of its bytes if nothing else needs them.

        "" is returned if another row needs them, or a job that has not ended; None if the owner has no such
        picture.
        """
        return self._delete(and_(pictures.c.id == id, pictures.c.owner == owner))

    def expired(self, before: float, most: int) -> Sequence[str]:
        """Return ids of the oldest pictures from before a time, but favourites and those in collections."""
        query = select(pictures.c.id).where(_expired(before)).order_by(pictures.c.id).limit(most)
        with reading(self._engine) as connection:
            return connection.scalars(query).all()

    def expire(self, id: str, before: float) -> str | None:
        """Delete a picture's row as `delete` does, whoever owns it, unless it is not expired any more."""
        return self._delete(and_(pictures.c.id == id, _expired(before)))

    def unneeded(self, digests: Sequence[str]) -> list[str]:
        """Return those of some hundred digests that no picture has and no job that is open will read."""
        there = select(pictures.c.digest).where(pictures.c.digest.in_(digests))
        with reading(self._engine) as connection:
            known = set(connection.scalars(there))
            return [digest for digest in digests if digest not in known and not _needed(connection, digest)]

    def create_collection(self, owner: str, name: str) -> Collection:
        """Add an empty collection. Raises RequestError for a name that the owner gave before, or no name."""
        name = check_name(name)
        collection = Collection(new_id("col"), owner, name, time.time())
        row = {column.name: getattr(collection, column.name) for column in collections.c}
        with _unique(name), writing(self._engine) as connection:
            connection.execute(insert(collections).values(**row))
        return collection

    def collections(self, owner: str) -> Sequence[Collection]:
        """Return an owner's collections, by name."""
        query = _COLLECTIONS.where(collections.c.owner == owner).order_by(collections.c.name)
        with reading(self._engine) as connection:
            return [Collection(**row) for row in connection.execute(query).mappings()]

    def rename_collection(self, id: str, owner: str, name: str) -> Collection | None:
        """Rename a collection; None if the owner has no such one. Raises RequestError as for a new one."""
        name = check_name(name)
        mine = and_(collections.c.id == id, collections.c.owner == owner)
        with _unique(name), writing(self._engine) as connection:
            connection.execute(update(collections).where(mine).values(name=name))
            row = connection.execute(_COLLECTIONS.where(mine)).mappings().first()
            return None if row is None else Collection(**row)

    def delete_collection(self, id: str, owner: str) -> bool:
        """Delete a collection, and none of its pictures; False if the owner has none by this id."""
        mine = and_(collections.c.id == id, collections.c.owner == owner)
        with writing(self._engine) as connection:
            return connection.execute(delete(collections).where(mine)).rowcount == 1

    def put_into(self, collection: str, picture: str, owner: str) -> bool:
        """Put a picture into a collection, or leave it there; False if one of them is not the owner's."""
        return until_unique(lambda: self._put_into(collection, picture, owner))

    def take_out(self, collection: str, picture: str, owner: str) -> bool:
        """Take a picture out of a collection; False if it is not in it, or it is not the owner's."""
        mine = select(collections.c.id).where(collections.c.id == collection, collections.c.owner == owner)
        there = delete(collected).where(collected.c.collection.in_(mine), collected.c.picture == picture)
        with writing(self._engine) as connection:
            return connection.execute(there).rowcount == 1

    def list(
        self,
        owner: str | None,
        *,
        search: str | None = None,
        favourite: bool | None = None,
        collection: str | None = None,
        parent: str | None = None,
        uploads: bool | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[Picture]:
        """Return an owner's newest pictures, or everyone's, that meet every condition given.

        `search`: each of its words is in the prompt, in any case. `before`: the last id of the page before.
        """
        conditions = [
            pictures.c.folded.contains(word, autoescape=True) for word in _fold(search or "").split()
        ]
        if owner is not None:
            conditions.append(pictures.c.owner == owner)
        if favourite is not None:
            conditions.append(pictures.c.favourite.is_(favourite))
        if collection is not None:
            inside = select(collected.c.picture).where(collected.c.collection == collection)
            conditions.append(pictures.c.id.in_(inside))
        if parent is not None:
            conditions.append(pictures.c.parent == parent)
        if uploads is not None:
            conditions.append(pictures.c.job.is_(None) if uploads else pictures.c.job.is_not(None))
        if before is not None:
            conditions.append(pictures.c.id < before)
        query = select(*_COLUMNS).where(*conditions).order_by(pictures.c.id.desc()).limit(limit)
        with reading(self._engine) as connection:
            return [Picture(**row) for row in connection.execute(query).mappings()]

    def _delete(self, which: ColumnElement[bool]) -> str | None:
        with writing(self._engine) as connection:
            digest = connection.scalar(select(pictures.c.digest).where(which))
            alike = select(pictures.c.id).where(pictures.c.digest == digest).order_by(pictures.c.id)
            # Locked, for else of two that are deleted at once, each would see the other and none be the last.
            connection.execute(alike.with_for_update())
            if connection.execute(delete(pictures).where(which)).rowcount == 0:
                return None
            return "" if _needed(connection, str(digest)) else digest

    def _put_into(self, collection: str, picture: str, owner: str) -> bool:
        theirs = select(collections.c.id).where(collections.c.id == collection, collections.c.owner == owner)
        own = select(pictures.c.id).where(
            pictures.c.id == picture, pictures.c.owner == owner, theirs.exists()
        )
        inside = and_(collected.c.collection == collection, collected.c.picture == picture)
        with writing(self._engine) as connection:
            if connection.execute(own).first() is None:
                return False
            if connection.execute(select(collected).where(inside)).first() is None:
                connection.execute(insert(collected).values(collection=collection, picture=picture))
            return True


def _expired(before: float) -> ColumnElement[bool]:
    kept = select(collected.c.picture).where(collected.c.picture == pictures.c.id)
    return and_(pictures.c.created < before, pictures.c.favourite.is_(False), ~kept.exists())


def _needed(connection: Connection, digest: str) -> bool:
    """Say whether a picture has these bytes, or a job will read them."""
    waiting = jobs.c.state.in_(("queued", "running"))
    reads = and_(waiting, cast(jobs.c.request, Text).contains(digest))
    alike = select(pictures.c.id).where(pictures.c.digest == digest)
    return bool(connection.scalar(select(or_(alike.exists(), select(jobs.c.id).where(reads).exists()))))


def _fold(text: str) -> str:
    """Make text equal that differs in case, or in how its letters are encoded."""
    return unicodedata.normalize("NFKC", text).casefold()


@contextmanager
def _unique(name: str) -> Generator[None]:
    try:
        yield
    except IntegrityError:
        raise RequestError(f"there is a collection named {name} already: choose another name") from None
