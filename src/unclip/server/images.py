"""The three images endpoints of the DALL-E 2 API."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import BaseModel

from unclip.records.jobs import Job
from unclip.records.names import new_id
from unclip.records.pictures import Picture
from unclip.server import contract
from unclip.server.accepting import Draft, accept
from unclip.server.answering import answer
from unclip.server.auth import Principal, User
from unclip.server.contract import Edit, Foreign, Generation, Parameters, Variation, expects_b64, parse
from unclip.server.errors import REFUSALS, bad_request
from unclip.server.forms import Form, read_form
from unclip.server.holes import has_hole, with_hole
from unclip.server.models import check_model, loaded
from unclip.server.service import Service, service_of
from unclip.server.streaming import Kind, stream
from unclip.server.uploads import Upload, check_square, opened

router = APIRouter(tags=["images"], dependencies=[Depends(loaded)], responses=REFUSALS)


class Answered(BaseModel):
    """One picture: by its link, or as base64."""

    url: str | None = None
    b64_json: str | None = None


class Answer(BaseModel):
    """The pictures that were asked for."""

    created: int
    data: list[Answered]


_STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}  # if asked for


def _form(kind: type[Parameters], files: Mapping[str, bool]) -> dict[str, Any]:
    """Describe a form for the OpenAPI page; `files` are those in it, and whether they are required."""
    schema = kind.model_json_schema()
    for field in schema["properties"].values():
        others = [one for one in field.pop("anyOf", ()) if one != {"type": "null"}]  # which JSON alone has
        field.update(*others)
        field.pop("default", None)
    for name, required in files.items():
        schema["properties"][name] = {"type": "string", "format": "binary"}
        if required:
            schema.setdefault("required", []).append(name)
    return _described("multipart/form-data", schema)


def _described(media: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {media: {"schema": schema}}}}


@router.post(
    "/images/generations",
    response_model=Answer,
    operation_id="createImage",
    responses=_STREAMED,
    openapi_extra=_described("application/json", Generation.model_json_schema()),
)
async def generations(request: Request, principal: User) -> Response:
    """Draw pictures of a sentence."""
    service = service_of(request)
    values = contract.read_json(await request.body())
    asked = parse(Generation, values, service.settings.compat)
    size = _drawn_size(service, asked)
    draft = Draft(
        "text_to_image",
        {"prompt": asked.prompt, "n": asked.n or 1, "size": size},
        asked.n or 1,
        [asked.prompt],
        asked.side,
    )
    job = await _accepted(service, principal, request, asked, draft)
    return await _answered(service, principal, request, asked, job, "image_generation")


@router.post(
    "/images/edits",
    response_model=Answer,
    operation_id="createImageEdit",
    responses=_STREAMED,
    openapi_extra=_form(Edit, {"image": True, "mask": False}),
)
async def edits(request: Request, principal: User) -> Response:
    """Paint the hole of a picture anew, as a sentence says; all other pixels stay as they are."""
    service = service_of(request)
    asked, job = await _sent(service, principal, request, Edit, ("image", "mask"), _edit)
    return await _answered(service, principal, request, asked, job, "image_edit")


@router.post(
    "/images/variations",
    response_model=Answer,
    operation_id="createImageVariation",
    openapi_extra=_form(Variation, {"image": True}),
)
async def variations(request: Request, principal: User) -> Response:
    """Draw pictures like a given one."""
    service = service_of(request)
    asked, job = await _sent(service, principal, request, Variation, ("image",), _variation)
    return await _answered(service, principal, request, asked, job, "image_generation")


async def _sent(
    service: Service,
    principal: Principal,
    request: Request,
    kind: type[contract.P],
    files: tuple[str, ...],
    drafted: Callable[[Service, Principal, Form, contract.P], Draft],
) -> tuple[contract.P, Job]:
    """Accept a form. Its pictures are let go of here: many clients wait at once, and few are decoded."""
    form = await read_form(request, files)
    asked = parse(kind, contract.from_form(form.texts), service.settings.compat)
    draft = await service.decoding.do(drafted, service, principal, form, asked)
    return asked, await _accepted(service, principal, request, asked, draft)


def _variation(service: Service, principal: Principal, form: Form, asked: Variation) -> Draft:
    image = _upload(service, form, "image")
    check_square(image)
    parent, n = uploaded(principal, image), asked.n or 1
    settings = {"image": {"picture": parent.digest}, "n": n, "size": _drawn_size(service, asked)}
    return Draft("variations", settings, n, (), asked.side, parents=[parent], blobs=[image.data])


def _edit(service: Service, principal: Principal, form: Form, asked: Edit) -> Draft:
    image = _upload(service, form, "image")
    check_square(image)
    mask = None if form.file("mask") is None else _upload(service, form, "mask")
    parent = uploaded(principal, image)
    if mask is None and not has_hole(image.image):
        return _redrawn(service, asked, parent, image)
    return _painted(asked, parent, image, mask)


def _upload(service: Service, form: Form, name: str) -> Upload:
    data = form.file(name)
    if data is None:
        message = f"Missing required parameter: '{name}'."
        raise bad_request(message, "missing_required_parameter", name)
    return opened(data, name, service.settings.compat)


def uploaded(principal: Principal, upload: Upload) -> Picture:
    """Make an upload a picture of its owner: what is made from it names it as its parent."""
    digest, size, now = sha256(upload.data).hexdigest(), upload.image.size, time.time()
    return Picture(new_id("img"), principal.id, digest, upload.mime, *size, len(upload.data), now)


def _painted(asked: Edit, parent: Picture, upload: Upload, mask: Upload | None) -> Draft:
    hole = with_hole(upload.image, mask and mask.image, asked.mask_mode or "alpha", asked.side)
    copy = _only_copy(hole)
    digest, n = sha256(copy).hexdigest(), asked.n or 1
    return Draft(
        "edit",
        {"image": {"picture": digest}, "prompt": asked.prompt, "n": n},
        n,
        [asked.prompt],
        asked.side,
        parents=[parent],
        blobs=[upload.data, copy],
        inputs=[digest],
        body=[parent.digest, sha256(hole.tobytes()).hexdigest()],
    )


def _only_copy(image: Image.Image) -> bytes:
    """Return a PNG like no other, so that it may be deleted with its job."""
    file, chunks = BytesIO(), PngInfo()
    chunks.add_text("id", new_id("img"))
    image.save(file, "PNG", compress_level=3, pnginfo=chunks)
    return file.getvalue()


def _redrawn(service: Service, asked: Edit, parent: Picture, upload: Upload) -> Draft:
    """An opaque picture without a mask: all of it is changed towards the sentence. DALL-E 2 refused it."""
    if service.settings.compat == "strict":
        raise bad_request("Invalid input image - format must be in ['RGBA', 'LA', 'L'], got RGB.")
    n = asked.n or 1
    settings = {
        "image": {"picture": parent.digest},
        "target": asked.prompt,
        "steps": n,
        "theta": [0.3, 0.5] if n > 1 else [0.0, 0.5],
        "size": _drawn_size(service, asked),
    }
    return Draft("text_diff", settings, n, [asked.prompt], asked.side, parents=[parent], blobs=[upload.data])


def _drawn_size(service: Service, asked: Parameters) -> int:
    """Return the size that is drawn: the smallest of the model's that is as large, or its largest."""
    sizes = check_model(service, asked.model).sizes
    return min((size for size in sizes if size >= asked.side), default=max(sizes))


async def _accepted(
    service: Service, principal: Principal, request: Request, asked: Parameters, draft: Draft
) -> Job:
    about = check_model(service, asked.model)
    if draft.task not in about.tasks:
        raise bad_request(f"The model {about.name!r} cannot do this: it has no {draft.task}.", param="model")
    detached = request.query_params.get("detach", "") not in ("", "0", "false")
    user, streamed = asked.safety_identifier or asked.user, isinstance(asked, Foreign) and asked.stream
    draft = replace(draft, user=user, detached=detached, previews=bool(streamed))
    return await accept(service, principal, draft, request)


async def _answered(
    service: Service,
    principal: Principal,
    request: Request,
    asked: Parameters,
    job: Job,
    kind: Kind,
) -> Response:
    if isinstance(asked, Foreign) and asked.stream:
        return stream(service, job, kind, asked.side, asked.partial_images or 0)
    return await answer(service, principal, request, job, _format(principal, asked))


def _format(principal: Principal, asked: Parameters) -> contract.Format:
    """Links, unless the request or the key says otherwise, or the client knows only models without links."""
    own = principal.key.response_format if principal.key else None
    return asked.response_format or own or ("b64_json" if expects_b64(asked) else "url")
