"""The models that this server answers to."""

import re
import time
from typing import Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from unclip.engine.messages import About
from unclip.server.auth import user
from unclip.server.errors import REFUSALS, ApiError, bad_request, overloaded
from unclip.server.service import Service, service_of

ALIAS = "dall-e-2"
_STARTED = int(time.time())

LOADING_SECONDS = 60.0  # that a request waits for the model


async def loaded(request: Request) -> None:
    """Wait for the model. Raises ApiError if that takes too long."""
    if not await service_of(request).dispatcher.known(LOADING_SECONDS):
        raise overloaded("The model is being loaded: ask again.", retry_after=5)


router = APIRouter(tags=["models"], dependencies=[Depends(user), Depends(loaded)], responses=REFUSALS)


class Model(BaseModel):
    """A model, as OpenAI's API lists it."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "unclip"
    shutdown_date: str | None = None


class Models(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


@router.get("/models", operation_id="listModels")
async def models(request: Request) -> Models:
    """List the loaded model, and the name dall-e-2 for it."""
    return Models(data=[Model(id=name, created=_STARTED) for name in names(service_of(request))])


@router.get("/models/{model}", operation_id="retrieveModel")
async def model(request: Request, model: str) -> Model:
    """Describe a model."""
    if model not in names(service_of(request)):
        raise ApiError(404, f"The model '{model[:80]}' does not exist", code="model_not_found", param="model")
    return Model(id=model, created=_STARTED)


def names(service: Service) -> list[str]:
    """Return what the model is called: by its own name first."""
    own = re.sub(r"[^a-z0-9.]+", "-", about_of(service).name.lower()).strip("-") or "unclip"
    return [own, ALIAS] if service.settings.alias and own != ALIAS else [own]


def about_of(service: Service) -> About:
    """Return what is known of the model, which is loaded."""
    assert service.dispatcher.about is not None
    return service.dispatcher.about


def check_model(service: Service, name: str | None) -> About:
    """Return the model of a name; None is the one there is. Raises ApiError for another."""
    if name is not None and name not in names(service):
        raise bad_request(f"The model '{name[:80]}' does not exist", "model_not_found", "model")
    return about_of(service)
