"""Waiting orders, taken together where they can be: one batch at a time, first come first served.

Knows neither pictures nor Ray: the work is passed in.
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
    answer: asyncio.Future[Result] = field(repr=False)


class Batcher(Generic[Item, Result]):
    """Collects items into batches. For one event loop.

    The oldest item goes next, with as many others of its key as there are, up to `size`; if there are fewer, it waits
    for them until it is `wait_s` old. Who gives up waiting is dropped before the work begins. If the work fails for a
    batch, it is done once more for each item alone: only those that fail alone get the error.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        key: Callable[[Item], Hashable],
        size: int,
        wait_s: float,
        taken: Callable[[list[float]], None] | None = None,
    ) -> None:
        """Start collecting; needs a running event loop.

        Args:
            work: gets items of one key and returns as many results; never asked twice at once.
            key: items of equal keys may share a batch.
            size: most items of a batch.
            wait_s: longest wait of an item for others.
            taken: told the seconds that each item of a batch has waited, when its work begins.
        """
        self._work, self._key, self._size, self._wait_s = work, key, size, wait_s
        self._taken = taken
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._arrived = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._loop = asyncio.create_task(self._go_on())

    async def submit(self, item: Item) -> Result:
        """The item's result; raises what the work raised for it."""
        waiting = _Waiting[Item, Result](
            item, self._key(item), self._clock(), asyncio.get_running_loop().create_future()
        )
        self._waiting.append(waiting)
        self._arrived.set()
        try:
            return await waiting.answer
        finally:
            if waiting in self._waiting:  # cancelled before its turn
                self._waiting.remove(waiting)
                self._arrived.set()

    def __len__(self) -> int:
        """Items that wait for their turn."""
        return len(self._waiting)

    def check(self) -> None:
        """Raises what ended the collecting, if anything did; nothing waiting would ever be answered."""
        if self._loop.done():
            self._loop.result()
            raise RuntimeError("the batches' loop has ended")

    def cancel(self) -> None:
        """Stop collecting. Who still waits waits for ever: let nobody in before."""
        self._loop.cancel()

    async def _go_on(self) -> None:
        while True:
            batch = await self._next()
            if self._taken:
                now = self._clock()
                self._taken([now - waiting.since for waiting in batch])
            await self._answer(batch)

    async def _next(self) -> list[_Waiting[Item, Result]]:
        """The next batch, out of the queue."""
        while True:
            self._arrived.clear()
            left = None  # seconds until the oldest has waited enough
            if self._waiting:
                oldest = self._waiting[0]
                batch = [waiting for waiting in self._waiting if waiting.key == oldest.key][: self._size]
                left = oldest.since + self._wait_s - self._clock()
                if len(batch) == self._size or left <= 0:
                    for waiting in batch:
                        self._waiting.remove(waiting)
                    return batch
            try:
                async with asyncio.timeout(left):
                    await self._arrived.wait()
            except TimeoutError:
                continue

    async def _answer(self, batch: list[_Waiting[Item, Result]]) -> None:
        try:
            results = await self._work([waiting.item for waiting in batch])
        except Exception as error:  # whatever it is, it is the answer
            if len(batch) == 1:
                _settle(batch[0], error)
                return
            for waiting in batch:
                if not waiting.answer.done():
                    await self._answer([waiting])
            return
        for waiting, result in zip(batch, results, strict=True):
            _settle(waiting, result)


def _settle(waiting: _Waiting[Item, Result], result: Result | Exception) -> None:
    if waiting.answer.done():  # given up meanwhile
        return
    if isinstance(result, Exception):
        waiting.answer.set_exception(result)
    else:
        waiting.answer.set_result(result)
