"""Images and jobs as the native API tells them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from unclip.records import jobs, pictures
from unclip.server.answering import link
from unclip.server.errors import ApiError
from unclip.server.service import Service

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Before = Annotated[str | None, Query(max_length=64, description="The `next` of the page before.")]
Time = Annotated[float, Field(description="Unix seconds.")]


class Image(BaseModel):
    """A picture that a job made, or an upload."""

    id: str
    job: str | None = Field(description="null: an upload.")
    index: int = Field(description="Which of its job's pictures.")
    url: str = Field(description="Opens without a key, for 60 minutes.")
    mime: str
    width: int
    height: int
    created: Time
    prompt: str | None
    seed: int | None
    parent: str | None = Field(description="The image that it was made from, perhaps deleted since.")
    favourite: bool
    about: dict[str, Any] = Field(description="The request that makes it, as its file tells it.")


class JobError(BaseModel):
    """Why a job has failed."""

    status: int = Field(description="Of HTTP, as the request would have been answered.")
    message: str
    type: str
    param: str | None
    code: str | None


class Job(BaseModel):
    """A task in the queue, under way, or ended."""

    id: str
    task: str
    state: jobs.State
    request: dict[str, Any] = Field(description="The task's fields, pictures by their ids.")
    n: int = Field(description="How many pictures, each of which counts against the quota.")
    created: Time
    started: Time | None
    finished: Time | None
    priority: int
    position: int | None = Field(description="How many are before it in the queue; null unless queued.")
    error: JobError | None
    notes: dict[str, Any] = Field(description="Such as words that the model never saw.")
    images: list[Image]


def not_found(what: str, id: str, param: str | None = None) -> ApiError:
    """Return a 404, the same for what there is not and what is another's."""
    return ApiError(404, f"There is no {what} {id[:64]!r}.", code="not_found", param=param)


def image_of(service: Service, request: Request, picture: pictures.Picture) -> Image:
    """Tell a picture."""
    told = {name: value for name, value in vars(picture).items() if name in Image.model_fields}
    return Image(url=link(service, request, picture), **told)


async def job_of(service: Service, request: Request, job: jobs.Job) -> Job:
    """Tell a job."""
    return (await jobs_of(service, request, [job]))[0]


async def jobs_of(service: Service, request: Request, found: Sequence[jobs.Job]) -> list[Job]:
    """Tell jobs, with the pictures of those that are done."""
    done = [job.id for job in found if job.state == "done"]
    made = await run_in_threadpool(lambda: {id: service.gallery.of_job(id) for id in done})
    positions = service.dispatcher.positions() if any(job.state == "queued" for job in found) else {}
    return [
        Job(
            position=positions.get(job.id, 0) if job.state == "queued" else None,
            request=_request(job),
            images=[image_of(service, request, picture) for picture in made.get(job.id, ())],
            error=None if job.error is None else JobError(**job.error),
            **_facts(job),
        )
        for job in found
    ]


_TOLD = Job.model_fields.keys() & {field.name for field in fields(jobs.Job)} - {"request", "error"}


def _facts(job: jobs.Job) -> Mapping[str, Any]:
    return {name: getattr(job, name) for name in _TOLD}


def _request(job: jobs.Job) -> dict[str, Any]:
    """Return what was asked for, so that it can be asked again: with ids in the place of digests."""
    ids, parents = job.request.get("pictures", {}), job.request.get("parents", ())

    def told(value: Any) -> Any:
        if isinstance(value, dict):  # a picture; a copy for this job alone was made of the first parent
            return {"picture": ids.get(value["picture"], next(iter(parents), None))}
        return [told(part) for part in value] if isinstance(value, list) else value

    said = {name: told(value) for name, value in job.request["settings"].items()}
    return said | {name: said[name]["picture"] for name in ("image", "mask") if name in said}
