"""Painting of batch jobs: a few items at a time, round robin between jobs; interrupted items are painted again.

Of several processes on one folder, the one that holds the folder's lock paints; when it ends, another takes over.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from p2i_ray.serve.edge.backpressure import Late, NotReady, Overloaded, TooMuchWork
from p2i_ray.serve.edge.errors import LOADING_S, APIError
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.edge.quota import Quota
from p2i_ray.serve.images.acceptance import Tally
from p2i_ray.serve.images.params import EditRules, resolve
from p2i_ray.serve.images.service import ImageService, Pictures
from p2i_ray.serve.jobs.backoff import Backoff
from p2i_ray.serve.jobs.file_names import picture_name
from p2i_ray.serve.jobs.schema import Job, JobItem
from p2i_ray.serve.jobs.store import JobStore
from p2i_ray.serve.jobs.webhook import Webhooks

POLL_S = 2.0  # interval of checking the folder for changes by other processes
TRIES = 3  # of an item whose failure isn't the client's


class JobRunner:
    """Paints jobs while its asynchronous context is open.

    Args:
        store: of the jobs.
        service: paints.
        rules: that items are resolved with.
        metrics: items are counted there.
        quota: pictures that were not painted are given back to it.
        webhooks: are told of what has ended.
        workers: items painted at a time.
        days: how long results are kept.
    """

    def __init__(
        self,
        store: JobStore,
        service: ImageService,
        rules: EditRules,
        metrics: HTTPMetrics,
        *,
        quota: Quota,
        webhooks: Webhooks,
        workers: int,
        days: float,
    ) -> None:
        self._store, self._service, self._rules, self._metrics = store, service, rules, metrics
        self._quota, self._webhooks = quota, webhooks
        self._workers, self._days = workers, days
        self._painting: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._tries: dict[tuple[str, int], int] = {}
        self._lost: dict[tuple[str, int], Tally] = {}  # what tries took that came to nothing
        # While the disk is full or broken: what is painted is kept, nothing is painted again, the log has one line.
        self._storage, self._finishing = self._backoff(), dict[str, Backoff]()
        self._steps = Backoff(began=metrics.failure, ended=lambda: metrics.log("jobs go on"))
        self._last = ""  # the job whose item was started last
        self._changed = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> JobRunner:
        self._webhooks.tried = self.wake  # the next may be due before the folder is looked at again
        self._loop = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [task for task in (self._loop, *self._painting.values()) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._webhooks.close()

    def wake(self) -> None:
        """Check the folder now: it has changed."""
        self._changed.set()

    def stop(self, job: Job) -> None:
        """Stop painting a job that is marked as cancelled."""
        for (name, _), task in self._painting.items():
            if name == job.id:
                task.cancel()
        self.wake()

    async def _run(self) -> None:
        with self._store.lock.open("a") as lock:
            while not _locked(lock):
                await self._wait()
            while True:
                due_s = math.inf
                try:
                    due_s = await self._step()
                except Exception as error:  # e.g. a folder that can't be read: the jobs wait, the application goes on
                    self._steps.failed(error)
                else:
                    self._steps.worked()
                await self._wait(min(due_s, max(POLL_S, self._steps.wait_s)))

    async def _wait(self, longest_s: float = POLL_S) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._changed.wait()
        self._changed.clear()  # before the folder is read: a later change sets it again

    async def _step(self) -> float:
        """Finish jobs with nothing left to paint, then start as many items as may be painted at a time.

        Returns the seconds until a webhook is to be tried again.
        """
        await asyncio.to_thread(self._store.sweep, self._days)
        due_s = await self._webhooks.step()
        waiting: dict[str, tuple[Job, list[JobItem]]] = {}
        for job in await asyncio.to_thread(self._store.unfinished):
            painting = {index for name, index in self._painting if name == job.id}  # before the outcomes are read
            finished = await asyncio.to_thread(self._store.finished_items, job)
            left = [item for item in job.rows if item.index not in finished]
            if self._store.is_cancelled(job):
                left = []
            if not left and not painting:
                await self._finish(job, finished)
            if self._store.is_paused(job):
                continue
            ready = [item for item in left if item.index not in painting]
            if ready:
                waiting[job.id] = (job, ready)
        names = list(waiting)
        start = names.index(self._last) + 1 if self._last in names else 0
        names = names[start:] + names[:start]
        while names and len(self._painting) < self._workers:
            name = names.pop(0)
            job, items = waiting[name]
            self._start(job, items.pop(0))
            self._last = name
            if items:
                names.append(name)
        return due_s

    async def _finish(self, job: Job, finished: Mapping[int, bool]) -> None:
        """Write a job's result; where that fails, now and then again."""
        backoff = self._finishing.setdefault(job.id, self._backoff())
        if backoff.wait_s:
            return
        painted = sum(record.get("painted", 0) for record in await asyncio.to_thread(self._store.records, job))
        try:
            await asyncio.to_thread(self._quota.settle, job.id, painted)
            await asyncio.to_thread(self._store.finish, job)
        except OSError as error:
            backoff.failed(error)
            return
        backoff.worked()
        del self._finishing[job.id]
        for item in job.rows:  # a later order under its key has the same id
            self._tries.pop((job.id, item.index), None)
            self._lost.pop((job.id, item.index), None)
        self._metrics.log("job", job=job.id[:12], rows=len(job.rows), done=sum(finished.values()))
        self.wake()  # its webhook is due

    def _backoff(self) -> Backoff:
        return Backoff(began=self._metrics.storage_fails, ended=self._metrics.storage_works)

    def _start(self, job: Job, item: JobItem) -> None:
        key = (job.id, item.index)
        task = asyncio.create_task(self._paint(job, item))
        self._painting[key] = task

        def finished(_: asyncio.Task[None]) -> None:
            del self._painting[key]
            self.wake()

        task.add_done_callback(finished)

    async def _paint(self, job: Job, item: JobItem) -> None:
        """Paint one item and store the outcome; while the sampler is unavailable, the item stays unfinished."""
        tally, begin, key = Tally(), time.monotonic(), (job.id, item.index)
        try:
            pictures = await asyncio.to_thread(self._pictures, job, item)
            params = resolve(item.ask, self._rules)
            images = await self._service.generate(params, pictures, tally, source="job")
            took = self._taken(key, tally, begin)
            form = params.output_format
            names = [picture_name(item, k, size=str(image.size), form=form) for k, image in enumerate(images)]
            records = [{"file": name, **image.metadata()} for name, image in zip(names, images, strict=True)]
            files = [(name, image.encoded) for name, image in zip(names, images, strict=True)]
            await self._stored(lambda: self._store.done(job, item, files, {**took, "pictures": records}))
            self._metrics.item("done")
        except Late as error:
            tries = self._tries[key] = self._tries.get(key, 0) + 1
            if tries >= TRIES:
                reason = f"it wasn't painted within {error.most_s:g} s, {tries} times"
                advice = "ask for fewer pictures or steps, or a smaller size"
                await self._failed(job, item, f"{reason}; {advice}", self._taken(key, tally, begin))
                return
            self._lost[key] = self._with_lost(key, tally)
            await asyncio.sleep(error.retry_after_s)
        except (Overloaded, NotReady) as error:
            self._lost[key] = self._with_lost(key, tally)
            await asyncio.sleep(error.retry_after_s if isinstance(error, Overloaded) else LOADING_S)
        except (APIError, TooMuchWork) as error:
            await self._failed(job, item, str(error), self._taken(key, tally, begin))
        except Exception as error:  # whatever a model raises fails its item, not the service
            self._metrics.failure(error, job=job.id[:12], item=item.index)
            tries = self._tries[key] = self._tries.get(key, 0) + 1
            if tries >= TRIES:
                await self._failed(job, item, "internal error", self._taken(key, tally, begin))
            else:
                self._lost[key] = self._with_lost(key, tally)

    def _pictures(self, job: Job, item: JobItem) -> Pictures:
        mask, reference = (None if one is None else self._store.input(job, one) for one in (item.mask, item.reference))
        return Pictures(self._store.input(job, item.image), mask, reference)

    def _with_lost(self, key: tuple[str, int], tally: Tally) -> Tally:
        """The cost of an item's last try and of those before it; refusals are the last one's."""
        lost = self._lost.get(key, Tally())
        return Tally(lost.painted + tally.painted, lost.seconds + tally.seconds, tally.refused)

    def _taken(self, key: tuple[str, int], tally: Tally, begin: float) -> dict[str, Any]:
        """The cost of a finished item, as its record has it; nothing where nothing was painted.

        Args:
            key: of the item.
            tally: of its last try.
            begin: of that, monotonic seconds.
        """
        whole = self._with_lost(key, tally)
        self._lost.pop(key, None)
        return {"seconds": round(time.monotonic() - begin, 3), **whole.totals()} if whole.painted else {}

    async def _failed(self, job: Job, item: JobItem, reason: str, took: Mapping[str, Any]) -> None:
        await self._stored(lambda: self._store.failed(job, item, reason, took))
        self._metrics.item("failed")

    async def _stored(self, write: Callable[[], None]) -> None:
        """Store an item's outcome; while that fails it is kept here, and nothing else is painted in its place."""
        while True:
            await asyncio.sleep(self._storage.wait_s)
            try:
                await _written(write)
            except OSError as error:
                self._storage.failed(error)
            else:
                self._storage.worked()
                return


async def _written(write: Callable[[], None]) -> None:
    """Write in a thread, which goes on when the task is cancelled: until its end the job's result must not be written.

    A task that is cancelled meanwhile ends as if it were not, where the item is stored.
    """
    writing = asyncio.ensure_future(asyncio.to_thread(write))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait({writing})
        if writing.exception() is not None:
            raise


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
