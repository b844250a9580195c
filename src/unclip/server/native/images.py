"""Images that the server keeps: what jobs made, and uploads."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from unclip.records.pictures import Picture
from unclip.server import files
from unclip.server.auth import Principal, User
from unclip.server.contract import unknown_parameter
from unclip.server.errors import REFUSALS, ApiError, bad_request
from unclip.server.forms import read_form
from unclip.server.images import uploaded
from unclip.server.native.answers import Before, Image, Limit, image_of, not_found
from unclip.server.native.bodies import body, described, read_body
from unclip.server.service import Service, service_of
from unclip.server.uploads import opened

MOST_BYTES = 25 * 2**20  # of an upload

router = APIRouter(prefix="/images", tags=["gallery"], responses=REFUSALS)

_BINARY = {"type": "string", "format": "binary"}
_MEDIA = ("image/png", "image/jpeg", "image/webp")
_FILES = {media: {"schema": _BINARY} for media in _MEDIA}
_UPLOAD = body(
    {
        "multipart/form-data": {
            "type": "object",
            "properties": {"image": _BINARY},
            "required": ["image"],
            "additionalProperties": False,
        },
        **dict.fromkeys(_MEDIA, _BINARY),
    }
)


class Images(BaseModel):
    """A page of images, the newest first; `next` is null on the last."""

    data: list[Image]
    next: str | None


class Marks(BaseModel, extra="forbid", strict=True):
    """What can be changed of an image."""

    favourite: bool


@router.post("", status_code=201, openapi_extra=_UPLOAD)
async def upload_image(request: Request, principal: User) -> Image:
    """Give the server a picture to keep, for jobs to be made from: in a form, or as the body itself."""
    service, data = service_of(request), await _sent(request)
    if len(data) > MOST_BYTES:
        message = f"The picture has {len(data)} bytes: at most {MOST_BYTES}."
        raise ApiError(413, message, code="image_too_large", param="image")
    return image_of(service, request, await service.decoding.do(_kept, service, principal, data))


@router.get("")
async def list_images(
    request: Request,
    principal: User,
    search: Annotated[
        str | None, Query(max_length=200, description="Words, each of which is in the prompt.")
    ] = None,
    favourite: bool | None = None,
    collection: Annotated[str | None, Query(max_length=64, description="Its id.")] = None,
    parent: Annotated[str | None, Query(max_length=64, description="The id of an image.")] = None,
    uploads: Annotated[bool | None, Query(description="true: uploads alone; false: none.")] = None,
    limit: Limit = 50,
    before: Before = None,
) -> Images:
    """List your images that meet every condition given, the newest first."""
    service = service_of(request)

    def found() -> list[Picture]:
        return service.gallery.list(
            principal.id,
            search=search,
            favourite=favourite,
            collection=collection,
            parent=parent,
            uploads=uploads,
            limit=limit + 1,
            before=before,
        )

    pictures = await run_in_threadpool(found)
    data = [image_of(service, request, picture) for picture in pictures[:limit]]
    return Images(data=data, next=data[-1].id if len(pictures) > limit else None)


@router.get("/{id}")
async def get_image(request: Request, principal: User, id: str) -> Image:
    """Tell an image."""
    service = service_of(request)
    return image_of(service, request, await _found(service, principal, id))


@router.get("/{id}/content", response_class=Response, responses={200: {"content": _FILES}})
async def get_image_content(request: Request, principal: User, id: str) -> Response:
    """Return an image's file."""
    service = service_of(request)
    return await files.content(service, await _found(service, principal, id))


@router.patch("/{id}", openapi_extra=described(Marks))
async def change_image(request: Request, principal: User, id: str) -> Image:
    """Mark an image as a favourite, or take the mark."""
    service, marks = service_of(request), await read_body(request, Marks)
    if not await run_in_threadpool(service.gallery.set_favourite, id, principal.id, marks.favourite):
        raise not_found("image", id)
    return image_of(service, request, await _found(service, principal, id))


@router.delete("/{id}", status_code=204)
async def delete_image(request: Request, principal: User, id: str) -> None:
    """Delete an image, and its file if no other image has the same."""
    service = service_of(request)
    picture = await _found(service, principal, id)
    await run_in_threadpool(_delete, service, picture)
    if picture.owner != principal.id:
        detail = {"image": id, "owner": picture.owner}
        await run_in_threadpool(service.audit.write, "image.delete", principal.id, picture.job, detail)


async def _sent(request: Request) -> bytes:
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        return await request.body()
    form = await read_form(request, ("image",))
    if form.texts:
        raise unknown_parameter(next(iter(form.texts)))
    data = form.file("image")
    if data is None:
        raise bad_request("Missing required parameter: 'image'.", "missing_required_parameter", "image")
    return data


def _kept(service: Service, principal: Principal, data: bytes) -> Picture:
    upload = opened(data, "image", "lenient", MOST_BYTES + 1)
    picture = uploaded(principal, upload)
    with service.store.changing:
        service.store.put(upload.data)
        service.gallery.add(picture)
    return picture


def _delete(service: Service, picture: Picture) -> None:
    with service.store.changing:
        digest = service.gallery.delete(picture.id, picture.owner)
        if digest:
            service.store.delete(digest)


async def _found(service: Service, principal: Principal, id: str) -> Picture:
    picture = await run_in_threadpool(service.gallery.get, id, principal.sees)
    if picture is None:
        raise not_found("image", id)
    return picture
