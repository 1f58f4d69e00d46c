"""Time and price said before the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config.serve import ServeConfig
from p2i_ray.diffusion.sampling.request import work
from p2i_ray.serve.images.protocol import PaintingTime
from p2i_ray.serve.images.schema import EditRequest
from p2i_ray.serve.jobs.quote import estimate
from p2i_ray.serve.jobs.schema import JobItem
from tests.support.generator_parts import RunningService, StubSampler, cutout, open_service
from tests.support.orders import order, result, state

WORK = work(64, 64, 7, 3.0)
TABLE = b"image,name,n,best_of\ncup.png,Cup,2,4\nmug.png,Mug,1,\n"


def test_figures_worked_out_by_hand(tmp_path: Path) -> None:
    """Five candidates of 2 s each at 36 dollars an hour, a cent a second."""
    sampler = StubSampler(pace=2 / WORK)
    with open_service(str(tmp_path), sampler=sampler, settings={"dollars_per_hour": 36}) as service:
        quote = order(service, TABLE, to="/v1/jobs/quote", status=200)
        assert (quote["items"], quote["pictures"], quote["candidates"], quote["unnamed_files"]) == (2, 3, 5, 0)
        assert quote["seconds"] == 10 and quote["dollars"] == 0.1 and "the judge's time for best_of" in quote["note"]
        assert order(service, TABLE, to="/v1/jobs/quote", status=200, sizes="64x64,64x128")["seconds"] == 30
        assert order(service, TABLE, to="/v1/jobs/quote", status=200, max_dollars="0.01") == quote  # it is told anyway
        assert not sampler.requests and not list(tmp_path.glob("job_*"))
        error = order(service, TABLE, status=400, max_dollars="0.09")
        assert error["code"] == "too_expensive" and "about 0.1 dollars, and max_dollars is 0.09" in error["message"]
        assert not list(tmp_path.glob("job_*"))
        sampler.held = True
        job = order(service, TABLE, max_dollars="0.1")
        said = state(service, job)
        assert said["estimate"] == {name: quote[name] for name in said["estimate"]} and said["remaining_s"] == 10
        sampler.held = False
        result(service, job)
        assert state(service, job)["remaining_s"] == 0


def test_crops_are_pictures_and_what_accept_takes_is_at_most(tmp_path: Path) -> None:
    table = b'image,name,crops,accept,n\ncup.png,Cup,"1:1, 4:5",,2\nmug.png,Mug,,approved,1\n'
    with open_service(str(tmp_path), sampler=StubSampler(pace=1e-6), max_candidates=6) as service:
        quote = order(service, table, to="/v1/jobs/quote", status=200)
        assert (quote["pictures"], quote["candidates"]) == (2 * 2 + 1, 2 + 4)
        assert "the judge's time for best_of and accept=approved" in quote["note"]
        assert "as if all candidates were painted" in quote["note"]


def test_what_isnt_known_is_null_and_said(service: RunningService) -> None:
    quote = order(service, to="/v1/jobs/quote", status=200)
    assert quote["seconds"] is None and quote["dollars"] is None
    assert quote["note"].startswith("the time isn't known") and "no serve.dollars_per_hour" in quote["note"]
    error = order(service, status=409, max_dollars="5")
    assert error["code"] == "price_unknown" and error["param"] == "max_dollars"
    service.sampler.pace = 1e-6
    quote = order(service, to="/v1/jobs/quote", status=200)
    assert quote["seconds"] == round(2 * WORK * 1e-6, 2) and quote["dollars"] is None
    assert order(service, status=409, max_dollars="5")["message"] == (
        "max_dollars can't be held: the price isn't known: this server has no serve.dollars_per_hour; leave it out"
    )


@pytest.mark.parametrize("amount", ["x", "-1", "nan", "inf"])
def test_amounts_that_are_none(service: RunningService, amount: str) -> None:
    assert order(service, status=400, max_dollars=amount)["message"].startswith("max_dollars must be a number")


def test_a_quote_may_come_without_pictures_but_not_with_others(service: RunningService) -> None:
    assert order(service, files={}, to="/v1/jobs/quote", status=200)["pictures"] == 2
    error = order(service, files={"cup.png": cutout()}, to="/v1/jobs/quote", status=400)
    assert error["message"] == "table line 3: image names no file of this request"
    assert order(service, b"image,nam\n", to="/v1/jobs/quote", status=400)["param"] == "table"
    assert order(service, files={}, status=400)["param"] == "table.image"  # an order may not
    assert order(service, to="/v1/jobs/quote", status=400, webhook="https://x.example/")["param"] == "webhook"
    assert not service.sampler.requests


def test_items_painted_together_share_batches_and_replicas() -> None:
    class Filling(StubSampler):
        """Two replicas whose batches take 8 s however many of their 4 places are taken."""

        def time_of(self, images: int, work: float) -> PaintingTime:
            replicas = min(2, images)
            return PaintingTime(8.0 * -(-images // (4 * replicas)), replicas)

    items = [JobItem(index=k, ask=EditRequest(prompt="Cup", n=2), image=0, work=1.0) for k in range(6)]

    def figures(workers: int) -> tuple[float | None, float | None]:
        said = estimate(items, Filling(), workers=workers, dollars_per_hour=3600)
        return said.seconds, said.dollars

    assert figures(1) == (48, 96)  # six times a batch on both replicas
    assert figures(4) == (12, 24)  # one and a half times: four items at a time
    assert figures(100) == (16, 32)  # six items at once are twelve images, two batches a replica
    assert ServeConfig().dollars_per_hour is None
