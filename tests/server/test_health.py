from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families
from served import Served, error_of
from stub_engine import Engines, until

Serve = Callable[..., Served]


def test_a_server_lives_before_it_is_ready(serve: Serve, engines: Engines) -> None:
    engines.loaded.clear()
    served = serve()
    assert served.client.get("/healthz").json() == {"status": "ok"}
    response = served.client.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"status": "loading", "waiting": 0})
    engines.loaded.set()
    until(lambda: served.client.get("/readyz").status_code == 200)
    assert served.client.get("/readyz").json() == {"status": "ready", "waiting": 0}


def test_a_server_whose_process_has_died_is_not_ready(served: Served) -> None:
    until(lambda: served.client.get("/readyz").status_code == 200)
    served.engines.loaded.clear()
    served.engines.begun[0].die()
    until(lambda: served.client.get("/readyz").status_code == 503)
    assert served.client.get("/healthz").status_code == 200
    served.engines.loaded.set()
    until(lambda: served.client.get("/readyz").status_code == 200)


def test_what_is_counted_is_told_in_prometheuss_words(served: Served) -> None:
    assert served.draw(n=2).status_code == 200
    served.client.get("/nowhere")
    response = served.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert samples[("unclip_pictures_total", ())] == 2
    assert samples[("unclip_ready", ())] == 1
    assert samples[("unclip_queue_jobs", ())] == 0
    drawn = (("method", "POST"), ("route", "/v1/images/generations"), ("status", "200"))
    assert samples[("unclip_http_requests_total", drawn)] == 1
    nowhere = (("method", "GET"), ("route", "other"), ("status", "404"))
    assert samples[("unclip_http_requests_total", nowhere)] == 1


def test_counts_are_for_administrators(served: Served) -> None:
    _, images = served.service.keys.create("alice")
    _, admin = served.service.keys.create("root", scopes=("admin",))
    for secret, status in ((images, 403), (admin, 200), ("sk-wrong", 401)):
        response = served.client.get("/metrics", headers={"authorization": f"Bearer {secret}"})
        assert response.status_code == status
        if status != 200:
            error_of(response)
