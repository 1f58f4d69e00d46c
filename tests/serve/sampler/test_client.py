"""The sampler's deployment under concurrent requests; replicas are real, and so are their deaths."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from p2i_ray.cluster import listening
from p2i_ray.diffusion.model.fingerprint import of_models
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.generators.request import GeneratorRequest, Reference
from p2i_ray.serve.edge.backpressure import Late, Overloaded
from p2i_ray.serve.images.protocol import PaintedImage, PaintingTime
from p2i_ray.serve.sampler.client import SamplerClient
from p2i_ray.serve.sampler.replica import SampledImage
from tests.support.generator_folders import make_folders
from tests.support.make_requests import WEIGHTS, brighter, make_request
from tests.support.make_sampler import SETTINGS, gather, kill_replicas, local, running_sampler

LONG_S = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of the mini preset's model, which the last test of it changes."""
    return local(tmp_path_factory.mktemp("sampler") / "model")


@pytest.fixture(scope="module")
def handle(ray_cluster: None, model: str) -> Iterator[Any]:
    with running_sampler(model=model) as handle:
        yield handle


def test_no_other_machine_reaches_the_replicas(handle: Any) -> None:
    assert listening.beyond_loopback() == []


def test_the_time_of_images_worked_out_by_hand() -> None:
    """At 2 s a unit of work, on two replicas with batches of four."""
    replicas = SETTINGS.sampler.model_copy(update={"max_replicas": 2})
    client = SamplerClient(None, SETTINGS.model_copy(update={"sampler": replicas, "max_batch_size": 4}))  # type: ignore[arg-type]
    assert client.time_of(1, 1.0) is None
    request, pixels = make_request(0), np.zeros((64, 64, 3), np.uint8)
    for _ in range(3):
        client._count(request, SampledImage(pixels, 4, 4, "model", {"queue": 100.0, "denoise": 8.0 * request.work}))
    assert client.time_of(1, 10.0) == PaintingTime(20.0, 1)
    assert client.time_of(5, 10.0) == PaintingTime(60.0, 2)  # three after each other on one of them
    filled_up = SampledImage(pixels, 1, 4, "model", {"denoise": 8.0 * request.work})
    client._count(request, filled_up)
    assert client.time_of(1, 10.0) == PaintingTime(80.0, 1)
    assert client.time_of(8, 10.0) == PaintingTime(80.0, 2) and client.time_of(9, 10.0) == PaintingTime(160.0, 2)


class SlowReplica:
    """A handle of a replica that takes a second an image, or of none that runs."""

    def __init__(self, runs: bool) -> None:
        self.paint, self.ready, self.asked = self, Answer(runs), 0

    def remote(self, _: PaintRequest) -> Answer:
        self.asked += 1
        return Answer(None)


class Answer:
    def __init__(self, content: bool | None) -> None:
        self.content = content

    def remote(self) -> Answer:
        return self

    def cancel(self) -> None: ...

    def __await__(self) -> Generator[Any, None, bool | None]:
        yield from asyncio.sleep(0 if self.content else 60).__await__()
        return self.content


@pytest.mark.parametrize("runs", [True, False])
def test_a_picture_that_always_takes_too_long_is_told_from_a_replica_that_is_started(runs: bool) -> None:
    limits = SETTINGS.limits.model_copy(update={"answer_s": 0.05})
    client = SamplerClient(SlowReplica(runs), SETTINGS.model_copy(update={"limits": limits}))  # type: ignore[arg-type]
    with pytest.raises(Overloaded) as raised:
        asyncio.run(client.paint(make_request(0)))
    assert isinstance(raised.value, Late) == runs

    async def beside_others() -> None:
        asking = asyncio.create_task(client.paint(make_request(0)))
        await asyncio.sleep(0)
        client._painted += 3
        await asking

    with pytest.raises(Overloaded) as raised:
        asyncio.run(beside_others())
    assert not isinstance(raised.value, Late)  # its pace is known


async def alone(handle: Any, request: PaintRequest) -> np.ndarray:
    """What the same replica paints of a request by itself; another process may round otherwise."""
    painted = await handle.paint.remote(request)
    assert painted.batch == 1
    pixels: np.ndarray = painted.pixels
    return pixels


def test_compatible_requests_share_batches_and_others_are_not_mixed_in(handle: Any) -> None:
    async def go() -> None:
        requests = [make_request(number, steps=2 + number % 2) for number in range(8)]
        painted = await asyncio.gather(*(handle.paint.remote(request) for request in requests))
        assert [picture.batch for picture in painted] == [4] * 8
        assert {"queue", "text", "denoise", "paste"} <= painted[0].seconds.keys()
        np.testing.assert_array_equal(painted[3].pixels, await alone(handle, requests[3]))

    asyncio.run(go())


def test_one_request_fails_alone(handle: Any) -> None:
    async def go() -> None:
        poison = make_request(1, seed=-(2**70))  # no generator takes it
        found = await gather(*(handle.paint.remote(request) for request in (make_request(0), poison, make_request(2))))
        assert isinstance(found[1], Exception) and "overflow" in str(found[1]).lower()
        np.testing.assert_array_equal(found[2].pixels, await alone(handle, make_request(2)))
        assert found[0].pixels.shape == (64, 64, 3)

    asyncio.run(go())


def test_a_cancelled_request_is_not_painted(handle: Any) -> None:
    async def go() -> None:
        sampler = SamplerClient(handle, SETTINGS)
        busy = [asyncio.create_task(sampler.paint(make_request(number, steps=60))) for number in range(4)]
        await asyncio.sleep(0.3)
        dropped = [asyncio.create_task(sampler.paint(make_request(number, steps=1000))) for number in range(4)]
        await asyncio.sleep(0.3)
        for task in dropped:
            task.cancel()
        await gather(*dropped)
        await asyncio.gather(*busy)
        begin = time.monotonic()
        await sampler.paint(make_request(0))
        assert time.monotonic() - begin < 10  # 4000 steps take minutes
        assert sampler._in_flight == 0

    asyncio.run(go())


def test_a_batch_whose_clients_are_all_gone_stops(handle: Any) -> None:
    async def go() -> None:
        sampler = SamplerClient(handle, SETTINGS)
        gone = [asyncio.create_task(sampler.paint(make_request(number, steps=1000))) for number in range(4)]
        await asyncio.sleep(1)  # the batch is full, so it is being painted: 1000 steps take minutes
        for task in gone:
            task.cancel()
        await gather(*gone)
        async with asyncio.timeout(LONG_S):
            await sampler.paint(make_request(0))

    asyncio.run(go())


def test_requests_beyond_the_capacity_are_refused_at_once(handle: Any) -> None:
    async def go() -> None:
        sampler = SamplerClient(handle, SETTINGS)
        begin = time.monotonic()
        refused: list[float] = []

        async def one(number: int) -> Any:
            try:
                return await sampler.paint(make_request(number, steps=10))
            except Overloaded as busy:
                refused.append(time.monotonic() - begin)
                return busy

        found = await asyncio.gather(*(one(number) for number in range(60)))
        assert len(refused) == 60 - 20  # 16 wait, 4 are painted
        assert max(refused) < 1
        assert all(1 <= busy.retry_after_s <= 60 for busy in found if isinstance(busy, Overloaded))
        assert sum(isinstance(picture, PaintedImage) for picture in found) == 20
        assert await sampler.ready()

    asyncio.run(go())


def test_the_deployments_own_limit_reads_as_overload_too(handle: Any) -> None:
    from ray.serve.exceptions import BackPressureError

    class Full:
        """A handle without room."""

        def __init__(self) -> None:
            self.paint = self

        async def _refuse(self) -> None:
            raise BackPressureError(9, 9)

        def remote(self, _: PaintRequest) -> Any:
            return self._refuse()

    with pytest.raises(Overloaded):
        asyncio.run(SamplerClient(Full(), SETTINGS).paint(make_request(0)))  # type: ignore[arg-type]


def test_a_broken_new_model_is_refused_and_the_next_takes_over_while_requests_arrive(handle: Any, model: str) -> None:
    weights = Path(model) / "unet" / "diffusion_pytorch_model.safetensors"

    async def go() -> None:
        sampler = SamplerClient(handle, SETTINGS)
        request, pictures, slowest, models = make_request(0), list[bytes](), 0.0, set[tuple[bytes, str]]()
        old = (await sampler.paint(request)).pixels.tobytes()
        whole = weights.read_bytes()
        weights.write_bytes(b"no weights")
        await asyncio.sleep(3)
        assert (await sampler.paint(request)).pixels.tobytes() == old
        weights.write_bytes(whole)
        until = time.monotonic() + LONG_S

        async def client() -> None:
            nonlocal slowest
            while time.monotonic() < until and not (pictures and pictures[-1] != old and len(pictures) > 20):
                begin = time.monotonic()
                painted = await sampler.paint(request)
                pictures.append(painted.pixels.tobytes())
                models.add((pictures[-1], painted.model))
                slowest = max(slowest, time.monotonic() - begin)

        clients = [asyncio.create_task(client()) for _ in range(6)]
        await asyncio.sleep(0.5)
        brighter(Path(model))
        await asyncio.gather(*clients)
        assert len(set(pictures)) == 2  # the old model's or the new one's, nothing between, no failure
        assert len(models) == 2 and dict(models)[pictures[-1]] == of_models(model)  # each names its own model
        changed = [picture != old for picture in pictures]
        assert changed == sorted(changed)
        assert slowest < 20

    asyncio.run(go())


@pytest.mark.slow
def test_a_killed_replica_loses_no_accepted_request(ray_cluster: None) -> None:
    async def go(handle: Any) -> None:
        sampler = SamplerClient(handle, SETTINGS)
        expected = await asyncio.gather(*(sampler.paint(make_request(number, steps=20)) for number in range(12)))
        waiting = [asyncio.create_task(sampler.paint(make_request(number, steps=20))) for number in range(12)]
        await asyncio.sleep(0.2)
        assert await asyncio.to_thread(kill_replicas, handle) == 1
        assert not any(task.done() for task in waiting[8:])
        for number, picture in enumerate(await asyncio.gather(*waiting)):
            np.testing.assert_array_equal(picture.pixels, expected[number].pixels)

    with running_sampler() as handle:
        asyncio.run(go(handle))


def test_with_generators_a_picture_is_the_same_alone_and_in_a_batch(ray_cluster: None, tmp_path: Path) -> None:
    """By category and reference, with other guidance and negative prompts beside it; and styles are compared."""

    def styled(number: int, category: str, **how: Any) -> GeneratorRequest:
        picture = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        plain = make_request(1, name="cup", steps=2, **how)
        return GeneratorRequest(**plain.__dict__, category=category, references=(Reference(picture),))

    asked = [
        styled(1, "cup"),
        styled(1, "bag", guidance=6.0),
        styled(2, "cup", negative="bag"),
        GeneratorRequest(**make_request(1, name="cup", steps=2).__dict__, category="cup"),
    ]

    async def go(handle: Any) -> None:
        sampler = SamplerClient(handle, SETTINGS)
        painted = await asyncio.gather(*(handle.paint.remote(request) for request in asked))
        assert [one.batch for one in painted] == [3, 3, 3, 1]  # a request without a reference has a batch of its own
        assert len({one.pixels.tobytes() for one in painted}) == 4
        for request, one in zip(asked, painted, strict=True):
            np.testing.assert_array_equal(one.pixels, await alone(handle, request))
        same = Reference(painted[0].pixels, asked[0].mask)
        found = await sampler.similarity([one.pixels for one in painted], asked[0].mask, same)
        assert found[0] == pytest.approx(1, abs=1e-5) and max(found[1:]) < found[0]

    clip = str(WEIGHTS / "evaluator_clip")
    with running_sampler(generators=make_folders(tmp_path), clip=clip) as handle:
        asyncio.run(go(handle))
