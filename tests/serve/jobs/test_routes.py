"""Batch jobs: submitted, painted next to requests, visible to their owner only, continued after a restart."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from p2i_ray.config import GenerateConfig, ImageConfig
from p2i_ray.config.serve import LimitsConfig, ServeConfig
from p2i_ray.errors import UserError
from p2i_ray.provenance.reading import read
from p2i_ray.serve.edge.backpressure import Late, Overloaded, TooMuchWork
from p2i_ray.serve.edge.forms import Form
from p2i_ray.serve.edge.metrics import LOGGER, HTTPMetrics, log_to
from p2i_ray.serve.edge.quota import Quota
from p2i_ray.serve.images.params import EditRules
from p2i_ray.serve.jobs.intake import JobIntake
from p2i_ray.serve.jobs.store import JobStore
from p2i_ray.serve.jobs.submission import SubmissionReader
from p2i_ray.serve.jobs.webhook import Webhooks
from tests.support.generator_parts import (
    MODEL,
    OTHER,
    TOKEN,
    RunningService,
    StubSampler,
    cutout,
    encoded,
    error_of,
    open_service,
    photo,
    stub_cutter,
)
from tests.support.serving import wait_until

CUP = {"image": "cup.png", "name": "Steel cup"}


def submit(
    service: RunningService, items: Any, files: dict[str, bytes] | None = None, status: int = 202, **shared: str
) -> Any:
    pictures = {"cup.png": cutout()} if files is None else files
    data = {"items": items if isinstance(items, str) else json.dumps(items), **shared}
    parts = {name: (name, content) for name, content in pictures.items()} or {"": ("", b"")}
    answer = service.send("POST", "/v1/jobs", files=parts, data=data)
    if status != 202:
        return error_of(answer, status)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    return answer.json()


def finished(service: RunningService, job: dict[str, Any]) -> tuple[zipfile.ZipFile, list[dict[str, Any]]]:
    wait_until(lambda: service.send("GET", f"/v1/jobs/{job['id']}/result").status_code == 200)
    answer = service.send("GET", f"/v1/jobs/{job['id']}/result")
    assert answer.headers["content-type"] == "application/zip"
    result = zipfile.ZipFile(io.BytesIO(answer.content))
    assert result.testzip() is None
    return result, json.loads(result.read("results.json"))


def test_a_job_from_submission_to_result(service: RunningService) -> None:
    items = [
        {**CUP, "n": 2, "seed": 5, "size": "128x64"},
        {"image": "photo.jpg", "mask": "mask.png", "name": "Tasse ☕", "output_format": "jpeg"},
        {"image": "broken.png", "name": "Broken"},
        {**CUP, "best_of": 3},
    ]
    files = {
        "cup.png": cutout(),
        "photo.jpg": encoded(photo(), "JPEG"),
        "mask.png": encoded(255 - stub_cutter(photo())),
        "broken.png": cutout()[:60],
    }
    job = submit(service, items, files, steps="4")
    assert job["total"] == 4 and job["status"] == "queued" and job["id"].startswith("job_")
    result, rows = finished(service, job)
    assert [row["status"] for row in rows] == ["done", "done", "failed", "done"]
    assert [row["name"] for row in rows] == ["Steel cup", "Tasse ☕", "Broken", "Steel cup"]
    assert [len(row["pictures"]) for row in rows] == [2, 1, 0, 1]
    assert rows[2]["reason"].startswith("image: unreadable") and rows[0]["reason"] is None
    assert rows[3]["pictures"][0]["score"] == 4.5 and rows[3]["pictures"][0]["reason"]
    names = [picture["file"] for row in rows for picture in row["pictures"]]
    tables = ["results.json", "results.csv", "summary.json"]
    assert sorted(result.namelist()) == sorted([*names, *tables]) and names[2] == "00001-tasse_64x64-0.jpg"
    assert {read(result.read(name)).state for name in names} == {"signed"}
    first = Image.open(io.BytesIO(result.read(names[0])))
    assert first.size == (128, 64) and rows[0]["pictures"][0]["seed"] == 5
    assert {request.steps for request in service.sampler.requests} == {4}
    progress = service.send("GET", f"/v1/jobs/{job['id']}").json()
    assert (progress["status"], progress["done"], progress["failed"]) == ("completed", 3, 1)
    assert service.send("DELETE", f"/v1/jobs/{job['id']}").json()["status"] == "deleted"
    error_of(service.send("GET", f"/v1/jobs/{job['id']}"), 404)


def test_a_job_gives_the_images_that_a_request_does(service: RunningService) -> None:
    result, rows = finished(service, submit(service, [{**CUP, "n": 2, "seed": 3}]))
    data = service.edit(prompt="Steel cup", n=2, seed=3).json()["data"]
    for picture, expected in zip(rows[0]["pictures"], data, strict=True):
        job, request = result.read(picture["file"]), base64.b64decode(expected["b64_json"])
        np.testing.assert_array_equal(
            np.asarray(Image.open(io.BytesIO(job))), np.asarray(Image.open(io.BytesIO(request)))
        )
        assert read(job).facts == read(request).facts == {"model": MODEL, "seed": expected["seed"]}


def test_a_job_is_its_owners_only(service: RunningService) -> None:
    job = submit(service, [CUP])
    finished(service, job)
    for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", ""), ("POST", "/cancel")):
        error_of(service.send(method, f"/v1/jobs/{job['id']}{path}", OTHER), 404)
    for name in ("job_" + "0" * 32, "..", "%2e%2e%2flock", "job_x", "lock", job["id"].upper()):
        error_of(service.send("GET", f"/v1/jobs/{name}"), 404)
    assert service.send("GET", f"/v1/jobs/{job['id']}").status_code == 200


@pytest.mark.parametrize(
    ("items", "param", "message"),
    [
        ("", "items", "items must be a JSON list"),
        ("{}", "items", "items must be a JSON list"),
        ("[]", "items", "items must be a JSON list"),
        ("[" * 100_000, "items", "items must be a JSON list"),
        ("[1]", "items[0]", "items[0]: items must be"),
        ([{"name": "Cup"}], "items[0].image", "image is missing"),
        ([CUP, {**CUP, "image": "../../etc/passwd"}], "items[1].image", "image names no file"),
        ([{**CUP, "mask": 3}], "items[0].mask", "mask names no file"),
        ([{"image": "cup.png"}], "items[0].prompt", "prompt is empty"),
        ([{**CUP, "n": 0}], "items[0].n", "n must be from 1 to 8"),
        ([{**CUP, "n": [1]}], "items[0].n", "n: input should be"),
        ('[{"image": "cup.png", "name": "Cup", "guidance": NaN}]', "items[0].guidance", "guidance must be"),
        ([{**CUP, "callback": "http://127.0.0.1/"}], "items[0].callback", "is not a field"),
        ([{**CUP, "n": 8}] * 126, "items", "at most 1000 pictures"),
        # a text cut in the middle of an emoji: half a surrogate pair
        ([CUP, {**CUP, "name": "Mug \ud83d"}], "items[1].name", r"has half of a character (\ud83d)"),
        ([{**CUP, "negative_prompt": "\ude00 text"}], "items[0].negative_prompt", "half of a character"),
        ([{**CUP, "user": "\udfff"}], "items[0].user", "half of a character"),
        ([{**CUP, "im\ud83dage": "x"}], "items[0].im age", "half of a character"),
    ],
)
def test_refused_submissions(service: RunningService, items: Any, param: str, message: str) -> None:
    folder, before = service.jobs, set(service.jobs.iterdir())
    error = submit(service, items, status=400)
    assert error["param"] == param and message in error["message"]
    assert not service.sampler.requests and set(folder.iterdir()) == before  # and nothing of it stays


def test_a_name_with_whole_characters_beyond_the_first_plane(service: RunningService) -> None:
    _, rows = finished(service, submit(service, '[{"image": "cup.png", "name": "Mug \\ud83d\\ude00"}]'))
    assert [row["name"] for row in rows] == ["Mug \U0001f600"]


def test_null_in_an_item_is_absent_and_an_empty_text_is_the_items_own(service: RunningService) -> None:
    items = [{**CUP, "mask": None, "n": None, "steps": None, "tags": []}, {**CUP, "negative_prompt": ""}]
    finished(service, submit(service, items, steps="3", negative_prompt="text", size=""))
    requests = sorted(service.sampler.requests, key=lambda request: request.negative)
    assert [(request.steps, request.negative) for request in requests] == [(3, ""), (3, "text")]


def test_a_file_that_no_item_names(service: RunningService) -> None:
    error = submit(service, [CUP], {"cup.png": cutout(), "spare.png": b""}, status=400)
    assert error["message"] == "no item names the file spare.png; name it or leave it out"


def test_a_cancelled_job_keeps_what_is_painted(tmp_path: Path) -> None:
    with open_service(str(tmp_path)) as service:
        service.sampler.held = True
        job = submit(service, [CUP] * 5)
        wait_until(lambda: service.sampler.running == 1)
        error = error_of(service.send("GET", f"/v1/jobs/{job['id']}/result"), 409)
        assert "0 of 5 rows" in error["message"]
        assert service.send("POST", f"/v1/jobs/{job['id']}/cancel").json()["status"] == "cancelled"
        wait_until(lambda: service.sampler.cancelled == 1)
        _, rows = finished(service, job)
        again = service.send("POST", f"/v1/jobs/{job['id']}/cancel").json()  # a client's own retry deletes nothing
        assert again["status"] == "cancelled" and finished(service, job)[1] == rows
        assert [row["status"] for row in rows] == ["cancelled"] * 5
        assert len(service.sampler.requests) == 1


def test_what_is_being_stored_when_a_job_is_cancelled_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State, result, metrics and quota agree, however slow the disk is."""
    storing, go_on, write = threading.Event(), threading.Event(), JobStore._write_item

    def slowly(*content: Any) -> None:
        storing.set()
        assert go_on.wait(20)
        write(*content)

    monkeypatch.setattr(JobStore, "_write_item", slowly)
    with open_service(str(tmp_path), settings={"quotas": {"pictures_per_day": 9}}) as service:
        job = submit(service, [CUP] * 2)
        assert storing.wait(20)
        assert service.send("POST", f"/v1/jobs/{job['id']}/cancel").json()["status"] == "cancelled"
        time.sleep(0.3)  # in which a result would be written
        go_on.set()
        _, rows = finished(service, job)
        assert [row["status"] for row in rows] == ["done", "cancelled"]
        state = service.send("GET", f"/v1/jobs/{job['id']}").json()
        assert (state["status"], state["done"], state["pictures"]) == ("cancelled", 1, 1)
        assert service.send("GET", "/v1/usage").json()["pictures"] == 1
        assert 'p2i_job_items_total{outcome="done"} 1.0' in service.send("GET", "/metrics").text


def test_requests_are_served_during_jobs_and_jobs_take_turns(tmp_path: Path) -> None:
    with open_service(str(tmp_path), max_jobs=2) as service:
        service.sampler.held = True
        first, second = submit(service, [CUP] * 6), submit(service, [{**CUP, "name": "Mug"}] * 2)
        wait_until(lambda: service.sampler.running == 1)
        assert submit(service, [CUP], status=429)["message"].startswith("2 of your jobs aren't finished")
        service.sampler.held = False
        assert service.edit().status_code == 200
        finished(service, first), finished(service, second)
        names = [request.name for request in service.sampler.requests if request.name != "Steel bottle"]
        assert names[:5].count("Mug") == 2  # not after the six cups
        assert service.sampler.most <= 2  # the request and one item


def test_a_job_goes_on_after_a_restart(tmp_path: Path) -> None:
    class Stopping(StubSampler):
        """Holds from the third picture on."""

        async def paint(self, request: Any) -> Any:
            self.held = len(self.requests) >= 2
            return await super().paint(request)

    items = [{**CUP, "seed": k} for k in range(5)]
    with open_service(str(tmp_path), sampler=Stopping()) as service:
        job = submit(service, items)
        wait_until(lambda: service.send("GET", f"/v1/jobs/{job['id']}").json()["done"] == 2)
        wait_until(lambda: service.sampler.running == 1)
    with open_service(str(tmp_path)) as service:
        _, rows = finished(service, job)
        assert [row["pictures"][0]["seed"] for row in rows] == [0, 1, 2, 3, 4]
        assert [request.seed for request in service.sampler.requests] == [2, 3, 4]  # what was done isn't painted again


def test_one_of_two_services_on_a_folder_paints(tmp_path: Path) -> None:
    with open_service(str(tmp_path)) as first, open_service(str(tmp_path)) as second:
        job = submit(second, [CUP] * 3)
        _, rows = finished(second, job)
        assert len(rows) == 3 and {len(first.sampler.requests), len(second.sampler.requests)} == {0, 3}


def test_an_item_waits_for_a_busy_sampler_and_fails_with_a_broken_one(tmp_path: Path) -> None:
    class Moody(StubSampler):
        async def paint(self, request: Any) -> Any:
            busy = {0: Overloaded(0.05), 1: Overloaded(0.05)}
            if request.name == "Curse":
                raise RuntimeError(f"in {tmp_path}")
            self.fault = busy.get(len(self.requests))
            return await super().paint(request)

    with open_service(str(tmp_path), sampler=Moody()) as service:
        _, rows = finished(service, submit(service, [CUP, {**CUP, "name": "Curse"}]))
        assert [(row["status"], row["reason"]) for row in rows] == [("done", None), ("failed", "internal error")]


def test_an_item_with_too_much_work_fails_with_the_reason(service: RunningService) -> None:
    service.sampler.refusal = TooMuchWork(300, 120)
    _, rows = finished(service, submit(service, [{**CUP, "best_of": 3}]))
    assert rows[0]["status"] == "failed" and rows[0]["reason"].startswith("this takes about 300 s to paint")
    assert service.sampler.reserved == [(3, 64 * 64 * (2 * 7 + 4), True)] and not service.sampler.requests


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1.5 MB, which takes root's rights and Linux."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_makes_jobs_wait_and_is_told_once(small_disk: Path) -> None:
    with open_service(str(small_disk / "jobs")) as service:
        service.sampler.held = True
        job = submit(service, [CUP] * 2, {"cup.png": cutout() + bytes(900_000)})
        wait_until(lambda: service.sampler.running == 1)
        error = submit(service, [CUP], {"cup.png": cutout() + bytes(900_000)}, status=507)
        assert error["code"] == "insufficient_storage" and "disk is full" in error["message"]
        assert not [*(small_disk / "jobs").glob("building-*")]  # and the room is free again
        filling = small_disk / "filling"
        with pytest.raises(OSError, match="No space"), filling.open("wb", buffering=0) as out:
            while True:
                out.write(bytes(4096))
        written = io.StringIO()
        handler = log_to(written)
        service.sampler.held = False

        def failing() -> bool:
            return "p2i_job_storage_failing 1.0" in service.send("GET", "/metrics").text

        wait_until(failing)
        progress = service.send("GET", f"/v1/jobs/{job['id']}").json()
        assert (progress["done"], progress["failed"]) == (0, 0) and service.send("GET", "/healthz").status_code == 200
        filling.unlink()
        _, rows = finished(service, job)
        logging.getLogger(LOGGER).removeHandler(handler)
        assert [row["status"] for row in rows] == ["done", "done"]
        assert len(service.sampler.requests) == 2  # neither was painted again
        assert not failing()
        told = [line for line in map(json.loads, written.getvalue().splitlines()) if "written" in line["event"]]
        assert [line.get("error") for line in told] == ["No space left on device", None]


def test_a_job_whose_sender_hangs_up_while_it_is_stored_is_taken_back(tmp_path: Path) -> None:
    """The client never learns the id: it will send the job again."""
    stored, go_on = threading.Event(), threading.Event()

    class Slow(JobStore):
        def add(self, job: Any, inputs: Any) -> None:
            super().add(job, inputs)
            stored.set()
            assert go_on.wait(30)

    rules = EditRules(LimitsConfig(), ImageConfig(resolution=64), GenerateConfig(), ["m"], judged=False)
    store, metrics, settings = Slow(str(tmp_path)), HTTPMetrics(), ServeConfig()
    quota = Quota(store.usage, None, failed=metrics.failure)
    webhooks = Webhooks(store, settings.webhooks, secrets=[], state=dict, metrics=metrics)
    reader = SubmissionReader(rules, settings.limits)
    intake = JobIntake(store, reader, sampler=StubSampler(), quota=quota, webhooks=webhooks, settings=settings)
    form = Form({"items": json.dumps([CUP])}, {"cup.png": [b"image"]})

    async def go() -> None:
        adding = asyncio.create_task(intake._added(b"client", form))
        assert await asyncio.to_thread(stored.wait, 30)
        assert len(store.unfinished()) == 1
        adding.cancel()
        await asyncio.wait({adding})
        go_on.set()
        while store.unfinished():
            await asyncio.sleep(0.005)

    asyncio.run(go())
    assert quota.usage(b"client")["pictures"] == 0


def test_a_job_may_be_larger_than_a_request_but_its_images_may_not(tmp_path: Path) -> None:
    noise = encoded(np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8))
    files = {f"{k}.png": cutout() for k in range(40)} | {"noise.png": noise}
    with open_service(str(tmp_path), max_bytes=10_000, max_job_bytes=100_000) as service:
        error_of(service.edit(noise), 413)
        job = submit(service, [{"image": name, "name": "Cup"} for name in files], files)
        _, rows = finished(service, job)
        assert [row["status"] for row in rows] == ["done"] * 40 + ["failed"]
        assert "more than max_bytes=10000" in rows[40]["reason"]
        submit(service, [CUP], {"cup.png": noise * 8}, status=413)


def test_old_results_go(tmp_path: Path) -> None:
    with open_service(str(tmp_path)) as service:
        job = submit(service, [CUP])
        finished(service, job)
        os.utime(tmp_path / job["id"] / "result.zip", (1, 1))
        (tmp_path / "building-left").mkdir()
        os.utime(tmp_path / "building-left", (1, 1))
        wait_until(lambda: not any(tmp_path.glob("job_*")) and not any(tmp_path.glob("building-*")))


def test_an_item_that_never_comes_in_time_fails(tmp_path: Path) -> None:
    with open_service(str(tmp_path)) as service:
        service.sampler.fault = Late(0.05, 120)
        _, rows = finished(service, submit(service, [CUP]))
        assert rows[0]["status"] == "failed" and len(service.sampler.requests) == 3
        assert rows[0]["reason"].startswith("it wasn't painted within 120 s, 3 times; ask for fewer pictures or steps")


def test_an_item_that_ends_while_the_outcomes_are_read_is_not_painted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_outcomes = JobStore.finished_items
    with open_service(str(tmp_path), settings={"job_workers": 2}) as service:

        def slow(store: JobStore, job: Any) -> dict[int, bool]:
            found = read_outcomes(store, job)
            if running := service.sampler.running:
                service.sampler.held = False
                wait_until(lambda: len(read_outcomes(store, job)) == len(found) + running)
                time.sleep(0.2)  # until the runner knows it, too
            return found

        service.sampler.held = True
        monkeypatch.setattr(JobStore, "finished_items", slow)
        job = submit(service, [CUP] * 3)
        finished(service, job)
        assert len(service.sampler.requests) == 3


def test_folders_that_are_no_jobs_stay(tmp_path: Path) -> None:
    """Such as those of other runs, where serve.jobs is a folder that has them."""
    model, left = tmp_path / "mini" / "model", tmp_path / f"job_{'0' * 32}"
    model.mkdir(parents=True)
    left.mkdir()  # of a job that was half deleted
    for folder in (model.parent, left):
        os.utime(folder, (1, 1))
    JobStore(str(tmp_path)).sweep(days=7)
    assert model.is_dir() and not left.exists()


def test_what_is_on_disk_shows_no_token(service: RunningService, tmp_path: Path) -> None:
    with open_service(str(tmp_path)) as own:
        finished(own, submit(own, [CUP]))
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert TOKEN.encode() not in kept


def test_folders_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    with pytest.raises(UserError, match="can't be written"):
        JobStore(str(tmp_path / "file" / "jobs"))
    with pytest.raises(UserError, match="not a local folder"):
        JobStore("s3://bucket/jobs")
