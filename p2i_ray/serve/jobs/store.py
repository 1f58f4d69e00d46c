"""Batch jobs on disk, so that they outlive the application. The disk is the state; several processes may read it.

A job's folder appears whole, by a rename:

    job.json             its owner, time and items
    inputs/0007          the images as received
    pictures/00003-1.png painted
    rows/00003.done      a finished item, JSON (or 00003.failed); written after its images
    cancelled            the client cancelled the job
    result.zip           the result: images and results.json
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from p2i_ray.errors import UserError
from p2i_ray.serve.images.schema import EditRequest
from p2i_ray.storage import locations

Status = Literal["queued", "running", "completed", "cancelled"]
_ID = re.compile(r"job_[0-9a-f]{32}")
_BUILDING = "building-"  # prefix of a submission that isn't complete
STALE_S = 3_600  # age at which an incomplete submission is deleted


class JobItem(BaseModel):
    """One product of a job."""

    index: int
    ask: EditRequest  # job.json's key
    image: int  # of the inputs
    mask: int | None = None
    reference: int | None = None


class Job(BaseModel):
    """A submission; never changes."""

    id: str
    owner: str
    created: int
    rows: list[JobItem]  # job.json's key


class Progress(BaseModel):
    """The progress of a job."""

    status: Status
    total: int
    done: int
    failed: int


class JobStore:
    """The folder of the jobs.

    Raises:
        UserError: it is no local folder, or can't be written.
    """

    def __init__(self, folder: str) -> None:
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
        """The file whose lock is held by the one process that paints the jobs."""
        return self._folder / "lock"

    def add(self, client: bytes, items: Sequence[JobItem], inputs: Sequence[bytes]) -> Job:
        """Store a client's new job."""
        name = f"job_{secrets.token_hex(16)}"
        job = Job(id=name, owner=_owner(name, client), created=int(time.time()), rows=list(items))
        building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=self._folder))
        try:
            for part in ("inputs", "pictures", "rows"):
                (building / part).mkdir()
            for number, content in enumerate(inputs):
                (building / "inputs" / f"{number:04d}").write_bytes(content)
            locations.write_text(str(building / "job.json"), job.model_dump_json())
            building.rename(self._folder / name)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        return job

    def find(self, name: str, client: bytes) -> Job | None:
        """A client's own job; none for another client's, and for what is no job's id."""
        if not _ID.fullmatch(name):
            return None
        job = self._read(name)
        return job if job and secrets.compare_digest(job.owner, _owner(name, client)) else None

    def unfinished(self) -> list[Job]:
        """The jobs without a result, the oldest first."""
        names = [entry.name for entry in self._folder.iterdir() if _ID.fullmatch(entry.name)]
        jobs = [self._read(name) for name in names if not (self._folder / name / "result.zip").exists()]
        return sorted((job for job in jobs if job), key=lambda job: (job.created, job.id))

    def owned(self, jobs: Sequence[Job], client: bytes) -> int:
        """The number of the jobs that are a client's."""
        return sum(secrets.compare_digest(job.owner, _owner(job.id, client)) for job in jobs)

    def finished_items(self, job: Job) -> dict[int, bool]:
        """The indices of finished items, and whether they were painted."""
        names = [path.name.partition(".") for path in (self._folder / job.id / "rows").glob("*.*")]
        return {int(stem): suffix == "done" for stem, _, suffix in names if stem.isdigit()}

    def progress(self, job: Job) -> Progress:
        """The progress of a job."""
        finished, folder = self.finished_items(job), self._folder / job.id
        done = sum(finished.values())
        status: Status = "running" if finished else "queued"
        if (folder / "result.zip").exists():
            status = "completed"
        if self.is_cancelled(job):
            status = "cancelled"
        return Progress(status=status, total=len(job.rows), done=done, failed=len(finished) - done)

    def input(self, job: Job, number: int) -> bytes:
        """An image as it was received."""
        return (self._folder / job.id / "inputs" / f"{number:04d}").read_bytes()

    def done(self, job: Job, item: JobItem, images: Sequence[tuple[str, bytes]], record: dict[str, Any]) -> None:
        """Store a painted item: its images first."""
        for name, content in images:
            locations.write_bytes(str(self._folder / job.id / "pictures" / name), content)
        self._write_item(job, item, "done", record)

    def failed(self, job: Job, item: JobItem, reason: str, more: Mapping[str, Any] | None = None) -> None:
        """Store why an item can't be painted, with more fields of its record."""
        self._write_item(job, item, "failed", {"reason": reason, **(more or {})})

    def cancel(self, job: Job) -> None:
        """Mark a job as cancelled: nothing more of it is painted."""
        locations.write_bytes(str(self._folder / job.id / "cancelled"), b"")

    def is_cancelled(self, job: Job) -> bool:
        """Whether a job was cancelled."""
        return (self._folder / job.id / "cancelled").exists()

    def finish(self, job: Job) -> None:
        """Write the result: a zip of the images and results.json, one entry an item.

        Nothing more is painted of the job, so that its inputs make room before.
        """
        folder = self._folder / job.id
        shutil.rmtree(folder / "inputs", ignore_errors=True)
        results = []
        handle, name = tempfile.mkstemp(dir=folder)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as out, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as result:
                for item in job.rows:
                    results.append(record := self._record(folder, item))
                    for image in record["pictures"]:
                        result.write(folder / "pictures" / image["file"], image["file"])
                result.writestr("results.json", json.dumps(results, indent=1, ensure_ascii=False))
            temporary.replace(folder / "result.zip")
        finally:
            temporary.unlink(missing_ok=True)
        shutil.rmtree(folder / "pictures", ignore_errors=True)

    def result(self, job: Job) -> Path | None:
        """The finished zip."""
        path = self._folder / job.id / "result.zip"
        return path if path.exists() else None

    def remove(self, job: Job) -> None:
        """Delete a job."""
        shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def sweep(self, days: float) -> None:
        """Delete jobs that were finished so many days ago, and the remains of broken submissions."""
        now = time.time()
        for entry in (entry for entry in self._folder.iterdir() if entry.is_dir()):
            age, limit = 0.0, float("inf")
            if _ID.fullmatch(entry.name) and (entry / "result.zip").exists():
                age, limit = now - (entry / "result.zip").stat().st_mtime, days * 86_400
            elif entry.name.startswith(_BUILDING) or not (entry / "job.json").exists():
                age, limit = now - entry.stat().st_mtime, STALE_S
            if age > limit:
                shutil.rmtree(entry, ignore_errors=True)

    def _read(self, name: str) -> Job | None:
        try:
            return Job.model_validate_json((self._folder / name / "job.json").read_bytes())
        except (FileNotFoundError, ValidationError):  # removed meanwhile, or written by another version
            return None

    def _write_item(self, job: Job, item: JobItem, suffix: str, record: dict[str, Any]) -> None:
        path = self._folder / job.id / "rows" / f"{item.index:05d}.{suffix}"
        locations.write_text(str(path), json.dumps(record, ensure_ascii=False))

    def _record(self, folder: Path, item: JobItem) -> dict[str, Any]:
        base: dict[str, Any] = {"index": item.index, "name": item.ask.prompt}
        for suffix in ("done", "failed"):
            path = folder / "rows" / f"{item.index:05d}.{suffix}"
            if path.exists():
                return {**base, "status": suffix, "reason": None, "pictures": [], **json.loads(path.read_text("utf-8"))}
        return {**base, "status": "cancelled", "reason": "the job was cancelled", "pictures": []}


def _owner(name: str, client: bytes) -> str:
    """The digest of a job's owner, salted with the job's id: the disk shows no tokens, and not which jobs share one."""
    return hashlib.sha256(name.encode("ascii") + client).hexdigest()
