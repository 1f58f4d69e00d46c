"""POST /v1/jobs, GET /v1/jobs/{id}, GET /v1/jobs/{id}/result, DELETE /v1/jobs/{id}.

A submission is a multipart form: files under names of the client's choice, and the field `items`, a JSON list of
{"image": FILE, "name": PRODUCT, "mask": FILE, "reference": FILE, …}, each with any field of an images edit. The form's
other text fields apply to all items.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import Request
from starlette.responses import FileResponse, JSONResponse, Response

from p2i_ray.config.serve import LimitsConfig
from p2i_ray.serve.edge.errors import NOT_FOUND, APIError, bad_request, busy
from p2i_ray.serve.edge.forms import Form, read_form, short
from p2i_ray.serve.edge.texts import check_texts, given
from p2i_ray.serve.images.schema import EditRules, parse, resolve
from p2i_ray.serve.jobs.runner import JobRunner
from p2i_ray.serve.jobs.store import Job, JobItem, JobStore

RETRY_AFTER_S = 60  # of a client with too many jobs
MAX_RECEIVING = 4  # submissions received at a time, each up to limits.max_job_bytes in memory
MAX_ITEMS_BYTES = 4 << 20  # of the field `items`
EXAMPLE = 'items must be a JSON list such as [{"image": "cup.png", "name": "Steel cup"}]'


class JobRoutes:
    """The routes of batch jobs."""

    def __init__(self, store: JobStore, runner: JobRunner, rules: EditRules, limits: LimitsConfig) -> None:
        self._store, self._runner, self._rules, self._limits = store, runner, rules, limits
        self._receiving = 0

    async def submit(self, request: Request) -> Response:
        """Store a job to be painted later; 202 with its id."""
        client: bytes = request.state.client
        unfinished = await asyncio.to_thread(self._store.unfinished)
        if self._store.owned(unfinished, client) >= self._limits.max_jobs:
            raise busy(
                RETRY_AFTER_S, f"{self._limits.max_jobs} of your jobs aren't finished; wait, or cancel one", "busy"
            )
        if self._receiving >= MAX_RECEIVING:
            raise busy(RETRY_AFTER_S, "other jobs are arriving; send this one again later", "busy")
        self._receiving += 1
        try:
            form = await read_form(request, self._limits.max_job_pictures, MAX_ITEMS_BYTES)
            items, inputs = self._items(form)
            job = await self._add(client, items, inputs)
        finally:
            self._receiving -= 1
        self._runner.wake()
        return JSONResponse(self._state(job), 202, headers={"Location": f"/v1/jobs/{job.id}"})

    async def _add(self, client: bytes, items: list[JobItem], inputs: list[bytes]) -> Job:
        """Store a job; when the client has hung up meanwhile, so that it never learns the id, take it back."""
        adding = asyncio.ensure_future(asyncio.to_thread(self._store.add, client, items, inputs))
        try:
            return await asyncio.shield(adding)
        except asyncio.CancelledError:
            adding.add_done_callback(self._take_back)
            raise

    def _take_back(self, added: asyncio.Future[Job]) -> None:
        if not added.cancelled() and added.exception() is None:
            self._store.remove(added.result())

    async def progress(self, request: Request, job: str) -> Response:
        """The progress of a job."""
        return JSONResponse(self._state(self._find(request, job)))

    async def result(self, request: Request, job: str) -> Response:
        """The finished job: a zip of its images and results.json."""
        found = self._find(request, job)
        path = self._store.result(found)
        if path is None:
            progress = self._store.progress(found)
            count = progress.done + progress.failed
            text = f"the result isn't there yet, {count} of {progress.total} rows are finished; ask again later"
            raise APIError(409, text, None, "unfinished")
        return FileResponse(path, media_type="application/zip", filename=f"{found.id}.zip")

    async def cancel(self, request: Request, job: str) -> Response:
        """Stop an unfinished job, keeping what is painted; delete a finished one."""
        found = self._find(request, job)
        if self._store.result(found):
            await asyncio.to_thread(self._store.remove, found)
            return JSONResponse({"id": found.id, "object": "job", "status": "deleted"})
        self._store.cancel(found)
        self._runner.stop(found)
        return JSONResponse(self._state(found))

    def _find(self, request: Request, name: str) -> Job:
        found = self._store.find(name, request.state.client)
        if found is None:
            raise APIError(404, f"there is no such job of yours; {NOT_FOUND}", None, "not_found")
        return found

    def _state(self, job: Job) -> dict[str, Any]:
        progress = self._store.progress(job)
        return {"id": job.id, "object": "job", "created": job.created, **progress.model_dump()}

    def _items(self, form: Form) -> tuple[list[JobItem], list[bytes]]:
        """The items of a submission, each checked, and the files they name."""
        shared = {name: text for name, text in form.texts.items() if name != "items"}
        numbers = {name: number for number, name in enumerate(form.files)}
        for name, contents in form.files.items():
            if len(contents) > 1:
                raise bad_request(f"{len(contents)} files are named {short(name)}; give each its own name", short(name))
        items: list[JobItem] = []
        images = 0
        for index, fields in enumerate(_parse_items(form.texts.get("items", ""))):
            try:
                item = self._item(index, fields, shared, numbers)
            except APIError as error:
                param = f"items[{index}].{error.param}" if error.param else f"items[{index}]"
                raise bad_request(f"items[{index}]: {error.message}", param, error.code) from None
            items.append(item)
            images += item.ask.max_candidates or item.ask.best_of or item.ask.n
            if images > self._limits.max_job_pictures:
                raise bad_request(
                    f"a job paints at most {self._limits.max_job_pictures} pictures; send several", "items"
                )
        used = {number for item in items for number in (item.image, item.mask, item.reference)}
        for name, number in numbers.items():
            if number not in used:
                raise bad_request(f"no item names the file {short(name)}; name it or leave it out", short(name))
        return items, [contents[0] for contents in form.files.values()]

    def _item(self, index: int, content: Any, shared: dict[str, str], numbers: dict[str, int]) -> JobItem:
        if not isinstance(content, dict):
            raise bad_request(EXAMPLE, None)
        check_texts(content)
        fields = given(content, known=content)  # null: as the form says; an empty text overrides it
        files: dict[str, int | None] = {}
        for part in ("image", "mask", "reference"):
            name = fields.pop(part, None)
            if name is None and part == "image":
                raise bad_request("image is missing; name the file of the product's picture", part)
            if name is not None and (not isinstance(name, str) or name not in numbers):
                raise bad_request(f"{part} names no file of this request", part)
            if name is not None and part == "reference" and not self._rules.generators.personality:
                raise bad_request("a reference needs a server with generators.personality; leave it out", part)
            files[part] = None if name is None else numbers[name]
        if "name" in fields:
            fields["prompt"] = fields.pop("name")
        request = parse({**shared, **fields})
        params = resolve(request, self._rules)
        image = files["image"]
        assert image is not None
        return JobItem(
            index=index,
            ask=request.model_copy(
                update={"seed": params.seed, "max_candidates": None if params.accept == "any" else params.most}
            ),
            image=image,
            mask=files["mask"],
            reference=files["reference"],
        )


def _parse_items(text: str) -> list[Any]:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        raise bad_request(EXAMPLE, "items") from None
    if not isinstance(items, list) or not items:
        raise bad_request(EXAMPLE, "items")
    return items
