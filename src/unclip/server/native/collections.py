"""Collections: images that their owner keeps together."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from unclip.records import pictures
from unclip.server.auth import User
from unclip.server.errors import REFUSALS
from unclip.server.native.answers import Time, not_found
from unclip.server.native.bodies import described, read_body
from unclip.server.service import service_of

router = APIRouter(prefix="/collections", tags=["collections"], responses=REFUSALS)


class Named(BaseModel, extra="forbid", strict=True):
    """A name for a collection, which no other of yours has."""

    name: Annotated[str, Field(min_length=1, max_length=100)]


class Collection(BaseModel):
    """A collection, without its images: those are listed with /api/images?collection=."""

    id: str
    name: str
    created: Time
    count: int = Field(description="How many images are in it.")


class Collections(BaseModel):
    """All of your collections, by name."""

    data: list[Collection]


@router.get("")
async def list_collections(request: Request, principal: User) -> Collections:
    """List your collections, by name."""
    found = await run_in_threadpool(service_of(request).gallery.collections, principal.id)
    return Collections(data=[_told(collection) for collection in found])


@router.post("", status_code=201, openapi_extra=described(Named))
async def create_collection(request: Request, principal: User) -> Collection:
    """Make a collection, with nothing in it."""
    named = await read_body(request, Named)
    made = await run_in_threadpool(service_of(request).gallery.create_collection, principal.id, named.name)
    return _told(made)


@router.patch("/{id}", openapi_extra=described(Named))
async def rename_collection(request: Request, principal: User, id: str) -> Collection:
    """Give a collection another name."""
    named, gallery = await read_body(request, Named), service_of(request).gallery
    renamed = await run_in_threadpool(gallery.rename_collection, id, principal.id, named.name)
    if renamed is None:
        raise not_found("collection", id)
    return _told(renamed)


@router.delete("/{id}", status_code=204)
async def delete_collection(request: Request, principal: User, id: str) -> None:
    """Delete a collection, and none of its images."""
    if not await run_in_threadpool(service_of(request).gallery.delete_collection, id, principal.id):
        raise not_found("collection", id)


@router.put("/{id}/images/{image}", status_code=204)
async def put_into_collection(request: Request, principal: User, id: str, image: str) -> None:
    """Put an image into a collection, or leave it there."""
    if not await run_in_threadpool(service_of(request).gallery.put_into, id, image, principal.id):
        raise not_found("collection or image", f"{id}/{image}")


@router.delete("/{id}/images/{image}", status_code=204)
async def take_out_of_collection(request: Request, principal: User, id: str, image: str) -> None:
    """Take an image out of a collection; it is not deleted."""
    if not await run_in_threadpool(service_of(request).gallery.take_out, id, image, principal.id):
        raise not_found("collection that holds this image", f"{id}/{image}")


def _told(collection: pictures.Collection) -> Collection:
    return Collection(
        id=collection.id, name=collection.name, created=collection.created, count=collection.count
    )
