"""Batching: which items share a batch, how long they wait, and what becomes of cancelled and failed ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from p2i_ray.serve.sampler.batching import Batcher

A_WHILE = 0.05


class Work:
    """Work that is passed in: records batches, waits until it may go on, fails with what is in it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.running = 0

    async def __call__(self, items: list[str], wanted: Callable[[], bool]) -> Sequence[str]:
        assert self.running == 0
        self.wanted = wanted
        self.running += 1
        self.batches.append(items)
        try:
            await asyncio.sleep(0)
            await self.go_on.wait()
            if "poison" in items:
                raise ArithmeticError("poison")
            return [item.upper() for item in items]
        finally:
            self.running -= 1


def first_letter(item: str) -> str:
    return item[0]


def test_items_of_one_key_share_a_batch_and_the_oldest_goes_first() -> None:
    async def go() -> None:
        work = Work()
        batches = Batcher[str, str](work, key=first_letter, max_batch_size=3, batch_wait_timeout_s=A_WHILE)
        items = ["a1", "b1", "a2", "b2", "a3", "a4"]
        assert await asyncio.gather(*map(batches.submit, items)) == ["A1", "B1", "A2", "B2", "A3", "A4"]
        assert work.batches == [["a1", "a2", "a3"], ["b1", "b2"], ["a4"]]
        assert len(batches) == 0

    asyncio.run(go())


def test_a_full_batch_does_not_wait_and_a_lone_item_not_longer_than_it_must() -> None:
    async def go() -> None:
        batches = Batcher[str, str](Work(), key=first_letter, max_batch_size=2, batch_wait_timeout_s=30)
        async with asyncio.timeout(5):
            assert list(await asyncio.gather(batches.submit("a1"), batches.submit("a2"))) == ["A1", "A2"]
        impatient = Batcher[str, str](Work(), key=first_letter, max_batch_size=2, batch_wait_timeout_s=A_WHILE)
        async with asyncio.timeout(5):
            assert await impatient.submit("a") == "A"

    asyncio.run(go())


def test_a_cancelled_item_is_not_processed() -> None:
    async def go() -> None:
        work = Work()
        work.go_on.clear()
        batches = Batcher[str, str](work, key=first_letter, max_batch_size=1, batch_wait_timeout_s=0)
        tasks = [asyncio.create_task(batches.submit(item)) for item in ("a1", "a2", "a3")]
        while not work.running:
            await asyncio.sleep(0)
        assert len(batches) == 2
        tasks[0].cancel()  # its work has begun: it goes on, and nobody gets it
        tasks[1].cancel()
        await asyncio.wait(tasks[:2])
        work.go_on.set()
        assert await tasks[2] == "A3"
        assert work.batches == [["a1"], ["a3"]]

    asyncio.run(go())


def test_one_that_fails_gets_its_own_error_and_the_others_their_results() -> None:
    async def go() -> None:
        work = Work()
        batches = Batcher[str, str](work, key=lambda _: None, max_batch_size=4, batch_wait_timeout_s=A_WHILE)
        found = await asyncio.gather(
            *map(batches.submit, ["a", "poison", "b", "c"]),
            return_exceptions=True,
        )
        assert isinstance(found.pop(1), ArithmeticError)
        assert found == ["A", "B", "C"]
        assert work.batches == [["a", "poison", "b", "c"], ["a"], ["poison"], ["b"], ["c"]]
        batches.check()
        with pytest.raises(ArithmeticError):
            await batches.submit("poison")
        assert await batches.submit("d") == "D"
        batches.cancel()

    asyncio.run(go())


def test_waiting_times_are_reported_when_the_work_begins() -> None:
    async def go() -> None:
        told: list[list[float]] = []
        batches = Batcher[str, str](
            Work(), key=first_letter, max_batch_size=2, batch_wait_timeout_s=A_WHILE, on_batch=told.append
        )
        await batches.submit("a")
        await asyncio.gather(batches.submit("a"), batches.submit("a"))
        assert [len(seconds) for seconds in told] == [1, 2]
        assert told[0][0] >= 0.9 * A_WHILE

    asyncio.run(go())


def test_work_learns_that_nobody_waits_for_its_batch_any_more() -> None:
    async def go() -> None:
        work = Work()
        work.go_on.clear()
        batches = Batcher[str, str](work, key=first_letter, max_batch_size=2, batch_wait_timeout_s=A_WHILE)
        first, second = (asyncio.create_task(batches.submit(item)) for item in ("a1", "a2"))
        while not work.batches:
            await asyncio.sleep(0)
        assert work.wanted()
        first.cancel()
        await asyncio.wait({first})
        assert work.wanted()  # the second still waits
        second.cancel()
        await asyncio.wait({second})
        assert not work.wanted()
        work.go_on.set()
        assert await batches.submit("b1") == "B1"

    asyncio.run(go())
