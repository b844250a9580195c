"""The native API: jobs that outlive their clients, and the images, collections and events around them."""

from fastapi import APIRouter

from unclip.server.native import collections, events, images, jobs, usage

router = APIRouter(prefix="/api")
for _part in (jobs, events, images, collections, usage):
    router.include_router(_part.router)
