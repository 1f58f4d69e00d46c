"""Batch jobs on disk, so that they outlive the application. The disk is the state; several processes may read it.

A job's folder appears whole, by a rename:

    job.json             its owner, time and items
    inputs/0007          the images as received
    pictures/00003-1.png painted
    rows/00003.done      a finished item, JSON (or 00003.failed); written after its images
    paused               the client has paused the job; removed when it is resumed
    cancelled            the client cancelled the job
    result.zip           the result: images, results.json, results.csv and summary.json
    webhook.json         tries to tell the client's webhook of the end
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from p2i_ray.errors import UserError
from p2i_ray.serve.jobs.results import record, write_zip
from p2i_ray.serve.jobs.schema import Delivery, Job, JobItem, Record
from p2i_ray.storage import locations

RESULT, WEBHOOK = "result.zip", "webhook.json"
_ID = re.compile(r"job_[0-9a-f]{32}")
_BUILDING = "building-"  # prefix of a submission that isn't complete
_WRITING = "writing-"  # prefix of a result that isn't complete
STALE_S = 3_600  # age at which an incomplete submission is deleted


class JobExistsError(Exception):
    """There is a job of this id."""


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

    @property
    def usage(self) -> Path:
        """The file in which clients' pictures are counted."""
        return self._folder / "usage.sqlite3"

    def add(self, job: Job, inputs: Sequence[bytes]) -> None:
        """Store a new job.

        Args:
            job: see `new_job`.
            inputs: the images that its items name, by number.

        Raises:
            JobExistsError: there is one of this id; it stays as it is.
        """
        building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=self._folder))
        try:
            for part in ("inputs", "pictures", "rows"):
                (building / part).mkdir()
            for number, image in enumerate(inputs):
                (building / "inputs" / f"{number:04d}").write_bytes(image)
            if job.webhook:
                message = Delivery(id=f"msg_{secrets.token_hex(16)}")
                locations.write_text(str(building / WEBHOOK), message.model_dump_json())
            locations.write_text(str(building / "job.json"), job.model_dump_json())
            building.rename(self._folder / job.id)
        except BaseException as error:
            shutil.rmtree(building, ignore_errors=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise JobExistsError(job.id) from None
            raise

    def find(self, name: str, client: bytes) -> Job | None:
        """A client's own job; none for another client's, and for what is no job's id."""
        job = self._read(name) if _ID.fullmatch(name) else None
        return job if job and job.is_owned_by(client) else None

    def unfinished(self) -> list[Job]:
        """The jobs without a result, the oldest first."""
        names = [name for name in self._names() if not (self._folder / name / RESULT).exists()]
        return sorted(self._jobs(names), key=lambda job: (job.created, job.id))

    def of_client(self, client: bytes) -> list[Job]:
        """A client's jobs, the newest first."""
        jobs = [(job, self._stored(job)) for job in self._jobs(self._names()) if job.is_owned_by(client)]
        newest = sorted(jobs, key=lambda one: (one[0].created, one[1], one[0].id), reverse=True)
        return [job for job, _ in newest]

    def finished_items(self, job: Job) -> dict[int, bool]:
        """The indices of finished items, and whether they were painted."""
        names = [path.name.partition(".") for path in (self._folder / job.id / "rows").glob("*.*")]
        return {int(stem): suffix == "done" for stem, _, suffix in names if stem.isdigit()}

    def records(self, job: Job) -> list[Record]:
        """Outcomes of the items, in their order; one that isn't finished counts as cancelled."""
        return [self._record(self._folder / job.id, item) for item in job.rows]

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

    def pause(self, job: Job) -> None:
        """Mark a job as paused: nothing more of it is begun."""
        locations.write_bytes(str(self._folder / job.id / "paused"), b"")

    def resume(self, job: Job) -> None:
        """Take `pause` back."""
        (self._folder / job.id / "paused").unlink(missing_ok=True)

    def is_paused(self, job: Job) -> bool:
        """Whether a job is paused."""
        return (self._folder / job.id / "paused").exists()

    def finish(self, job: Job) -> None:
        """Write the result; see `write_zip`.

        Nothing more is painted of the job, so that its inputs make room before.
        """
        folder = self._folder / job.id
        shutil.rmtree(folder / "inputs", ignore_errors=True)
        for left in folder.glob(f"{_WRITING}*"):  # by a process that was killed
            left.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(prefix=_WRITING, dir=folder)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as out:
                write_zip(out, job, self.records(job), folder / "pictures")
                out.flush()
                os.fsync(out.fileno())  # before the pictures go
            temporary.replace(folder / RESULT)
        finally:
            temporary.unlink(missing_ok=True)
        shutil.rmtree(folder / "pictures", ignore_errors=True)

    def result(self, job: Job) -> Path | None:
        """The finished zip."""
        path = self._folder / job.id / RESULT
        return path if path.exists() else None

    def ended(self, job: Job) -> float | None:
        """The time at which its result was written, Unix time in seconds; none: it isn't there."""
        try:
            return (self._folder / job.id / RESULT).stat().st_mtime
        except FileNotFoundError:
            return None

    def remove(self, job: Job) -> None:
        """Delete a job, at once for whoever asks for it."""
        self._remove(self._folder / job.id)

    def delivery(self, job: Job) -> Delivery | None:
        """The state of the client's webhook; none: it has none."""
        return self._delivery(job.id)

    def set_delivery(self, job: Job, delivery: Delivery) -> None:
        """Store how far a message is, whose job is still there: not an order that was sent anew under its id."""
        current = self._delivery(job.id)
        if current is not None and current.id == delivery.id:
            locations.write_text(str(self._folder / job.id / WEBHOOK), delivery.model_dump_json())

    def undelivered(self) -> list[tuple[Job, Delivery]]:
        """The finished jobs whose webhook was neither accepted nor given up."""
        names = [name for name in self._names() if (self._folder / name / RESULT).exists()]
        pending = {name: found for name in names if (found := self._delivery(name)) and found.status == "pending"}
        return [(job, pending[job.id]) for job in self._jobs(pending)]

    def sweep(self, days: float) -> None:
        """Delete jobs that were finished so many days ago, and the remains of broken submissions.

        Folders of other names are somebody else's, and stay.
        """
        now = time.time()
        for entry in (entry for entry in self._folder.iterdir() if entry.is_dir()):
            age, limit, own = 0.0, float("inf"), bool(_ID.fullmatch(entry.name))
            if own and (entry / RESULT).exists():
                age, limit = now - (entry / RESULT).stat().st_mtime, days * 86_400
            elif entry.name.startswith(_BUILDING) or (own and not (entry / "job.json").exists()):
                age, limit = now - entry.stat().st_mtime, STALE_S
            if age > limit:
                self._remove(entry)

    def _remove(self, folder: Path) -> None:
        """Delete a folder; what is left of it after an interruption is no job's any more."""
        gone = self._folder / f"{_BUILDING}{secrets.token_hex(8)}"
        with contextlib.suppress(FileNotFoundError):  # another process was first
            folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def _names(self) -> list[str]:
        return [entry.name for entry in self._folder.iterdir() if _ID.fullmatch(entry.name)]

    def _jobs(self, names: Iterable[str]) -> list[Job]:
        return [job for name in names if (job := self._read(name))]

    def _stored(self, job: Job) -> int:
        """The time at which a job was stored, nanoseconds; 0: it is gone."""
        try:
            return (self._folder / job.id / "job.json").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _delivery(self, name: str) -> Delivery | None:
        try:
            return Delivery.model_validate_json((self._folder / name / WEBHOOK).read_bytes())
        except (FileNotFoundError, ValidationError):  # it has none, or another version's
            return None

    def _read(self, name: str) -> Job | None:
        try:
            return Job.model_validate_json((self._folder / name / "job.json").read_bytes())
        except (FileNotFoundError, ValidationError):  # removed meanwhile, or written by another version
            return None

    def _write_item(self, job: Job, item: JobItem, suffix: str, record: dict[str, Any]) -> None:
        path = self._folder / job.id / "rows" / f"{item.index:05d}.{suffix}"
        locations.write_text(str(path), json.dumps(record, ensure_ascii=False))

    def _record(self, folder: Path, item: JobItem) -> Record:
        for suffix in ("done", "failed"):
            with contextlib.suppress(FileNotFoundError):
                outcome = (folder / "rows" / f"{item.index:05d}.{suffix}").read_text("utf-8")
                return record(item, {"status": suffix, **json.loads(outcome)})
        return record(item, {"status": "cancelled", "reason": "the job was cancelled"})
