"""Idempotency keys: one job for a submission, however often and from however many threads it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.edge.forms import Form
from p2i_ray.serve.images.protocol import PaintedImage
from p2i_ray.serve.jobs.idempotency import HEADER, digest, job_id, read_key
from tests.support.generator_parts import OTHER, TOKEN, RunningService, StubSampler, cutout, error_of, open_service
from tests.support.orders import TABLE, order, result, rows, state
from tests.support.serving import wait_until
from tests.support.webhook_receiver import SECRET, receiver

KEY = "5f0c7a52-0d1c-4c8e-9a44-0a2b6a1f9a11"


def test_the_same_order_again_gives_the_same_job_over_a_restart(tmp_path: Path) -> None:
    with open_service(str(tmp_path)) as service:
        first = order(service, key=KEY)
        result(service, first)
        again = order(service, key=KEY, status=200)
        assert again["id"] == first["id"] and again["status"] == "completed"
        assert order(service)["id"] != first["id"] and order(service, key=KEY, token=OTHER)["id"] != first["id"]
    with open_service(str(tmp_path)) as service:
        painted = {row["pictures"][0]["seed"] for row in rows(result(service, first))}
        assert order(service, key=KEY, status=200)["id"] == first["id"]
        assert not painted & {request.seed for request in service.sampler.requests}
        assert service.send("DELETE", f"/v1/jobs/{first['id']}").json()["status"] == "deleted"
        assert state(service, order(service, key=KEY))["id"] == first["id"]  # it may be ordered anew


def test_other_content_under_a_key_is_refused(service: RunningService) -> None:
    order(service, key="other-content")
    swapped = {"mug.png": cutout(), "cup.png": cutout()}
    assert order(service, files=swapped, key="other-content", status=200)
    for texts in ({"steps": "3"}, {"sizes": "64x64"}):
        error = order(service, key="other-content", status=409, **texts)
        assert error["code"] == "idempotency_key_reused" and error["param"] == HEADER
    assert order(service, TABLE + b"cup.png,Vase\n", key="other-content", status=409)
    assert order(service, b"", key="other-content", status=409)  # also what would be refused by itself
    other = {"cup.png": cutout(colour=(200, 40, 31)), "mug.png": cutout()}
    assert order(service, files=other, key="other-content", status=409)


def test_a_refused_order_does_not_take_its_key(service: RunningService) -> None:
    order(service, b"image,nam\n", key="refused-first", status=400)
    order(service, key="refused-first")


@pytest.mark.parametrize("services", [1, 2])
def test_concurrent_duplicates_are_one_job(tmp_path: Path, services: int) -> None:
    """Sent to one process, and to two on one folder."""
    with open_service(str(tmp_path)) as first, open_service(str(tmp_path)) as second:
        places = [first, second][:services]

        def send(number: int) -> tuple[int, str]:
            parts = {"table": ("t", TABLE), "cup.png": ("c", cutout()), "mug.png": ("m", cutout())}
            headers = {HEADER: KEY}
            answer = places[number % services].send("POST", "/v1/jobs", files=parts, headers=headers)
            return answer.status_code, answer.json()["id"]

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(send, range(4)))
        assert len({name for _, name in answers}) == 1
        assert sorted(status for status, _ in answers) == [200, 200, 200, 202]
        result(first, {"id": answers[0][1]})
        assert len(first.sampler.requests) + len(second.sampler.requests) == 2
        assert first.send("GET", "/v1/usage").json()["pictures"] == 2


def test_a_known_order_is_answered_when_no_further_job_may_be_sent(tmp_path: Path) -> None:
    with open_service(str(tmp_path), max_jobs=1) as service:
        service.sampler.held = True
        job = order(service, key=KEY)
        order(service, key="another", status=429)
        assert order(service, key=KEY, status=200)["id"] == job["id"]
        service.sampler.held = False


def test_keys() -> None:
    assert read_key(Headers({})) is None and read_key(Headers({HEADER: "a b"})) == "a b"
    for raw in ([(b"idempotency-key", b"")], [(b"idempotency-key", b"a" * 256)], [(b"idempotency-key", b"\xe9")],
                [(b"idempotency-key", b"a"), (b"idempotency-key", b"b")]):  # fmt: skip
        with pytest.raises(APIError, match="255 ASCII characters"):
            read_key(Headers(raw=raw))
    assert job_id(b"a", "b") != job_id(b"b", "b") != job_id(b"b", "a")


def test_digests_tell_texts_files_and_their_bounds_apart() -> None:
    forms = [
        Form({"a": "bc"}, {}),
        Form({"ab": "c"}, {}),
        Form({}, {"a": [b"bc"]}),
        Form({}, {"a": [b"b", b"c"]}),
        Form({"a": "b", "c": "d"}, {}),
        Form({"a": "d", "c": "b"}, {}),
        Form(),
    ]
    assert len({digest(form) for form in forms}) == len(forms)
    assert digest(Form({"a": "b", "c": "d"})) == digest(Form({"c": "d", "a": "b"}))


def call_off(service: RunningService, key: str | None, token: str = TOKEN) -> httpx.Response:
    return service.send("POST", "/v1/jobs/cancel", token, headers={HEADER: key} if key else {})


def test_an_order_is_cancelled_by_its_key(service: RunningService) -> None:
    service.sampler.held = True
    job = order(service, key="called-off")
    assert error_of(call_off(service, "called-off", OTHER), 404)["code"] == "not_found"
    called_off = call_off(service, "called-off").json()
    assert (called_off["id"], called_off["status"]) == (job["id"], "cancelled")
    assert state(service, job)["status"] == "cancelled"
    service.sampler.held = False
    assert call_off(service, "called-off").status_code == 200  # twice is as once
    assert order(service, key="called-off", status=200)["status"] == "cancelled"  # and it stays so
    assert error_of(call_off(service, "never-sent"), 404)["param"] == HEADER
    assert error_of(call_off(service, None), 400)["param"] == HEADER


def test_an_order_is_found_by_its_key(service: RunningService) -> None:
    job = order(service, key="found")
    order(service, key="another")

    def named(key: str, token: str = TOKEN) -> list[str]:
        listed = service.send("GET", "/v1/jobs", token, headers={HEADER: key}).json()
        assert not listed["has_more"]
        return [one["id"] for one in listed["data"]]

    assert named("found") == [job["id"]]
    assert named("never-sent") == named("found", OTHER) == []
    assert error_of(service.send("GET", "/v1/jobs", headers={HEADER: "a" * 256}), 400)["param"] == HEADER


def test_an_order_that_is_still_arriving_is_refused_once_it_is_called_off(service: RunningService) -> None:
    begun, go_on = threading.Event(), threading.Event()
    form = httpx.Request("POST", service.url, files={"cup.png": ("c", cutout()), "table": ("t", TABLE)})
    body = form.read()

    def slowly() -> Iterator[bytes]:
        yield body[:100]
        begun.set()
        assert go_on.wait(20)
        yield body[100:]

    headers = {HEADER: "arriving", "Content-Type": form.headers["Content-Type"]}
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(service.send, "POST", "/v1/jobs", content=slowly(), headers=headers)
        assert begun.wait(20)
        wait_until(lambda: call_off(service, "arriving").status_code == 200)
        go_on.set()
        assert error_of(sending.result(), 409)["code"] == "cancelled"
    assert call_off(service, "arriving").status_code == 404
    assert len(rows(result(service, order(service, key="arriving")))) == 2  # the key is free


class Moody(StubSampler):
    """A sampler that fails at the next so many pictures."""

    faults = 0

    async def paint(self, request: PaintRequest) -> PaintedImage:
        self.faults -= 1
        self.fault = RuntimeError("a test's") if self.faults >= 0 else None
        return await super().paint(request)


def test_an_order_that_is_sent_anew_under_its_key_begins_anew(tmp_path: Path) -> None:
    """It has the id of the one that was deleted, and nothing else of it."""
    sampler, once = Moody(), TABLE.split(b"mug")[0]
    environment = {"P2I_WEBHOOK_SECRET": SECRET}
    with (
        receiver() as target,
        open_service(
            str(tmp_path),
            sampler=sampler,
            settings={"webhooks": {"allowed": [f"{target.url}/"]}},
            environment=environment,
        ) as service,
    ):
        for faults in (2, 1):  # of the three tries that an item has
            sampler.faults = faults
            job = order(service, once, {"cup.png": cutout()}, key="anew", webhook=f"{target.url}/")
            assert rows(result(service, job))[0]["status"] == "done"
            wait_until(lambda job=job: state(service, job)["webhook"]["status"] == "delivered")
            service.send("DELETE", f"/v1/jobs/{job['id']}")
        first, second = target.messages
        assert first["data"]["id"] == second["data"]["id"]
        assert first["id"] != second["id"]  # else a receiver takes the second for the first one once more
