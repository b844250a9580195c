"""How the server is: for whoever restarts, balances or watches it."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from unclip.server.auth import admin
from unclip.server.service import service_of

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the server lives."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "The model is being loaded."}})
async def readyz(request: Request) -> JSONResponse:
    """Say whether pictures can be drawn now."""
    dispatcher = service_of(request).dispatcher
    state = {"status": "ready" if dispatcher.ready else "loading", "waiting": dispatcher.waiting}
    return JSONResponse(state, 200 if dispatcher.ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return counts and times for Prometheus. Needs the scope admin once there are keys."""
    await admin(request)
    service = service_of(request)
    service.metrics.queue.set(service.dispatcher.waiting)
    service.metrics.ready.set(service.dispatcher.ready)
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")
