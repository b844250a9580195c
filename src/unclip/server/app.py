"""The application: every route, around one service."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from unclip.server import errors, files, health, images, models, native, retention
from unclip.server.middleware import Surroundings
from unclip.server.service import Service

STOP_SECONDS = 30.0  # for what is being drawn when the server is told to stop


def _operation_id(route: Any) -> str:  # an APIRoute, or what FastAPI has in its place
    """Return an endpoint's name as OpenAI's are written: list_jobs is listJobs."""
    return re.sub("_(.)", lambda match: match[1].upper(), route.name)


def create_app(service: Service) -> FastAPI:
    """Return the application of a service, which it starts and stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        try:
            async with retention.cleaning(service):
                await service.dispatcher.start()
                yield
        finally:
            service.events.close()
            await service.dispatcher.stop(STOP_SECONDS)
            service.closing.close()

    app = FastAPIOffline(
        redoc_url=None,
        title="unclip",
        version=version("unclip"),
        summary="The DALL-E 2 API, self-hosted.",
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.service = service
    errors.install(app)
    for router in (images.router, models.router, files.router):
        app.include_router(router, prefix="/v1")
        app.include_router(router, include_in_schema=False)
    app.include_router(native.router)
    app.include_router(health.router)
    if service.settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.cors),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after"],
        )
    app.add_middleware(Surroundings, metrics=service.metrics)
    return app
