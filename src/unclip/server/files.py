"""Pictures by signed links: no key, for an hour."""

import re

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from unclip.errors import RequestError
from unclip.records.pictures import Picture
from unclip.server.errors import REFUSALS, ApiError
from unclip.server.service import Service, service_of

router = APIRouter(tags=["files"], responses=REFUSALS)
_ID = re.compile(r"img_[A-Za-z0-9]{1,64}")

PICTURE_HEADERS = {"cache-control": "private, max-age=3600", "content-disposition": "inline"}


@router.get(
    "/files-public/{name}",
    operation_id="downloadFile",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
async def file(request: Request, name: str, exp: str = "", sig: str = "") -> Response:
    """Return a picture's bytes, if the link is one of this server's and still lives."""
    service, id = service_of(request), name.removesuffix(".png")
    if not _ID.fullmatch(id) or not service.links.is_good(id, exp, sig):
        raise ApiError(403, "This link is not valid, or not any more: links live for 60 minutes.")
    picture = await run_in_threadpool(service.gallery.get, id)
    if picture is None:
        raise ApiError(404, "This picture was deleted.")
    return await content(service, picture)


async def content(service: Service, picture: Picture) -> Response:
    """Answer with a picture's bytes. Raises ApiError if they are not there."""
    try:
        data = await run_in_threadpool(service.store.get, picture.digest)
    except RequestError:
        raise ApiError(404, "This picture is not in the store any more.") from None
    return Response(data, media_type=picture.mime, headers=PICTURE_HEADERS)
