"""Between a job and its pictures: what the engine is given to draw, and how what it drew is kept."""

import time
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from PIL import Image

from unclip.engine.messages import About, Done, Pixels, Run
from unclip.imagefiles import SourceType, encoded
from unclip.provenance.manifest import Manifest, Parent
from unclip.provenance.signature import with_signature
from unclip.provenance.signing import Signer
from unclip.records.jobs import Job
from unclip.records.names import new_id
from unclip.records.pictures import Gallery, Picture
from unclip.records.store import Store
from unclip.server.uploads import upright

PAINTED = ("edit", "outpaint")  # tasks that keep a part of the picture that they are given


class Drawing:
    """Reads what jobs need from the store, and puts their pictures there. Threads may share it."""

    def __init__(
        self,
        store: Store,
        gallery: Gallery,
        signer: Signer | None,
        visible_signature: bool,
        omit_prompt: bool,
    ) -> None:
        self._store = store
        self._gallery = gallery
        self._signer = signer
        self._visible_signature = visible_signature
        self._omit_prompt = omit_prompt

    def to_draw(self, job: Job, previews: bool) -> Run:
        """Return what an engine is told. Raises RequestError if a picture that it needs is gone."""
        settings = job.request["settings"]
        pictures = {digest: self._pixels(digest) for digest in _pictures_in(settings)}
        return Run(job.id, job.task, settings, pictures, previews)

    def _pixels(self, digest: str) -> Pixels:
        with Image.open(BytesIO(self._store.get(digest))) as image:
            return Pixels.of(upright(image))

    def keep(self, job: Job, done: Done, about: About) -> list[Picture]:
        """Finish a job's pictures and put them into the store: sized, labelled, and signed last."""
        parents = [self._gallery.get(id) for id in job.request.get("parents", ())]
        kept = [parent for parent in parents if parent is not None]
        return [
            self._keep(job, k, pixels.image(), {**request, **_maker(about)}, kept)
            for k, (pixels, request) in enumerate(zip(done.pictures, done.requests, strict=True))
        ]

    def _keep(
        self,
        job: Job,
        index: int,
        image: Image.Image,
        request: Mapping[str, Any],
        parents: Sequence[Picture],
    ) -> Picture:
        side = job.request.get("side")
        if side is not None and image.size != (side, side):
            image = image.resize((side, side), Image.Resampling.LANCZOS)
        if self._visible_signature:
            image = with_signature(image)
        said = {name: value for name, value in request.items() if not self._omit_prompt or name not in _WORDS}
        id, source_type = new_id("img"), _source_type(job.task)
        data = encoded(image, "PNG", said, source_type)
        if self._signer is not None:
            manifest = Manifest(
                id,
                source_type,
                "c2pa.edited" if job.task in PAINTED and parents else "c2pa.created",
                request["version"],
                request["model"],
                tuple(Parent(self._store.get(p.digest), p.mime, p.id) for p in parents),
                request["model_hash"],
            )
            data = self._signer.sign(data, "image/png", manifest)
        return Picture(
            id,
            job.owner,
            self._store.put(data),
            "image/png",
            *image.size,
            len(data),
            time.time(),
            job=job.id,
            index=index,
            prompt=request.get("prompt") or request.get("target"),
            seed=request.get("seed"),
            parent=parents[0].id if parents else None,
            about=dict(request),
        )

    def forget_inputs(self, job: Job) -> None:
        """Delete what was stored for this job alone."""
        for digest in job.request.get("inputs", ()):
            self._store.delete(digest)


_WORDS = ("prompt", "negative", "target", "source", "a", "b", "parts")  # settings that hold sentences


def _pictures_in(value: Any) -> set[str]:
    """Return the digests of all pictures that settings name."""
    if isinstance(value, dict):
        if set(value) == {"picture"}:
            return {value["picture"]}
        value = list(value.values())
    return set[str]().union(*map(_pictures_in, value)) if isinstance(value, list) else set()


def _source_type(task: str) -> SourceType:
    return "compositeWithTrainedAlgorithmicMedia" if task in PAINTED else "trainedAlgorithmicMedia"


def _maker(about: About) -> dict[str, str]:
    return {"model": about.name, "model_hash": about.hash, "version": about.version}
