"""What operators watch, in Prometheus's words."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from unclip.engine.messages import Called
from unclip.records.jobs import Job

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ROWS = (1, 2, 4, 8, 16, 32)


class Metrics:
    """One server's counts."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "unclip_http_requests", "Answers, by route.", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "unclip_http_request_seconds", "Time to answer.", ["route"], registry=registry, buckets=_SECONDS
        )
        self.jobs = Counter("unclip_jobs", "Jobs that ended.", ["task", "state"], registry=registry)
        self.pictures = Counter("unclip_pictures", "Pictures made.", registry=registry)
        self.wait_seconds = Histogram(
            "unclip_job_wait_seconds", "Time in the queue.", registry=registry, buckets=_SECONDS
        )
        self.draw_seconds = Histogram(
            "unclip_job_draw_seconds", "Time from the queue to the end.", registry=registry, buckets=_SECONDS
        )
        self.call_seconds = Histogram(
            "unclip_network_call_seconds",
            "Time of a network call.",
            ["stage"],
            registry=registry,
            buckets=_CALL_SECONDS,
        )
        self.call_rows = Histogram(
            "unclip_network_call_rows", "Rows of a network call.", ["stage"], registry=registry, buckets=_ROWS
        )
        self.call_jobs = Histogram(
            "unclip_network_call_jobs",
            "Jobs that a network call answers.",
            ["stage"],
            registry=registry,
            buckets=_ROWS,
        )
        self.refused = Counter(
            "unclip_refused", "Requests refused by limit or policy.", ["code"], registry=registry
        )
        self.deaths = Counter("unclip_engine_deaths", "Processes that ended unasked.", registry=registry)
        self.queue = Gauge("unclip_queue_jobs", "Jobs in the queue.", registry=registry)
        self.ready = Gauge("unclip_ready", "1 if a process can draw.", registry=registry)

    def called(self, call: Called) -> None:
        """Count a network call."""
        self.call_seconds.labels(call.stage).observe(call.seconds)
        self.call_rows.labels(call.stage).observe(call.rows)
        self.call_jobs.labels(call.stage).observe(call.jobs)

    def began(self, job: Job) -> None:
        """Count the time that a job has waited."""
        self.wait_seconds.observe(max(0.0, time.time() - job.created))

    def ended(self, job: Job) -> None:
        """Count a job's end."""
        self.jobs.labels(job.task, job.state).inc()
        if job.state == "done":
            self.pictures.inc(job.n)
        if job.started is not None and job.finished is not None:
            self.draw_seconds.observe(max(0.0, job.finished - job.started))

    def text(self) -> bytes:
        """Return all of it, as Prometheus reads it."""
        return generate_latest(self.registry)
