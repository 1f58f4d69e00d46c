"""The routes of batch jobs.

POST /v1/jobs, /v1/jobs/quote and /v1/jobs/cancel, GET /v1/jobs, GET /v1/jobs/{id} and /v1/jobs/{id}/result, POST
/v1/jobs/{id}/pause, /v1/jobs/{id}/resume and /v1/jobs/{id}/cancel, DELETE /v1/jobs/{id}.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from fastapi import Request
from starlette.responses import FileResponse, JSONResponse, Response

from p2i_ray.serve.edge.errors import NOT_FOUND, APIError, bad_request
from p2i_ray.serve.jobs.idempotency import REPLAYED, read_key
from p2i_ray.serve.jobs.intake import JobIntake
from p2i_ray.serve.jobs.progress import progress, state
from p2i_ray.serve.jobs.runner import JobRunner
from p2i_ray.serve.jobs.schema import Job
from p2i_ray.serve.jobs.store import JobStore

LISTED, MOST_LISTED = 20, 100  # jobs of a page
_COUNT = re.compile("[0-9]{1,9}")  # int() refuses thousands of digits with an error of its own


class JobRoutes:
    """The routes of batch jobs.

    Args:
        store: of the jobs.
        runner: paints them.
        intake: takes submissions.
        workers: items painted at a time.

    Attributes:
        runner: paints while its context is open.
    """

    def __init__(self, store: JobStore, runner: JobRunner, intake: JobIntake, *, workers: int) -> None:
        self.runner = runner
        self._store, self._intake, self._workers = store, intake, workers

    async def submit(self, request: Request) -> Response:
        """Store a job to be painted later; 202 with its id. 200: its idempotency key names a job that was there."""
        job, is_new = await self._intake.take(request)
        headers = {"Location": f"/v1/jobs/{job.id}"}
        if is_new:
            self.runner.wake()
        else:
            headers[REPLAYED] = "true"
        return JSONResponse(await self._state(job), 202 if is_new else 200, headers=headers)

    async def quote(self, request: Request) -> Response:
        """Quote a submission's time and cost; nothing is stored or painted."""
        return JSONResponse(await self._intake.quote(request))

    async def own(self, request: Request) -> Response:
        """The client's own jobs, the newest first, a page of them; with an idempotency key the one that it names."""
        if (key := read_key(request.headers)) is not None:
            named = await self._intake.job_of(request.state.client, key)
            states = [await self._state(named)] if named else []
            return JSONResponse({"object": "list", "data": states, "has_more": False})
        limit, after = _page(request)
        jobs = await asyncio.to_thread(self._store.of_client, request.state.client)
        if after is not None:
            places = [place for place, job in enumerate(jobs) if job.id == after]
            if not places:
                raise bad_request("after names no job of yours; name the last one of the page before", "after")
            jobs = jobs[places[0] + 1 :]
        states = [await self._state(job) for job in jobs[:limit]]
        return JSONResponse({"object": "list", "data": states, "has_more": len(jobs) > limit})

    async def progress(self, request: Request, job: str) -> Response:
        """The progress of a job."""
        return JSONResponse(await self._state(self._find(request, job)))

    async def result(self, request: Request, job: str) -> Response:
        """The finished job: a zip of its images and what is said of them."""
        found = self._find(request, job)
        path = self._store.result(found)
        if path is None:
            now = await asyncio.to_thread(progress, found, self._store, workers=self._workers)
            count = now.done + now.failed
            text = f"the result isn't there yet, {count} of {now.total} rows are finished; ask again later"
            raise APIError(409, text, None, "unfinished")
        return FileResponse(path, media_type="application/zip", filename=f"{found.id}.zip")

    async def pause(self, request: Request, job: str) -> Response:
        """Begin nothing more of an unfinished job; what is being painted is finished."""
        found = self._unfinished(request, job)
        await asyncio.to_thread(self._store.pause, found)
        return JSONResponse(await self._state(found))

    async def resume(self, request: Request, job: str) -> Response:
        """Go on with a paused job."""
        found = self._unfinished(request, job)
        await asyncio.to_thread(self._store.resume, found)
        self.runner.wake()
        return JSONResponse(await self._state(found))

    async def cancel(self, request: Request, job: str) -> Response:
        """Stop an unfinished job, keeping what is painted; one that has ended stays as it is, so it may come twice."""
        found = self._find(request, job)
        if not self._store.result(found):
            self._store.cancel(found)
            self.runner.stop(found)
        return JSONResponse(await self._state(found))

    async def cancel_by_key(self, request: Request) -> Response:
        """Stop the job of an idempotency key, or refuse its submission, which is still arriving."""
        found = await self._intake.call_off(request)
        if found is None:
            return JSONResponse({"object": "job", "status": "cancelled"})
        return await self.cancel(request, found.id)

    async def delete(self, request: Request, job: str) -> Response:
        """Delete a job that has ended, with what is painted; stop an unfinished one."""
        found = self._find(request, job)
        if not self._store.result(found):
            return await self.cancel(request, job)
        await asyncio.to_thread(self._store.remove, found)
        return JSONResponse({"id": found.id, "object": "job", "status": "deleted"})

    def _find(self, request: Request, name: str) -> Job:
        found = self._store.find(name, request.state.client)
        if found is None:
            raise APIError(404, f"there is no such job of yours; {NOT_FOUND}", None, "not_found")
        return found

    def _unfinished(self, request: Request, name: str) -> Job:
        found = self._find(request, name)
        if self._store.result(found) or self._store.is_cancelled(found):
            raise APIError(409, "the job has ended; there is nothing to pause or resume", None, "ended")
        return found

    async def _state(self, job: Job) -> dict[str, Any]:
        return await asyncio.to_thread(state, job, self._store, workers=self._workers)


def _page(request: Request) -> tuple[int, str | None]:
    """The query's limit and after."""
    limit = request.query_params.get("limit", str(LISTED))
    if not _COUNT.fullmatch(limit) or not 1 <= int(limit) <= MOST_LISTED:
        raise bad_request(f"limit must be from 1 to {MOST_LISTED}", "limit")
    return int(limit), request.query_params.get("after") or None
