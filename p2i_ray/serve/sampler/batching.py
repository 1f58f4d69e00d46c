"""Dynamic batching: waiting items are processed together where they can be, one batch at a time, oldest first.

Independent of images and of Ray: the work is passed in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    key: Hashable
    since: float  # seconds of the event loop's clock
    result: asyncio.Future[Result] = field(repr=False)


class Batcher(Generic[Item, Result]):
    """Collects items into batches. For one event loop.

    The oldest item goes next, with the others of its key, up to `max_batch_size`; if there are fewer, it waits for more
    until it is `batch_wait_timeout_s` old. A cancelled item is dropped before the work begins, and work
    can ask whether all items of its batch were cancelled. If the work fails for a
    batch, it is repeated for each item alone: only those that fail alone get the error.
    """

    def __init__(
        self,
        work: Callable[[list[Item], Callable[[], bool]], Awaitable[Sequence[Result]]],
        *,
        key: Callable[[Item], Hashable],
        max_batch_size: int,
        batch_wait_timeout_s: float,
        on_batch: Callable[[list[float]], None] | None = None,
    ) -> None:
        """Start collecting; needs a running event loop.

        Args:
            work: takes items of one key, and a function that says whether somebody still waits for any of them, from
                any thread; returns as many results. Never called concurrently.
            key: items of equal keys may share a batch.
            max_batch_size: most items of a batch.
            batch_wait_timeout_s: longest wait of an item for others.
            on_batch: called with the seconds that each item of a batch has waited, when its work begins.
        """
        self._work, self._key = work, key
        self._max_batch_size, self._batch_wait_timeout_s = max_batch_size, batch_wait_timeout_s
        self._on_batch = on_batch
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._arrived = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._loop = asyncio.create_task(self._run())

    async def submit(self, item: Item) -> Result:
        """Return the item's result; raise what the work raised for it."""
        waiting = _Waiting[Item, Result](
            item, self._key(item), self._clock(), asyncio.get_running_loop().create_future()
        )
        self._waiting.append(waiting)
        self._arrived.set()
        try:
            return await waiting.result
        finally:
            if waiting in self._waiting:  # cancelled before its batch
                self._waiting.remove(waiting)
                self._arrived.set()

    def __len__(self) -> int:
        """The number of items that wait for a batch."""
        return len(self._waiting)

    def check(self) -> None:
        """Raise what ended the collecting, if anything did: waiting items would never get a result."""
        if self._loop.done():
            self._loop.result()
            raise RuntimeError("the batching loop has ended")

    def cancel(self) -> None:
        """Stop collecting. Waiting items never get a result: submit nothing more before."""
        self._loop.cancel()

    async def _run(self) -> None:
        while True:
            batch = await self._next()
            if self._on_batch:
                now = self._clock()
                self._on_batch([now - waiting.since for waiting in batch])
            await self._process(batch)

    async def _next(self) -> list[_Waiting[Item, Result]]:
        """Take the next batch out of the queue."""
        while True:
            self._arrived.clear()
            left = None  # seconds until the oldest has waited for batch_wait_timeout_s
            if self._waiting:
                oldest = self._waiting[0]
                batch = [waiting for waiting in self._waiting if waiting.key == oldest.key][: self._max_batch_size]
                left = oldest.since + self._batch_wait_timeout_s - self._clock()
                if len(batch) == self._max_batch_size or left <= 0:
                    for waiting in batch:
                        self._waiting.remove(waiting)
                    return batch
            try:
                async with asyncio.timeout(left):
                    await self._arrived.wait()
            except TimeoutError:
                continue

    async def _process(self, batch: list[_Waiting[Item, Result]]) -> None:
        def wanted() -> bool:
            return not all(waiting.result.done() for waiting in batch)

        try:
            results = await self._work([waiting.item for waiting in batch], wanted)
        except Exception as error:  # whatever it is, it belongs to the items
            if len(batch) == 1:
                _resolve(batch[0], error)
                return
            for waiting in batch:
                if not waiting.result.done():
                    await self._process([waiting])
            return
        for waiting, result in zip(batch, results, strict=True):
            _resolve(waiting, result)


def _resolve(waiting: _Waiting[Item, Result], result: Result | Exception) -> None:
    if waiting.result.done():  # cancelled meanwhile
        return
    if isinstance(result, Exception):
        waiting.result.set_exception(result)
    else:
        waiting.result.set_result(result)
