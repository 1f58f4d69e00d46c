"""The generator service without models, for the page: the real HTTP application with stubs of the models."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Literal

import numpy as np
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from p2i_ray.config import GenerateConfig, ImageConfig
from p2i_ray.config.provenance import ProvenanceConfig
from p2i_ray.config.serve import LimitsConfig, ServeConfig
from p2i_ray.data.cutouts.grabcut import find_product
from p2i_ray.data.cutouts.settings import CutoutConfig
from p2i_ray.data.images import Pixels, paste_product
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.provenance.marker import Marker
from p2i_ray.serve.edge.tokens import Tokens
from p2i_ray.serve.http_app import make_app
from p2i_ray.serve.images.params import OwnGenerators
from p2i_ray.serve.images.protocol import PaintedImage, Verdict

TOKEN, MODEL = "a-token-for-tests", "0123abcd"
REASONS = (
    "plain background, nothing around it",
    "street, fits a kitchen",
    "counter, fits; a little flat",
    "table, fits",
)
SIDE = 256


Spoil = Callable[[Pixels, PaintRequest], Pixels]


def unspoilt(picture: Pixels, request: PaintRequest) -> Pixels:
    """The picture as it is."""
    return picture


def changed(picture: Pixels, request: PaintRequest) -> Pixels:
    """The lower half of the picture with other colours, the product's too."""
    spoilt = picture.copy()
    spoilt[len(picture) // 2 :] = 255 - picture[len(picture) // 2 :]
    return spoilt


def grown(picture: Pixels, request: PaintRequest) -> Pixels:
    """The product, and behind it the same once more, further up."""
    up = 24  # pixels
    behind = paste_product(picture, np.roll(request.product, -up, 0), np.roll(request.mask, -up, 0))
    return paste_product(behind, request.product, request.mask)


class StubSampler:
    """A sampler: one colour a seed. Keeps its requests; `refusals` are raised first, `gate` blocks it.

    `spoils` are applied to the next images, one to each: a picture and its request to a picture.
    """

    def __init__(self) -> None:
        self.requests: list[PaintRequest] = []
        self.refusals: list[Exception] = []
        self.spoils: list[Spoil] = []
        self.gate: asyncio.Event | None = None
        self.cancelled = 0

    async def ready(self) -> bool:
        return True

    def reserve(self, images: int, work: float, *, patient: bool = False) -> AbstractContextManager[None]:
        return nullcontext()

    def time_of(self, images: int, work: float) -> None:
        return None

    async def paint(self, request: PaintRequest) -> PaintedImage:
        if self.refusals:
            raise self.refusals.pop()
        self.requests.append(request)
        spoil = self.spoils.pop(0) if self.spoils else unspoilt
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return PaintedImage(spoil(self.picture(request), request))

    def picture(self, request: PaintRequest) -> Pixels:
        """The image of a request."""
        # (3,): green to blue, which nobody takes for a part of the tests' products
        colour = np.random.default_rng(request.seed).integers((30, 120, 160), (100, 200, 230), dtype=np.uint8)
        ground = np.broadcast_to(colour, request.product.shape)
        return paste_product(ground.astype(np.uint8), request.product, request.mask)


class StubRanker:
    """A judge: the later an image, the better."""

    async def rank(self, name: str, pictures: Sequence[Pixels]) -> list[Verdict]:
        return [Verdict(1.5 + index, REASONS[index % len(REASONS)]) for index, _ in enumerate(pictures)]

    async def flaws(self, name: str, images: Sequence[Pixels]) -> list[tuple[str, ...] | None]:
        return [() for _ in images]


class RunningService:
    """A running service: `url`, its `sampler`, and the path and body of every request that had one."""

    def __init__(
        self, url: str, sampler: StubSampler, loop: asyncio.AbstractEventLoop, bodies: list[tuple[str, bytes]]
    ) -> None:
        self.url, self.sampler, self._loop, self.bodies = url, sampler, loop, bodies

    def close_gate(self) -> None:
        """Block the sampler from now on."""
        self.sampler.gate = asyncio.Event()

    def open_gate(self) -> None:
        """Unblock the sampler."""
        if self.sampler.gate is not None:
            self._loop.call_soon_threadsafe(self.sampler.gate.set)
        self.sampler.gate = None

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for something that happens in the service."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it didn't happen"
            time.sleep(0.02)


def recording(app: ASGIApp, bodies: list[tuple[str, bytes]]) -> ASGIApp:
    """The same application; appends the bodies that it receives."""

    async def record(scope: Scope, receive: Receive, send: Send) -> None:
        chunks: list[bytes] = []

        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                chunks.append(message.get("body", b""))
                if chunks[-1] and not message.get("more_body"):
                    bodies.append((scope["path"], b"".join(chunks)))
            return message

        await app(scope, received, send)

    return record


_cut: dict[bytes, Pixels] = {}


def cut(photo: Pixels) -> Pixels:
    """The service's own cutter, GrabCut; it takes seconds, so a photo is cut once a session."""
    key = photo.tobytes()
    if key not in _cut:
        _cut[key] = find_product(photo, CutoutConfig(working_side=128)).mask
    return _cut[key]


@contextmanager
def open_service(
    folder: Path,
    *,
    judged: bool = True,
    styled: bool = False,
    by_category: bool = False,
    jobs: bool = False,
) -> Iterator[RunningService]:
    """Serve on a free port until the block ends; jobs: batch jobs are painted."""
    sampler = StubSampler()
    settings = ServeConfig(jobs=str(folder), limits=LimitsConfig(per_minute=100_000))
    image, generate = ImageConfig(resolution=SIDE), GenerateConfig(num_inference_steps=2)
    app = make_app(
        settings,
        image,
        generate,
        sampler=sampler,
        judge=StubRanker() if judged else None,
        cutter=cut,
        tokens=Tokens([TOKEN]),
        marker=Marker(ProvenanceConfig(), MODEL),
        generators=OwnGenerators(
            category=by_category,
            personality=styled,
            categories=("mug", "sofa & co"),
            stand_in=lambda name: None if name == "mug" else "sofa & co",
        ),
    )
    bodies: list[tuple[str, bytes]] = []
    lifespan: Literal["on", "off"] = "on" if jobs else "off"
    server = uvicorn.Server(uvicorn.Config(recording(app, bodies), log_level="warning", lifespan=lifespan))
    listener = socket.create_server(("127.0.0.1", 0))
    started = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        started.set()
        await server.serve(sockets=[listener])

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    started.wait(10)
    service = RunningService(f"http://127.0.0.1:{listener.getsockname()[1]}", sampler, loops[0], bodies)
    try:
        yield service
    finally:
        service.open_gate()
        server.should_exit = True
        thread.join(20)
        listener.close()
