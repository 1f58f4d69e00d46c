"""Quotas: pictures a day, counted once, over restarts and from many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from p2i_ray.errors import UserError
from p2i_ray.serve.edge.backpressure import Overloaded
from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.edge.quota import DAY_S, Quota
from tests.support.generator_parts import OTHER, TOKEN, cutout, error_of, open_service
from tests.support.orders import order, result
from tests.support.serving import wait_until

NOON = 20_000 * DAY_S + DAY_S / 2  # 4 October 2024


class Clock:
    now = NOON

    def __call__(self) -> float:
        return self.now


def quota(folder: Path, per_day: int | None = 10, clock: Clock | None = None, failed: list[str] | None = None) -> Quota:
    told: list[str] = [] if failed is None else failed
    return Quota(folder / "usage", per_day, failed=lambda error: told.append(str(error)), clock=clock or Clock())


def test_a_client_beyond_its_quota_waits_until_midnight(tmp_path: Path) -> None:
    clock = Clock()
    own = quota(tmp_path, clock=clock)
    own.take(b"a", 6)
    own.take(b"b", 10)
    with pytest.raises(APIError) as refused:
        own.take(b"a", 5)
    assert refused.value.status == 429 and refused.value.headers["Retry-After"] == str(DAY_S // 2)
    assert "quota of 10 a day, of which 6 are used" in refused.value.message
    own.take(b"a", 4)  # what was refused isn't counted
    clock.now += DAY_S / 2 - 1
    with pytest.raises(APIError):
        own.take(b"a", 1)
    clock.now += 1
    own.take(b"a", 3)
    with pytest.raises(APIError, match="more than your quota of 10 a day; ask for fewer") as never:
        own.take(b"a", 11)
    assert never.value.status == 400
    assert quota(tmp_path, clock=clock).usage(b"a") == {
        "object": "usage",
        "day": "2024-10-05",
        "pictures": 3,
        "limit": 10,
        "remaining": 7,
        "resets": 20_002 * DAY_S,
        "days": [{"day": "2024-10-05", "pictures": 3}, {"day": "2024-10-04", "pictures": 10}],
    }
    clock.now += 32 * DAY_S
    own.take(b"a", 1)
    assert [one["pictures"] for one in own.usage(b"a")["days"]] == [1]  # old days go


def test_no_picture_is_lost_or_counted_twice_by_threads(tmp_path: Path) -> None:
    owns = [quota(tmp_path, 30), quota(tmp_path, 30)]  # as in two processes

    def take(number: int) -> int:
        try:
            owns[number % 2].take(b"a", 1)
        except APIError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(50))) == 30
    assert owns[0].usage(b"a")["pictures"] == 30


def test_a_job_is_counted_once_and_settled_once(tmp_path: Path) -> None:
    clock = Clock()
    own = quota(tmp_path, clock=clock)
    for _ in range(2):
        own.take(b"a", 8, "job_1")
    clock.now += DAY_S  # it ends on the next day: what is given back is of the day on which it was taken
    own.take(b"a", 2)
    for _ in range(2):
        quota(tmp_path, clock=clock).settle("job_1", 3)
    own.settle("job_2", 0)
    assert [one["pictures"] for one in own.usage(b"a")["days"]] == [2, 3]


def test_what_can_not_be_counted(tmp_path: Path) -> None:
    told: list[str] = []
    free, limited = quota(tmp_path, None, failed=told), quota(tmp_path, 5)
    (tmp_path / "usage").unlink()
    (tmp_path / "usage").mkdir()
    free.take(b"a", 1)
    assert len(told) == 1 and "can't be counted" in told[0]
    with pytest.raises(OSError, match="can't be counted"):
        limited.take(b"a", 1)
    (tmp_path / "no database").write_bytes(b"x" * 5_000)
    for place in (tmp_path / "usage", tmp_path / "no database"):
        with pytest.raises(UserError, match="where pictures are counted, can't be used"):
            Quota(place, None, failed=print)


@pytest.mark.parametrize("per_day", [6, None])
def test_a_file_that_is_removed_while_the_service_runs_begins_anew(tmp_path: Path, per_day: int | None) -> None:
    with open_service(str(tmp_path), settings={"quotas": {"pictures_per_day": per_day}}) as service:
        service.sampler.held = True
        job = order(service)
        (tmp_path / "usage.sqlite3").unlink()
        assert service.send("GET", "/v1/usage").json()["pictures"] == 0
        service.sampler.held = False
        result(service, job)  # what was held for it is gone: nothing is given back
        assert service.edit(n=2).status_code == 200
        assert service.send("GET", "/v1/usage").json()["pictures"] == 2


def test_without_a_quota_a_broken_file_keeps_no_result_back(tmp_path: Path) -> None:
    with open_service(str(tmp_path)) as service:
        for content in (b"x" * 5_000, None):  # no database; a folder
            (tmp_path / "usage.sqlite3").unlink()
            if content is None:
                (tmp_path / "usage.sqlite3").mkdir()
            else:
                (tmp_path / "usage.sqlite3").write_bytes(content)
            result(service, order(service))


def test_requests_and_jobs_of_a_token(tmp_path: Path) -> None:
    settings = {"quotas": {"pictures_per_day": 6}}
    with open_service(str(tmp_path), settings=settings) as service:
        assert service.edit(n=2).status_code == 200
        service.sampler.fault = Overloaded(1)
        error_of(service.edit(n=2), 429)  # what fails is given back
        service.sampler.fault = None
        job = order(service, n="2")
        refused = service.edit(best_of=1)
        assert error_of(refused, 429)["code"] == "quota_exceeded" and 0 < int(refused.headers["retry-after"]) <= DAY_S
        assert order(service, status=429)["code"] == "quota_exceeded"
        assert order(service, status=400, n="4")["code"] == "quota_exceeded"
        assert service.send("GET", "/v1/usage", OTHER).json()["pictures"] == 0
        result(service, job)
    with open_service(str(tmp_path), settings=settings) as service:
        usage = service.send("GET", "/v1/usage").json()
        assert (usage["pictures"], usage["limit"], usage["remaining"]) == (6, 6, 0)
        error_of(service.edit(), 429)
        assert len(list(tmp_path.glob("job_*"))) == 1 and not service.sampler.requests
        error_of(service.send("GET", "/v1/usage", None), 401)
    assert TOKEN.encode() not in (tmp_path / "usage.sqlite3").read_bytes()


def test_a_request_that_is_answered_too_late_is_given_back(tmp_path: Path) -> None:
    with open_service(str(tmp_path), settings={"quotas": {"pictures_per_day": 9}}, answer_s=0.5) as service:
        service.sampler.held = True
        assert error_of(service.edit(best_of=8), 503)["code"] == "timeout"
        assert service.send("GET", "/v1/usage").json()["pictures"] == 0


def test_a_request_that_its_client_gives_up_stays_counted(tmp_path: Path) -> None:
    with open_service(str(tmp_path), settings={"quotas": {"pictures_per_day": 9}}) as service:
        service.sampler.held = True
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{service.url}/v1/images/edits",
                headers={"Authorization": f"Bearer {TOKEN}"},
                files={"image": cutout()},
                data={"prompt": "Cup", "best_of": "2"},
                timeout=1,
            )
        wait_until(lambda: service.sampler.cancelled == 2)
        assert service.send("GET", "/v1/usage").json()["pictures"] == 2


def test_what_a_cancelled_job_did_not_paint_is_given_back(tmp_path: Path) -> None:
    with open_service(str(tmp_path), settings={"quotas": {"pictures_per_day": 9}}) as service:
        service.sampler.held = True
        job = order(service, n="2")
        wait_until(lambda: service.sampler.running > 0)
        assert service.send("GET", "/v1/usage").json()["pictures"] == 4
        service.send("DELETE", f"/v1/jobs/{job['id']}")
        result(service, job)
        assert service.send("GET", "/v1/usage").json()["pictures"] == 0


def test_without_a_quota_pictures_are_counted_and_not_limited(tmp_path: Path) -> None:
    with open_service(str(tmp_path)) as service:
        assert service.edit(best_of=3).status_code == 200
        usage = service.send("GET", "/v1/usage").json()
        assert (usage["pictures"], usage["limit"], usage["remaining"]) == (3, None, None)
