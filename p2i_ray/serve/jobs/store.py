"""Batch jobs on disk, so that they outlive the application. The disk is the state; several processes may read it.

A job's folder appears whole, by a rename:

    job.json             who asked, when, and its rows
    inputs/0007          the pictures as they came
    pictures/00003-1.png painted
    rows/00003.done      a finished row, JSON (or 00003.failed); written after its pictures
    cancelled            somebody asked to stop
    result.zip           the end: pictures and results.json
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from p2i_ray.errors import UserError
from p2i_ray.serve.images.schema import EditRequest
from p2i_ray.storage import locations

Status = Literal["queued", "running", "completed", "cancelled"]
_ID = re.compile(r"job_[0-9a-f]{32}")
_BUILDING = "building-"  # a submission that isn't whole yet, or never became it
STALE_S = 3_600  # a submission unfinished for so long never will be


class JobItem(BaseModel):
    """One product of a job."""

    index: int
    ask: EditRequest
    image: int  # of the inputs
    mask: int | None = None


class Job(BaseModel):
    """What was asked for; never changes."""

    id: str
    owner: str
    created: int
    rows: list[JobItem]


class Progress(BaseModel):
    """How far a job is."""

    status: Status
    total: int
    done: int
    failed: int


class JobStore:
    """The folder of the jobs."""

    def __init__(self, folder: str) -> None:
        """Raises:
        UserError: it is no local folder, or can't be written.
        """
        if locations.is_uri(folder):
            raise UserError(f"serve.jobs={folder} is not a local folder; jobs are kept on the machine that paints them")
        self._folder = Path(folder).expanduser().resolve()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            raise UserError(f"serve.jobs={folder} can't be written ({error.strerror}); name another folder") from None

    @property
    def lock(self) -> Path:
        """The file whose lock the one process holds that paints the jobs."""
        return self._folder / "lock"

    def add(self, client: bytes, rows: Sequence[JobItem], inputs: Sequence[bytes]) -> Job:
        """Keep a new job of a client's."""
        name = f"job_{secrets.token_hex(16)}"
        job = Job(id=name, owner=_owner(name, client), created=int(time.time()), rows=list(rows))
        building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=self._folder))
        for part in ("inputs", "pictures", "rows"):
            (building / part).mkdir()
        for number, content in enumerate(inputs):
            (building / "inputs" / f"{number:04d}").write_bytes(content)
        locations.write_text(str(building / "job.json"), job.model_dump_json())
        building.rename(self._folder / name)
        return job

    def find(self, name: str, client: bytes) -> Job | None:
        """A client's own job; none for any other, and for what is no job's id."""
        if not _ID.fullmatch(name):
            return None
        job = self._read(name)
        return job if job and secrets.compare_digest(job.owner, _owner(name, client)) else None

    def unfinished(self) -> list[Job]:
        """The jobs that something is left to do for, the oldest first."""
        names = [entry.name for entry in self._folder.iterdir() if _ID.fullmatch(entry.name)]
        jobs = [self._read(name) for name in names if not (self._folder / name / "result.zip").exists()]
        return sorted((job for job in jobs if job), key=lambda job: (job.created, job.id))

    def owned(self, jobs: Sequence[Job], client: bytes) -> int:
        """How many of the jobs are a client's."""
        return sum(secrets.compare_digest(job.owner, _owner(job.id, client)) for job in jobs)

    def finished_rows(self, job: Job) -> dict[int, bool]:
        """Rows that are finished, and whether they were painted."""
        names = [path.name.partition(".") for path in (self._folder / job.id / "rows").glob("*.*")]
        return {int(stem): suffix == "done" for stem, _, suffix in names if stem.isdigit()}

    def progress(self, job: Job) -> Progress:
        """How far a job is."""
        finished, folder = self.finished_rows(job), self._folder / job.id
        done = sum(finished.values())
        status: Status = "running" if finished else "queued"
        if (folder / "result.zip").exists():
            status = "completed"
        if self.is_cancelled(job):
            status = "cancelled"
        return Progress(status=status, total=len(job.rows), done=done, failed=len(finished) - done)

    def input(self, job: Job, number: int) -> bytes:
        """A picture as it came."""
        return (self._folder / job.id / "inputs" / f"{number:04d}").read_bytes()

    def done(self, job: Job, row: JobItem, pictures: Sequence[tuple[str, bytes]], said: dict[str, Any]) -> None:
        """Keep a painted row: its pictures first."""
        for name, content in pictures:
            locations.write_bytes(str(self._folder / job.id / "pictures" / name), content)
        self._write_row(job, row, "done", said)

    def failed(self, job: Job, row: JobItem, reason: str) -> None:
        """Keep why a row can't be painted."""
        self._write_row(job, row, "failed", {"reason": reason})

    def cancel(self, job: Job) -> None:
        """Let nothing more of it be painted."""
        locations.write_bytes(str(self._folder / job.id / "cancelled"), b"")

    def is_cancelled(self, job: Job) -> bool:
        """Whether nothing more of it is to be painted."""
        return (self._folder / job.id / "cancelled").exists()

    def finish(self, job: Job) -> None:
        """Put the result together: a zip of the pictures and results.json, one entry a row."""
        folder = self._folder / job.id
        results = []
        handle, temporary = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "wb") as out, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as result:
            for row in job.rows:
                results.append(said := self._said(folder, row))
                for picture in said["pictures"]:
                    result.write(folder / "pictures" / picture["file"], picture["file"])
            result.writestr("results.json", json.dumps(results, indent=1, ensure_ascii=False))
        Path(temporary).replace(folder / "result.zip")
        for part in ("inputs", "pictures"):
            shutil.rmtree(folder / part, ignore_errors=True)

    def result(self, job: Job) -> Path | None:
        """The finished zip."""
        path = self._folder / job.id / "result.zip"
        return path if path.exists() else None

    def remove(self, job: Job) -> None:
        """Forget a job."""
        shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def sweep(self, days: float) -> None:
        """Forget jobs that were finished so many days ago, and what is left of broken submissions."""
        now = time.time()
        for entry in (entry for entry in self._folder.iterdir() if entry.is_dir()):
            age, wanted = 0.0, float("inf")
            if _ID.fullmatch(entry.name) and (entry / "result.zip").exists():
                age, wanted = now - (entry / "result.zip").stat().st_mtime, days * 86_400
            elif entry.name.startswith(_BUILDING) or not (entry / "job.json").exists():
                age, wanted = now - entry.stat().st_mtime, STALE_S
            if age > wanted:
                shutil.rmtree(entry, ignore_errors=True)

    def _read(self, name: str) -> Job | None:
        try:
            return Job.model_validate_json((self._folder / name / "job.json").read_bytes())
        except (FileNotFoundError, ValidationError):  # removed meanwhile, or kept by another version of the shop
            return None

    def _write_row(self, job: Job, row: JobItem, suffix: str, said: dict[str, Any]) -> None:
        path = self._folder / job.id / "rows" / f"{row.index:05d}.{suffix}"
        locations.write_text(str(path), json.dumps(said, ensure_ascii=False))

    def _said(self, folder: Path, row: JobItem) -> dict[str, Any]:
        base: dict[str, Any] = {"index": row.index, "name": row.ask.prompt}
        for suffix in ("done", "failed"):
            path = folder / "rows" / f"{row.index:05d}.{suffix}"
            if path.exists():
                return {**base, "status": suffix, "reason": None, "pictures": [], **json.loads(path.read_text("utf-8"))}
        return {**base, "status": "cancelled", "reason": "the job was cancelled", "pictures": []}


def _owner(name: str, client: bytes) -> str:
    """Who a job belongs to, told by the job's own id as salt: the disk shows neither a token nor who has which jobs."""
    return hashlib.sha256(name.encode("ascii") + client).hexdigest()
