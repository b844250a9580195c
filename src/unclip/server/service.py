"""One server: all its parts in one frozen bundle, made of its settings."""

import asyncio
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field

from fastapi import Request
from sqlalchemy import Engine

from unclip.errors import RequestError
from unclip.provenance import CERTIFICATES
from unclip.provenance.certificates import signing_identity
from unclip.provenance.signing import Signer
from unclip.records.audit import Audit
from unclip.records.database import claim, open_database
from unclip.records.jobs import Jobs
from unclip.records.keys import Keys
from unclip.records.pictures import Gallery
from unclip.records.store import Store
from unclip.server.decoding import Decoding
from unclip.server.dispatcher import Dispatcher
from unclip.server.drawing import Drawing
from unclip.server.events import Events
from unclip.server.links import Links, read_secret
from unclip.server.metrics import Metrics
from unclip.server.policy.policy import Policy
from unclip.server.policy.words import WordFile
from unclip.server.settings import LOOPBACK, Settings


@dataclass(frozen=True)
class Service:
    """What every endpoint works with."""

    settings: Settings
    jobs: Jobs
    gallery: Gallery
    keys: Keys
    audit: Audit
    store: Store
    links: Links
    policy: Policy
    charging: defaultdict[str, asyncio.Lock]  # of each key: what it has left is looked at and taken in one
    events: Events
    metrics: Metrics
    dispatcher: Dispatcher
    closing: ExitStack  # gives back the database
    decoding: Decoding = field(default_factory=Decoding)


def open_service(settings: Settings) -> Service:
    """Open database, store and certificates. Raises RequestError for what cannot be opened or is not safe."""
    with ExitStack() as closing:  # of what is open already, if something else cannot be
        database = open_database(settings.database)
        closing.callback(database.dispose)
        closing.enter_context(claim(database))
        return _service(settings, database, closing)


def _service(settings: Settings, database: Engine, closing: ExitStack) -> Service:
    jobs, gallery, keys = Jobs(database), Gallery(database), Keys(database)
    _check_safe(settings, keys)
    store, events, metrics = Store(settings.store), Events(first=time.time_ns() // 1000), Metrics()
    drawing = Drawing(store, gallery, _signer(settings), settings.visible_signature, settings.omit_prompt)
    audit = Audit(database)
    dispatcher = Dispatcher(
        jobs, audit, drawing, events, metrics, settings.choices(), settings.slots, settings.queue_limit
    )
    return Service(
        settings,
        jobs,
        gallery,
        keys,
        audit,
        store,
        Links(read_secret(settings.home / "secret")),
        _policy(settings),
        defaultdict(asyncio.Lock),
        events,
        metrics,
        dispatcher,
        closing.pop_all(),
    )


def service_of(request: Request) -> Service:
    """Return the service that a request came to."""
    return request.app.state.service


def _check_safe(settings: Settings, keys: Keys) -> None:
    """Raise RequestError if others than this machine could ask without a key, as a proxy's clients."""
    if settings.insecure or keys.any_live():
        return
    if settings.host not in LOOPBACK or settings.public_url is not None or settings.trusted_proxies:
        where = settings.host if settings.host not in LOOPBACK else settings.public_url or "a proxy"
        raise RequestError(
            f"{where} can be reached from elsewhere and there is no key yet: make one with"
            " `unclip keys create NAME`, or give --insecure to serve everybody"
        )


def _signer(settings: Settings) -> Signer | None:
    if not settings.sign:
        return None
    identity = signing_identity(settings.home / CERTIFICATES, settings.certificate, settings.certificate_key)
    return Signer(identity)


def _policy(settings: Settings) -> Policy:
    words = WordFile(settings.home / "policy" / "words.txt")
    return Policy(settings.policy, words, settings.moderation_url, settings.moderation_key)
