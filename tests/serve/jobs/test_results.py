"""The tables of a finished order: for programs as JSON, for people as a table that no spreadsheet computes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from p2i_ray.serve.images.schema import EditRequest
from p2i_ray.serve.jobs.results import COLUMNS, flat, to_csv, write_zip
from p2i_ray.serve.jobs.schema import JobItem, new_job
from p2i_ray.serve.jobs.store import JobStore
from tests.support.generator_parts import RunningService, cutout, open_service
from tests.support.orders import order, result, rows, state, table, zipped
from tests.support.serving import wait_until


def read(records: list[dict[str, Any]]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(records).decode("utf-8-sig"), newline="")))


def test_a_row_a_picture_with_its_scores_and_reasons(service: RunningService) -> None:
    lines = b"image,name,best_of,n\ncup.png,Cup,4,2\nbroken.png,=1+1,,\n"
    job = order(service, lines, {"archive": zipped({"cup.png": cutout(), "broken.png": cutout()[:60]})}, seed="3")
    found = result(service, job)
    cup, broken = rows(found)
    first, second, third = table(found)
    assert [first["file"], second["file"]] == [one["file"] for one in cup["pictures"]]
    assert {first["file"], second["file"]} < set(found.namelist()) and list(first)[: len(COLUMNS)] == [*COLUMNS]
    assert first["truth.unchanged"] == "1.0" and first["canvas"] == "64x64"
    assert (first["index"], first["name"], first["size"], first["status"]) == ("0", "Cup", "64x64", "done")
    assert first["score"] == "4.5" and first["reason"] == cup["pictures"][0]["reason"] == "picture 1 of Cup"
    assert (third["name"], third["status"], third["file"], third["seed"]) == ("'=1+1", "failed", "", "")
    assert third["reason"] == broken["reason"] and broken["reason"].startswith("image: unreadable")
    summary = json.loads(found.read("summary.json"))
    assert (summary["items"], summary["done"], summary["failed"], summary["cancelled"]) == (2, 1, 1, 0)
    assert (summary["pictures"], summary["candidates"]) == (2, 4) and summary["seconds"] == cup["seconds"] > 0
    assert summary["by_accept"] == {
        "any": {"images": 2, "replica_seconds": 1.0, "seconds_per_image": 0.5, "dollars_per_image": None}
    }
    assert summary["estimate"] == job["estimate"] == state(service, job)["estimate"]


def test_whatever_a_picture_says_of_itself_is_flattened() -> None:
    picture = {
        "file": "a.png",
        "seed": 7,
        "style": -0.25,
        "truth": {"checks": {"mask": True, "text": "@SUM(A1)"}, "refused": ["edge", "colour"], "none": None},
    }
    record = {"index": 0, "name": "Cup", "style": "-summer", "size": "64x64", "status": "done", "reason": None}
    [row] = read([{**record, "pictures": [picture]}])
    assert row == {
        "index": "0",
        "name": "Cup",
        "style": "'-summer",
        "size": "64x64",
        "seed": "7",
        "status": "done",
        "reason": "",
        "score": "",
        "file": "a.png",
        "picture.style": "-0.25",  # a number stays one, and the label keeps its column
        "truth.checks.mask": "true",
        "truth.checks.text": "'@SUM(A1)",
        "truth.refused": '["edge", "colour"]',
        "truth.none": "",
    }
    assert list(flat({"a": {"b": {"c": 1}}, "d": []})) == [("a.b.c", 1), ("d", [])]


def test_columns_that_only_some_pictures_have() -> None:
    record = {"index": 0, "name": "Cup", "status": "done", "reason": None}
    found = read([{**record, "pictures": [{"file": "a.png"}]}, {**record, "pictures": [{"file": "b.png", "x": 1}]}])
    assert [row["x"] for row in found] == ["", "1"]


def test_cells_that_a_spreadsheet_would_compute() -> None:
    wild = ["=1", "+1", "-1", "@A1", "\t=1", "\r1", "\x01a", "＝1", " =1", 'plain "text", with\nlines']
    base = {"index": 0, "status": "done", "reason": None, "pictures": []}
    assert [row["name"] for row in read([{**base, "name": name} for name in wild])] == [
        *(f"'{name}" for name in wild[:-1]),
        wild[-1],
    ]


def test_results_of_an_older_version(tmp_path: Path) -> None:
    """Records without style, size and seconds, and names of files without products."""
    (tmp_path / "00000-0.png").write_bytes(b"picture")
    job = new_job(b"client", [JobItem(index=0, ask=EditRequest(prompt="Cup"), image=0)])
    out = io.BytesIO()
    record = {"index": 0, "name": "Cup", "status": "done", "reason": None, "pictures": [{"file": "00000-0.png"}]}
    write_zip(out, job, [record], tmp_path)
    found = zipfile.ZipFile(out)
    assert found.read("00000-0.png") == b"picture" and rows(found) == [record]
    assert json.loads(found.read("summary.json"))["seconds"] == 0


KILLED = """
import os, sys
from p2i_ray.serve.jobs import store
store.write_zip = lambda out, *_: (out.write(b"begun"), out.flush(), os.kill(os.getpid(), 9))
jobs = store.JobStore(sys.argv[1])
jobs.finish(jobs.unfinished()[0])
"""


def test_a_process_that_is_killed_while_it_writes_a_result_leaves_nothing_of_it(tmp_path: Path) -> None:
    """However often: a result may have gigabytes."""
    store, item = JobStore(str(tmp_path)), JobItem(index=0, ask=EditRequest(prompt="Cup"), image=0)
    job = new_job(b"client", [item])
    store.add(job, [b"image"])
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60).returncode == -9
    store.finish(job)
    assert {path.name for path in (tmp_path / job.id).iterdir()} == {"job.json", "rows", "result.zip"}


def test_a_cancelled_order_says_what_was_not_painted(tmp_path: Path) -> None:
    with open_service(str(tmp_path)) as service:
        service.sampler.held = True
        job = order(service)
        wait_until(lambda: service.sampler.running == 1)
        service.send("DELETE", f"/v1/jobs/{job['id']}")
        found = result(service, job)
        assert [row["status"] for row in table(found)] == ["cancelled", "cancelled"]
        assert {row["reason"] for row in table(found)} == {"the job was cancelled"}
        assert json.loads(found.read("summary.json"))["cancelled"] == 2
