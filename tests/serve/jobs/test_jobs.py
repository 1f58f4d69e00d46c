"""A whole order through a kill, and the examples of docs/serving.md."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import pytest

from p2i_ray.serve.jobs import signature
from tests.support.generator_parts import TOKEN, RunningService, StubRanker, StubSampler, cutout, open_service
from tests.support.orders import order, result, rows, state, zipped
from tests.support.serving import wait_until
from tests.support.webhook_receiver import SECRET, receiver

ROOT = Path(__file__).parents[3]
TABLE = b"image,name,seed\n" + b"".join(b"cup.png,Cup,%d\n" % seed for seed in range(5))


def test_an_order_goes_on_after_a_kill(tmp_path: Path) -> None:
    """Killed with two of five pictures painted: no picture is painted twice, counted twice or forgotten."""
    with receiver() as target:
        address = f"{target.url}/"
        command = [sys.executable, "-m", "tests.support.killed_service", str(tmp_path / "jobs"), address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ}) as process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().strip()
                unused = RunningService(url, StubSampler(), StubRanker(), app=None, jobs=tmp_path)  # type: ignore[arg-type]
                form = {"files": {"cup.png": cutout()}, "key": "the-order", "webhook": address}
                job = order(unused, TABLE, **form)  # type: ignore[arg-type]
                wait_until(lambda: state(unused, job)["done"] == 2)
            finally:
                process.kill()
        settings = {"webhooks": {"allowed": [address]}, "quotas": {"pictures_per_day": 10}}
        environment = {"P2I_WEBHOOK_SECRET": SECRET}
        with open_service(str(tmp_path / "jobs"), settings=settings, environment=environment) as service:
            assert order(service, TABLE, status=200, **form)["id"] == job["id"]  # type: ignore[arg-type]
            found = rows(result(service, job))
            assert [row["pictures"][0]["seed"] for row in found] == [0, 1, 2, 3, 4]
            assert [request.seed for request in service.sampler.requests] == [2, 3, 4]
            wait_until(lambda: state(service, job)["webhook"]["status"] == "delivered")
            assert [message["genuine"] for message in target.messages] == [True]
            assert service.send("GET", "/v1/usage").json()["pictures"] == 5


SECTION = (ROOT / "docs" / "serving.md").read_text("utf-8").partition("## Catalogue orders")[2].partition("\n## ")[0]
PROGRAM = re.compile(r"```python\n(.*?)```", re.S)
PROGRAMS = PROGRAM.findall(SECTION)
COMMANDS = [textwrap.dedent(block) for block in re.findall(r"(?:^ {4}.*\n)+", PROGRAM.sub("", SECTION), re.M)]


def test_the_commands_and_programs_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, quoting, ordering = COMMANDS
    monkeypatch.chdir(tmp_path)
    Path("products.csv").write_text(table, "utf-8")
    Path("photos.zip").write_bytes(zipped({"photos/mug.png": cutout(), "photos/vase.png": cutout()}))
    with open_service(str(tmp_path / "jobs")) as service:

        def run(command: str) -> dict[str, object]:
            line = command.replace("http://127.0.0.1:8000", service.url)
            environment = {**os.environ, "TOKEN": TOKEN}
            done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, check=True)
            return dict(json.loads(done.stdout))

        assert run(quoting)["pictures"] == 4
        job = run(ordering)
        assert job["total"] == 8 and run(ordering)["id"] == job["id"]
        result(service, job)
        program = PROGRAMS[0].replace("http://127.0.0.1:8000", service.url).replace("sleep(5)", "sleep(0.05)")
        names: dict[str, object] = {"token": TOKEN}
        exec(program, names)
        names["client"].close()  # type: ignore[attr-defined]
        assert "00003-vase_rich_128x128-0.png" in zipfile.ZipFile("spring.zip").namelist()
        found = rows(zipfile.ZipFile("spring.zip"))
        assert [(row["name"], row["style"]) for row in found] == [
            ("Red mug", "plain"), ("Red mug", "rich"), ("Vase", "plain"), ("Vase", "rich")
        ]  # fmt: skip
        assert {row["pictures"][0]["seed"] for row in found[:2]} == {7}


def test_the_documentations_check_of_signatures() -> None:
    names: dict[str, object] = {}
    exec(PROGRAMS[1], names)
    is_genuine = names["is_genuine"]
    key, now = bytes(range(32)), int(time.time())
    secret = "whsec_" + base64.b64encode(key).decode("ascii")
    genuine = signature.headers("job", now, b"{}", [bytes(32), key])
    assert is_genuine(genuine, b"{}", secret)  # type: ignore[operator]
    assert not is_genuine(genuine, b"{ }", secret)  # type: ignore[operator]
    assert not is_genuine(signature.headers("job", now - 400, b"{}", [key]), b"{}", secret)  # type: ignore[operator]
