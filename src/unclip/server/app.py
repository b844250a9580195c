"""The application: every route, around one service."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from unclip.server import errors, files, health, images, models
from unclip.server.middleware import Surroundings
from unclip.server.service import Service

STOP_SECONDS = 30.0  # for what is being drawn when the server is told to stop


def create_app(service: Service) -> FastAPI:
    """Return the application of a service, which it starts and stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await service.dispatcher.start()
        try:
            yield
        finally:
            service.events.close()
            await service.dispatcher.stop(STOP_SECONDS)
            service.closing.close()

    app = FastAPI(
        title="unclip",
        version=version("unclip"),
        summary="The DALL-E 2 API, self-hosted.",
        lifespan=lifespan,
    )
    app.state.service = service
    errors.install(app)
    for router in (images.router, models.router, files.router):
        app.include_router(router, prefix="/v1")
        app.include_router(router, include_in_schema=False)
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
