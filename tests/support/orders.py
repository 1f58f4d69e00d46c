"""Catalogue orders to the generator service of the tests: forms, zips, finished results."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from tests.support.generator_parts import TOKEN, RunningService, cutout, error_of
from tests.support.serving import wait_until

TABLE = b"image,name\ncup.png,Steel cup\nmug.png,Red mug\n"


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip with these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def order(
    service: RunningService,
    table: bytes | None = TABLE,
    files: Mapping[str, bytes] | None = None,
    *,
    to: str = "/v1/jobs",
    status: int = 202,
    key: str | None = None,
    token: str = TOKEN,
    **texts: str,
) -> Any:
    """Send an order, by default of two products; the answer's content, the error's where one is expected."""
    pictures = {"cup.png": cutout(), "mug.png": cutout()} if files is None else files
    parts: dict[str, Any] = {name: (name, content) for name, content in pictures.items()}
    if table is not None:
        parts["table"] = ("table.csv", table)
    headers = {} if key is None else {"Idempotency-Key": key}
    data = {**texts, "": ""} if not parts else texts
    answer = service.send("POST", to, token, files=parts or {"": ("", b"")}, data=data, headers=headers)
    if status >= 400:
        return error_of(answer, status)
    assert answer.status_code == status, answer.text
    return answer.json()


def state(service: RunningService, job: Mapping[str, Any]) -> dict[str, Any]:
    """What the service says of a job."""
    answer = service.send("GET", f"/v1/jobs/{job['id']}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def result(service: RunningService, job: Mapping[str, Any]) -> zipfile.ZipFile:
    """A job's result, when it is there."""
    wait_until(lambda: service.send("GET", f"/v1/jobs/{job['id']}/result").status_code == 200)
    return zipfile.ZipFile(io.BytesIO(service.send("GET", f"/v1/jobs/{job['id']}/result").content))


def rows(found: zipfile.ZipFile) -> list[dict[str, Any]]:
    """results.json of a result."""
    return list(json.loads(found.read("results.json")))


def table(found: zipfile.ZipFile) -> list[dict[str, str]]:
    """results.csv of a result, as a spreadsheet reads it."""
    content = found.read("results.csv")
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
