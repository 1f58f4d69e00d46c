"""Webhooks: a client's own address is told when its job ends, in a signed message that is sent until it is accepted.

How far each message is stands in the job's folder: after a restart it is sent again, so that it arrives at least once.
Redirects are not followed, the answer's body is not read, and no proxy of the environment is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import httpx

from p2i_ray.config.serve import WebhooksConfig
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.jobs import signature
from p2i_ray.serve.jobs.backoff import Backoff
from p2i_ray.serve.jobs.schema import Delivery, Job
from p2i_ray.serve.jobs.store import JobStore
from p2i_ray.serve.jobs.webhook_address import RefusedAddressError, check_url, read_allowed, resolve

AT_A_TIME = 4  # messages being sent
GROWTH = 4  # of the pause between two tries
LONGEST_S = 6 * 3_600.0  # pause
GONE = 410  # the receiver wants no more


def signing_secrets(settings: WebhooksConfig, environment: Mapping[str, str]) -> list[bytes]:
    """The secrets that sign, where any address is allowed.

    Args:
        settings: allowed addresses, and the name of the variable.
        environment: that has it.

    Raises:
        UserError: an allowed address is none, or nothing signs.
    """
    if not read_allowed(settings.allowed):
        return []
    return signature.read_secrets(environment.get(settings.secret_env, ""), settings.secret_env)


class Webhooks:
    """Sends what is due whenever it is stepped, by one process of those on a folder.

    Args:
        store: of the jobs.
        settings: allowed addresses, tries and pauses.
        secrets: that sign.
        state: what a job's client is told of it; reads the disk.
        metrics: messages are logged there.
        tls: that receivers' certificates are checked with (none: against the usual authorities).
        clock: Unix time, seconds.

    Raises:
        UserError: an allowed address is none.
    """

    def __init__(
        self,
        store: JobStore,
        settings: WebhooksConfig,
        *,
        secrets: Sequence[bytes],
        state: Callable[[Job], dict[str, Any]],
        metrics: HTTPMetrics,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._settings, self._secrets = store, settings, secrets
        self._state, self._metrics, self._clock = state, metrics, clock
        self._given_tls = tls
        self._allowed = read_allowed(settings.allowed)
        self._sending: dict[str, asyncio.Task[None]] = {}
        self.tried: Callable[[], None] = lambda: None  # called after each try
        self._trouble = Backoff(began=metrics.failure, ended=lambda: metrics.log("webhooks go on"))  # on this machine

    def check(self, url: str) -> str | None:
        """A submission's webhook; none: it has none.

        Raises:
            APIError: it is refused.
        """
        return check_url(url, self._allowed) if url else None

    async def close(self) -> None:
        """Stop sending; what is on its way is sent again by the next process."""
        tasks = list(self._sending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def step(self) -> float:
        """Start to send what is due, a few messages at a time; returns the seconds until the next try is due."""
        due_s = math.inf
        if self._trouble.wait_s:
            return due_s
        for job, delivery in await asyncio.to_thread(self._store.undelivered):
            if job.id in self._sending:
                continue
            if (wait_s := delivery.next - self._clock()) > 0:
                due_s = min(due_s, wait_s)
            elif len(self._sending) < AT_A_TIME:
                self._start(job, delivery)
        return due_s

    def _start(self, job: Job, delivery: Delivery) -> None:
        task = self._sending[job.id] = asyncio.create_task(self._deliver(job, delivery))

        def finished(_: asyncio.Task[None]) -> None:
            del self._sending[job.id]
            self.tried()

        task.add_done_callback(finished)

    async def _deliver(self, job: Job, before: Delivery) -> None:
        """Try once, and store what came of it; while that can't be stored, the message comes again, ever later."""
        try:
            await self._try(job, before)
        except Exception as error:
            self._trouble.failed(error)
        else:
            self._trouble.worked()

    async def _try(self, job: Job, before: Delivery) -> None:
        told = await asyncio.to_thread(self._state, job)
        current = await asyncio.to_thread(self._store.delivery, job)
        if current is None or current.id != before.id:  # deleted since; an order sent anew has the id of the old one
            return
        try:
            error, final = await self._error(job, before.id or f"{job.id}_ended", told), False
        except RefusedAddressError as refused:
            error, final = f"not sent: {refused}", True
        if error == str(GONE):
            final = True
        tries = before.tries + 1
        if error is None:
            after = Delivery(id=before.id, status="delivered", tries=tries)
        elif final or tries >= self._settings.tries:
            after = Delivery(id=before.id, status="failed", tries=tries, error=error)
        else:
            pause_s = min(LONGEST_S, self._settings.retry_s * GROWTH ** (tries - 1))
            after = Delivery(id=before.id, tries=tries, next=self._clock() + pause_s, error=error)
        self._metrics.log("webhook", job=job.id[:12], status=after.status, tries=tries, error=error)
        await asyncio.to_thread(self._store.set_delivery, job, after)

    async def _error(self, job: Job, message: str, told: dict[str, Any]) -> str | None:
        """Send a job's state under a message's id; why it wasn't accepted, none: it was.

        Raises:
            RefusedAddressError: the address must not be called.
        """
        url = httpx.URL(job.webhook or "")
        body = _body(told)
        signed = signature.headers(message, int(self._clock()), body, self._secrets)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                addresses = await resolve(url, self._allowed)
                status = await self._post_to_any(url, addresses, body, signed)
        except TimeoutError:
            return f"no answer within {self._settings.timeout_s:g} s"
        except (httpx.HTTPError, OSError) as error:
            return _reason(error)
        return None if 200 <= status < 300 else str(status)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """The check of receivers' certificates: made once, since reading the authorities takes 20 ms."""
        return self._given_tls or httpx.create_ssl_context(trust_env=False)

    async def _post_to_any(self, url: httpx.URL, addresses: list[str], body: bytes, signed: dict[str, str]) -> int:
        """The status of the first address that takes a connection: localhost is often ::1, where few listen, first."""
        connect_s = self._settings.timeout_s / len(addresses)
        for address in addresses[:-1]:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._post(url, address, body, signed, connect_s=connect_s)
        return await self._post(url, addresses[-1], body, signed, connect_s=connect_s)

    async def _post(
        self, url: httpx.URL, address: str, body: bytes, signed: dict[str, str], *, connect_s: float
    ) -> int:
        """The status of the answer of the machine at an address; its certificate must be the host's."""
        headers = {**signed, "content-type": "application/json", "host": url.netloc.decode("ascii")}
        options: dict[str, Any] = {"follow_redirects": False, "trust_env": False, "verify": self._tls}
        timeout = httpx.Timeout(self._settings.timeout_s, connect=connect_s)
        async with httpx.AsyncClient(timeout=timeout, **options) as client:
            request = client.build_request(
                "POST",
                url.copy_with(host=address),
                content=body,
                headers=headers,
                extensions={"sni_hostname": url.host},
            )
            answer = await client.send(request, stream=True)
            await answer.aclose()
            return answer.status_code


def _reason(error: BaseException) -> str:
    """The reason for a missing answer, for the job's client."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(one, socket.gaierror) for one in causes):
        return "its host's name is not known"
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in causes):
        return "its certificate is not trusted, or not its host's"
    if any(isinstance(one, ssl.SSLError) for one in causes):
        return "it takes no TLS connection"
    if isinstance(error, httpx.ConnectError | OSError):
        return "it can't be reached"
    return f"it gave no answer ({type(error).__name__})"


def _body(state: dict[str, Any]) -> bytes:
    """The message, in Standard Webhooks' form."""
    data = {name: value for name, value in state.items() if name != "webhook"}
    ended = datetime.fromtimestamp(state["created"] + state["elapsed_s"], UTC).isoformat(timespec="seconds")
    message = {"type": f"job.{state['status']}", "timestamp": ended, "data": data}
    return json.dumps(message, ensure_ascii=False).encode("utf-8")
