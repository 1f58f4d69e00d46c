"""Quotas: the pictures that a client may have painted in a day (UTC), counted on disk so that they outlive the process.

A job's pictures count when it is submitted; what was not painted of it is given back when it ends, once. SQLite's
transactions make it right for all processes that share the file.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from p2i_ray.errors import UserError
from p2i_ray.serve.edge.errors import APIError, bad_request, busy

DAY_S = 86_400
KEPT_DAYS = 31
WAIT_S = 30.0  # for another process that writes
TABLES = """
CREATE TABLE IF NOT EXISTS usage (client TEXT, day INTEGER, pictures INTEGER NOT NULL, PRIMARY KEY (client, day));
CREATE TABLE IF NOT EXISTS held (job TEXT PRIMARY KEY, client TEXT, day INTEGER, pictures INTEGER NOT NULL);
"""
COUNT = """
INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT (client, day) DO UPDATE SET pictures = pictures + excluded.pictures
"""


@dataclass
class Counted:
    """The pictures that a request which is being counted has painted; none: it doesn't say."""

    painted: int | None = None


class Quota:
    """Counts pictures. Its methods block for some milliseconds, but for those that are asynchronous.

    Args:
        path: of the file.
        per_day: pictures a client and day (none: counted, and not limited; what can't be counted is painted).
        failed: told of what can't be counted and isn't limited.
        clock: Unix time, seconds.

    Raises:
        UserError: the file can't be used.
    """

    def __init__(
        self,
        path: Path,
        per_day: int | None,
        *,
        failed: Callable[[BaseException], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._per_day, self._failed, self._clock = path, per_day, failed, clock
        try:
            with self._open():
                pass
        except OSError as error:
            why = error.__cause__
            raise UserError(f"{path}, where pictures are counted, can't be used ({why}); remove it") from None

    def take(self, client: bytes, pictures: int, job: str | None = None) -> int:
        """Count pictures before they are painted.

        Args:
            client: that asks for them.
            pictures: candidates included.
            job: that they belong to, whose unpainted ones `settle` gives back; counted once (none: to a request).

        Returns:
            The day for which they count.

        Raises:
            APIError: more than the client may have today.
            OSError: they can't be counted.
        """
        today = self._today()
        try:
            self._take(client, pictures, today, job)
        except OSError as error:
            if self._per_day is not None:
                raise
            self._failed(error)
        return today

    def _take(self, client: bytes, pictures: int, today: int, job: str | None) -> None:
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            if job and database.execute("SELECT 1 FROM held WHERE job = ?", (job,)).fetchone():
                return
            used = _used(database, client, today)
            if self._per_day is not None and used + pictures > self._per_day:
                raise self._refusal(pictures, used)
            database.execute(COUNT, (_name(client), today, pictures))
            if job:
                database.execute("INSERT INTO held VALUES (?, ?, ?, ?)", (job, _name(client), today, pictures))
            for table in ("usage", "held"):
                database.execute(f"DELETE FROM {table} WHERE day < ?", (today - KEPT_DAYS,))
            database.execute("COMMIT")

    def give_back(self, client: bytes, pictures: int, day: int) -> None:
        """Take a request's pictures back, which failed, from the day for which they count."""
        try:
            with self._open() as database:
                database.execute(COUNT, (_name(client), day, -pictures))
        except OSError as error:  # they stay counted; what the request failed with is what the client is told
            self._failed(error)

    def settle(self, job: str, painted: int) -> None:
        """Take back what was not painted of a job that has ended; nothing where that was done before.

        Raises:
            OSError: it can't be counted, and there is a quota.
        """
        try:
            self._settle(job, painted)
        except OSError as error:
            if self._per_day is not None:
                raise
            self._failed(error)

    def _settle(self, job: str, painted: int) -> None:
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            held = database.execute("SELECT client, day, pictures FROM held WHERE job = ?", (job,)).fetchone()
            if held:
                client, day, pictures = held
                database.execute(COUNT, (client, day, -max(0, pictures - painted)))
                database.execute("DELETE FROM held WHERE job = ?", (job,))
            database.execute("COMMIT")

    @asynccontextmanager
    async def counted(self, client: bytes, pictures: int, given_up: Callable[[], bool]) -> AsyncIterator[Counted]:
        """Count a request's pictures, at most so many, which are painted within; those that were not are taken back.

        A request that fails before it says what it has painted has painted none, and so has one that is cancelled
        because its time is over. One that its client gives up stays counted: its pictures may have been painted.

        Args:
            client: that asks for them.
            pictures: candidates included.
            given_up: whether the client disconnected.
        """
        day, held = await asyncio.to_thread(self.take, client, pictures), Counted()
        try:
            yield held
        except (Exception, asyncio.CancelledError) as error:
            if not (isinstance(error, asyncio.CancelledError) and given_up()):
                await asyncio.to_thread(self.give_back, client, pictures - (held.painted or 0), day)
            raise
        if held.painted is not None and held.painted < pictures:
            await asyncio.to_thread(self.give_back, client, pictures - held.painted, day)

    def usage(self, client: bytes) -> dict[str, Any]:
        """A client's own: today's pictures, what is left of the quota, when it begins anew, and earlier days."""
        with self._open() as database:
            rows = database.execute(
                "SELECT day, pictures FROM usage WHERE client = ? AND pictures > 0 ORDER BY day DESC", (_name(client),)
            ).fetchall()
        today = self._today()
        used = dict(rows).get(today, 0)
        return {
            "object": "usage",
            "day": _iso(today),
            "pictures": used,
            "limit": self._per_day,
            "remaining": None if self._per_day is None else max(0, self._per_day - used),
            "resets": (today + 1) * DAY_S,
            "days": [{"day": _iso(day), "pictures": pictures} for day, pictures in rows],
        }

    async def answer(self, request: Request) -> Response:
        """GET /v1/usage."""
        return JSONResponse(await asyncio.to_thread(self.usage, request.state.client))

    def _refusal(self, pictures: int, used: int) -> APIError:
        if pictures > (self._per_day or 0):
            text = f"{pictures} pictures are more than your quota of {self._per_day} a day; ask for fewer"
            return bad_request(text, None, "quota_exceeded")
        wait_s = (self._today() + 1) * DAY_S - self._clock()
        text = (
            f"{pictures} more pictures are beyond your quota of {self._per_day} a day, of which {used} are used; it "
            f"begins anew at midnight UTC, in {math.ceil(wait_s)} s"
        )
        return busy(wait_s, text, "quota_exceeded")

    def _today(self) -> int:
        """Days since 1970, UTC."""
        return int(self._clock() // DAY_S)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own; a transaction that isn't committed ends without effect.

        The tables are made where they lack: a file that somebody removes meanwhile begins anew.
        """
        try:
            with closing(sqlite3.connect(self._path, timeout=WAIT_S, isolation_level=None)) as database:
                database.executescript(TABLES)
                yield database
        except sqlite3.DatabaseError as error:
            full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
            raise OSError(errno.ENOSPC if full else errno.EIO, f"pictures can't be counted: {error}") from error


def _used(database: sqlite3.Connection, client: bytes, day: int) -> int:
    query = "SELECT pictures FROM usage WHERE client = ? AND day = ?"
    found = database.execute(query, (_name(client), day)).fetchone()
    return int(found[0]) if found else 0


def _name(client: bytes) -> str:
    """A client's name in the file: no token, and not the digest that jobs are salted with."""
    return hashlib.sha256(b"usage" + client).hexdigest()


def _iso(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()
