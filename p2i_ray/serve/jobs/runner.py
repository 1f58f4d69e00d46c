"""Paints the rows of batch jobs, a few at a time, taking turns between jobs; what was cut off is painted again.

Of several processes on one folder, the one that holds the folder's lock paints; when it ends, another takes over.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from typing import IO

from p2i_ray.serve.edge.backpressure import NotReady, Overloaded
from p2i_ray.serve.edge.errors import LOADING_S, APIError
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.images.encoding import SUFFIX
from p2i_ray.serve.images.schema import EditRules, resolve
from p2i_ray.serve.images.service import ImageService
from p2i_ray.serve.jobs.store import Job, JobItem, JobStore

IDLE_S = 2.0  # how often the folder is looked at for another process's doings
TRIES = 3  # of a row that fails for no fault of its own


class JobRunner:
    """The jobs' painters: an asynchronous context, as long as which rows are painted."""

    def __init__(
        self, store: JobStore, studio: ImageService, rules: EditRules, watch: HTTPMetrics, workers: int, days: float
    ) -> None:
        self._store, self._studio, self._rules, self._watch = store, studio, rules, watch
        self._workers, self._days = workers, days
        self._painting: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._tries: dict[tuple[str, int], int] = {}
        self._turn = ""  # the job that was served last
        self._news = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> JobRunner:
        self._loop = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [task for task in (self._loop, *self._painting.values()) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self) -> None:
        """There is something new on disk."""
        self._news.set()

    def stop(self, job: Job) -> None:
        """Stop painting a job that was cancelled on disk."""
        for (name, _), task in self._painting.items():
            if name == job.id:
                task.cancel()
        self.wake()

    async def _run(self) -> None:
        with self._store.lock.open("a") as lock:
            while not _locked(lock):
                await self._rest()
            while True:
                try:
                    await self._look()
                except Exception as error:  # a full disk, say: the jobs wait, the application goes on
                    self._watch.failure(error)
                await self._rest()

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_S):
                await self._news.wait()
        self._news.clear()  # before the folder is looked at: what comes later is news again

    async def _look(self) -> None:
        """Finish jobs with nothing left to paint, then start as many rows as may be painted."""
        await asyncio.to_thread(self._store.sweep, self._days)
        waiting: dict[str, tuple[Job, list[JobItem]]] = {}
        for job in await asyncio.to_thread(self._store.unfinished):
            busy = any(name == job.id for name, _ in self._painting)
            finished = await asyncio.to_thread(self._store.finished_rows, job)
            left = [row for row in job.rows if row.index not in finished]
            if self._store.is_cancelled(job):
                left = []
            if not left and not busy:
                await asyncio.to_thread(self._store.finish, job)
                self._watch.log("job", job=job.id[:12], rows=len(job.rows), done=sum(finished.values()))
            ready = [row for row in left if (job.id, row.index) not in self._painting]
            if ready:
                waiting[job.id] = (job, ready)
        names = list(waiting)
        start = names.index(self._turn) + 1 if self._turn in names else 0
        names = names[start:] + names[:start]
        while names and len(self._painting) < self._workers:
            name = names.pop(0)
            job, rows = waiting[name]
            self._start(job, rows.pop(0))
            self._turn = name
            if rows:
                names.append(name)

    def _start(self, job: Job, row: JobItem) -> None:
        key = (job.id, row.index)
        task = asyncio.create_task(self._paint(job, row))
        self._painting[key] = task

        def over(_: asyncio.Task[None]) -> None:
            del self._painting[key]
            self.wake()

        task.add_done_callback(over)

    async def _paint(self, job: Job, row: JobItem) -> None:
        """Paint one row and keep what became of it; where the painter can't just now, it stays as it is for later."""
        try:
            image = await asyncio.to_thread(self._store.input, job, row.image)
            mask = None if row.mask is None else await asyncio.to_thread(self._store.input, job, row.mask)
            wish = resolve(row.ask, self._rules)
            pictures = await self._studio.make(wish, image, mask, "job")
        except Overloaded as error:
            await asyncio.sleep(error.retry_after_s)
        except NotReady:
            await asyncio.sleep(LOADING_S)
        except APIError as error:
            await self._failed(job, row, error.message)
        except Exception as error:  # whatever a model raises fails its row, not the shop
            self._watch.failure(error, job=job.id[:12], row=row.index)
            tries = self._tries[(job.id, row.index)] = self._tries.get((job.id, row.index), 0) + 1
            if tries >= TRIES:
                await self._failed(job, row, "internal error")
        else:
            names = [f"{row.index:05d}-{number}.{SUFFIX[wish.output_format]}" for number in range(len(pictures))]
            said = [{"file": name, **picture.said()} for name, picture in zip(names, pictures, strict=True)]
            files = [(name, picture.encoded) for name, picture in zip(names, pictures, strict=True)]
            await asyncio.to_thread(self._store.done, job, row, files, {"pictures": said})
            self._watch.item("done")

    async def _failed(self, job: Job, row: JobItem, reason: str) -> None:
        await asyncio.to_thread(self._store.failed, job, row, reason)
        self._watch.item("failed")


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
