"""What is told of a job that is under way: progress, pauses, and a client's list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2i_ray.serve.images.schema import EditRequest
from p2i_ray.serve.jobs.progress import remaining
from p2i_ray.serve.jobs.schema import Estimate, JobItem, new_job
from tests.support.generator_parts import OTHER, RunningService, StubSampler, error_of, open_service
from tests.support.orders import TABLE, order, result, rows, state
from tests.support.serving import wait_until


class Stopping(StubSampler):
    """Holds from the third picture on."""

    async def paint(self, request: Any) -> Any:
        self.held = len(self.requests) >= 2
        return await super().paint(request)


def test_a_paused_job_stays_paused_over_a_restart_and_paints_nothing_again(tmp_path: Path) -> None:
    table = b"image,name,seed\n" + b"".join(b"cup.png,Cup,%d\n" % seed for seed in range(4)) + b"mug.png,Mug,4\n"
    with open_service(str(tmp_path), sampler=Stopping()) as service:
        job = order(service, table)
        wait_until(lambda: service.sampler.running == 1 and len(service.sampler.requests) == 3)
        paused = service.send("POST", f"/v1/jobs/{job['id']}/pause").json()
        assert (paused["status"], paused["done"], paused["pictures"], paused["total"]) == ("paused", 2, 2, 5)
        assert paused["remaining_s"] is not None and paused["elapsed_s"] >= 0 and service.sampler.cancelled == 0
    with open_service(str(tmp_path)) as service:  # the third was cut off by the end
        other = order(service, TABLE)
        result(service, other)
        assert state(service, job)["status"] == "paused"
        assert {request.name for request in service.sampler.requests} == {"Steel cup", "Red mug"}
        service.sampler.requests.clear()
        assert service.send("POST", f"/v1/jobs/{job['id']}/resume").json()["status"] == "running"
        assert [row["status"] for row in rows(result(service, job))] == ["done"] * 5
        assert [request.seed for request in service.sampler.requests] == [2, 3, 4]
        assert state(service, job)["status"] == "completed"
        for word in ("pause", "resume"):
            assert error_of(service.send("POST", f"/v1/jobs/{job['id']}/{word}"), 409)["code"] == "ended"


def test_what_is_being_painted_is_finished_and_a_paused_job_can_be_cancelled(tmp_path: Path) -> None:
    with open_service(str(tmp_path)) as service:
        service.sampler.held = True
        job = order(service)
        wait_until(lambda: service.sampler.running == 1)
        for _ in range(2):
            assert service.send("POST", f"/v1/jobs/{job['id']}/pause").json()["status"] == "paused"
        error_of(service.send("POST", f"/v1/jobs/{job['id']}/pause", OTHER), 404)
        service.sampler.held = False
        wait_until(lambda: state(service, job)["done"] == 1)
        assert state(service, job)["status"] == "paused" and service.sampler.cancelled == 0
        assert service.send("DELETE", f"/v1/jobs/{job['id']}").json()["status"] == "cancelled"
        assert [row["status"] for row in rows(result(service, job))] == ["done", "cancelled"]
        assert len(service.sampler.requests) == 1


def test_a_client_sees_its_own_jobs_the_newest_first(tmp_path: Path) -> None:
    with open_service(str(tmp_path), max_jobs=9) as service:
        jobs = [order(service)["id"] for _ in range(3)]
        other = order(service, token=OTHER)["id"]

        def listed(query: str = "", token: str | None = None) -> tuple[list[str], bool]:
            found = service.send("GET", f"/v1/jobs{query}", *([token] if token else [])).json()
            assert found["object"] == "list" and all("status" in one for one in found["data"])
            return [one["id"] for one in found["data"]], found["has_more"]

        assert listed() == (jobs[::-1], False) and listed(token=OTHER) == ([other], False)
        assert listed("?limit=2") == (jobs[:0:-1], True)
        assert listed(f"?limit=2&after={jobs[1]}") == (jobs[:1], False)
        assert listed("?limit=002&after=") == (jobs[:0:-1], True)  # an empty one is not given, as elsewhere
        for query in ("?limit=0", "?limit=x", "?limit=101", f"?limit={'9' * 5_000}", f"?after={other}"):
            error_of(service.send("GET", f"/v1/jobs{query}"), 400)
        error_of(service.send("GET", "/v1/jobs", None), 401)


@pytest.mark.parametrize(
    ("seconds", "workers", "expected"),
    [
        ([], 1, 90.0),  # nothing is painted yet: as was said
        ([None], 1, 60.0),  # an item of a third of the work was done by an older version
        ([30.0], 1, 60.0),
        ([30.0, 30.0], 1, 40.0),  # 60 s for 3 units, 2 are left
        ([30.0], 2, 30.0),
        ([30.0], 9, 30.0),
    ],
)  # fmt: skip
def test_remaining_seconds_worked_out_by_hand(seconds: list[float | None], workers: int, expected: float) -> None:
    """Three items of 2 units each; where two of them are done, the second has 1."""
    units = {0: 2.0, 1: 2.0, 2: 2.0} if len(seconds) != 2 else {0: 2.0, 1: 1.0, 2: 2.0}
    items = [JobItem(index=k, ask=EditRequest(prompt="Cup"), image=0, work=units[k]) for k in range(3)]
    said = Estimate(pictures=3, candidates=3, seconds=90, dollars=None, note="")
    job = new_job(b"client", items, estimate=said)
    done = [{"status": "done"} if one is None else {"status": "done", "seconds": one} for one in seconds]
    records = [*done, *[{"status": "cancelled"}] * (3 - len(done))]
    assert remaining(job, records, workers=workers) == expected
    unknown = new_job(b"client", items)
    assert remaining(unknown, [{"status": "cancelled"}] * 3, workers=workers) is None


def test_the_state_of_a_job_that_waits(service: RunningService) -> None:
    job = order(service)
    assert (job["object"], job["total"], job["pictures"], job["remaining_s"]) == ("job", 2, 0, None)
    result(service, job)
