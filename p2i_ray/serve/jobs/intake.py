"""Takes submissions of jobs: room for them, idempotency keys, prices and quotas, then the disk."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from fastapi import Request

from p2i_ray.config.serve import ServeConfig
from p2i_ray.serve.edge.errors import APIError, bad_request, busy
from p2i_ray.serve.edge.forms import Form, read_form
from p2i_ray.serve.edge.quota import Quota
from p2i_ray.serve.images.protocol import Sampler
from p2i_ray.serve.jobs import idempotency
from p2i_ray.serve.jobs.quote import check_price, estimate, read_max_dollars
from p2i_ray.serve.jobs.schema import Estimate, Job, new_id, new_job
from p2i_ray.serve.jobs.store import JobExistsError, JobStore
from p2i_ray.serve.jobs.submission import Submission, SubmissionReader
from p2i_ray.serve.jobs.webhook import Webhooks

RETRY_AFTER_S = 60  # of a client with too many jobs
MAX_RECEIVING = 4  # submissions received at a time, each up to limits.max_job_bytes in memory
MAX_TEXT_BYTES = 4 << 20  # of the field `items`


class JobIntake:
    """Takes submissions. For one event loop.

    Args:
        store: of the jobs.
        reader: of their forms.
        sampler: knows its pace.
        quota: that a job's pictures are taken from.
        webhooks: that a submission may name.
        settings: limits, and the price of a replica.
    """

    def __init__(
        self,
        store: JobStore,
        reader: SubmissionReader,
        *,
        sampler: Sampler,
        quota: Quota,
        webhooks: Webhooks,
        settings: ServeConfig,
    ) -> None:
        self._store, self._reader, self._sampler = store, reader, sampler
        self._quota, self._webhooks, self._settings = quota, webhooks, settings
        self._receiving = 0
        self._storing = asyncio.Lock()  # of submissions with keys: the second one finds the first one's job
        self._arrivals: Counter[str] = Counter()  # submissions with keys that are not stored yet, by their jobs' ids
        self._called_off: set[str] = set()  # those of them that are to be refused

    async def take(self, request: Request) -> tuple[Job, bool]:
        """A submission's job, and whether it is new: an idempotency key may name one that is there.

        Raises:
            APIError: something of it is refused.
            OSError: it can't be stored.
        """
        client: bytes = request.state.client
        key = idempotency.read_key(request.headers)
        if key is None:
            await self._check_room(client)
            async with self._received(request) as form:
                return await self._added(client, form), True
        with self._arriving(idempotency.job_id(client, key)):
            if await self.job_of(client, key) is None:
                await self._check_room(client)
            async with self._received(request) as form:
                # Where its sender hangs up now, it is stored all the same: the key will find it.
                return await asyncio.shield(asyncio.ensure_future(self._add_once(client, form, key)))

    async def call_off(self, request: Request) -> Job | None:
        """The job of a request's key, to be cancelled; none: its submission was still arriving, and is refused.

        Raises:
            APIError: there is no key, and neither a job nor a submission of it in this process.
        """
        client: bytes = request.state.client
        key = idempotency.read_key(request.headers)
        if key is None:
            raise bad_request(f"give the {idempotency.HEADER} of the order", idempotency.HEADER)
        async with self._storing:
            job, name = await self.job_of(client, key), idempotency.job_id(client, key)
            if job is None and not self._arrivals[name]:
                raise APIError(404, f"no order of yours has this {idempotency.HEADER}", idempotency.HEADER, "not_found")
            if job is None:
                self._called_off.add(name)
            return job

    async def quote(self, request: Request) -> dict[str, Any]:
        """Quote a submission's time and cost.

        Raises:
            APIError: it would be refused for what it holds.
        """
        async with self._received(request) as form:
            submission = await asyncio.to_thread(self._reader.read, form, quote=True)
            said, _ = self._priced(form, submission)
            self._webhooks.check(form.texts.get("webhook", ""))
        items, unnamed = len(submission.items), submission.unnamed
        return {"object": "quote", "items": items, **said.model_dump(), "unnamed_files": unnamed}

    async def _add_once(self, client: bytes, form: Form, key: str) -> tuple[Job, bool]:
        name = idempotency.job_id(client, key)
        with self._arriving(name):
            content = await asyncio.to_thread(idempotency.digest, form)
            async with self._storing:
                job = await self.job_of(client, key)
                if job is None:
                    if name in self._called_off:
                        raise APIError(409, "the order was cancelled while it arrived", idempotency.HEADER, "cancelled")
                    try:
                        return await self._add(client, form, name, content), True
                    except JobExistsError:  # another process was first
                        job = await self.job_of(client, key)
        if job is None:
            raise busy(1, "the job of this key is being deleted; send it again", "busy")
        idempotency.check_same(job, content)
        return job, False

    async def _added(self, client: bytes, form: Form) -> Job:
        """Store a job that has no key. Where its sender hangs up meanwhile, it is taken back."""
        adding = asyncio.ensure_future(self._add(client, form, new_id(), None))
        try:
            return await asyncio.shield(adding)
        except asyncio.CancelledError:
            adding.add_done_callback(self._take_back)
            raise

    async def _add(self, client: bytes, form: Form, name: str, content: str | None) -> Job:
        submission = await asyncio.to_thread(self._reader.read, form)
        said, most = self._priced(form, submission)
        check_price(said, most)
        webhook = self._webhooks.check(form.texts.get("webhook", ""))
        about = {"content": content, "estimate": said, "webhook": webhook}
        job = new_job(client, submission.items, name, dollars_per_hour=self._settings.dollars_per_hour, **about)
        await asyncio.to_thread(self._quota.take, client, said.candidates, job=name)
        try:
            await asyncio.to_thread(self._store.add, job, submission.inputs)
        except JobExistsError:  # what was taken is that one's
            raise
        except Exception:
            await asyncio.to_thread(self._quota.settle, name, 0)
            raise
        return job

    def _take_back(self, added: asyncio.Future[Job]) -> None:
        if not added.cancelled() and added.exception() is None:
            self._store.remove(added.result())
            self._quota.settle(added.result().id, 0)

    def _priced(self, form: Form, submission: Submission) -> tuple[Estimate, float | None]:
        """A job's estimate, and the most that it may cost."""
        most = read_max_dollars(form.texts.get("max_dollars", ""))
        said = estimate(
            submission.items,
            self._sampler,
            workers=self._settings.job_workers,
            dollars_per_hour=self._settings.dollars_per_hour,
        )
        return said, most

    async def job_of(self, client: bytes, key: str) -> Job | None:
        """The job that a client's idempotency key stands for; none: there is none."""
        return await asyncio.to_thread(self._store.find, idempotency.job_id(client, key), client)

    async def _check_room(self, client: bytes) -> None:
        most = self._settings.limits.max_jobs
        unfinished = await asyncio.to_thread(self._store.unfinished)
        if sum(job.is_owned_by(client) for job in unfinished) >= most:
            raise busy(RETRY_AFTER_S, f"{most} of your jobs aren't finished; wait, or cancel one", "busy")

    @contextmanager
    def _arriving(self, name: str) -> Iterator[None]:
        """Count a submission while it can be called off, though it isn't stored."""
        self._arrivals[name] += 1
        try:
            yield
        finally:
            self._arrivals[name] -= 1
            if not self._arrivals[name]:
                del self._arrivals[name]
                self._called_off.discard(name)

    @asynccontextmanager
    async def _received(self, request: Request) -> AsyncIterator[Form]:
        """The form, a few at a time in memory."""
        if self._receiving >= MAX_RECEIVING:
            raise busy(RETRY_AFTER_S, "other jobs are arriving; send this one again later", "busy")
        self._receiving += 1
        try:
            yield await read_form(request, self._settings.limits.max_job_pictures + 2, MAX_TEXT_BYTES)
        finally:
            self._receiving -= 1
