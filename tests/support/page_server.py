"""The shop without models, for the page: the real HTTP application with a painter, a judge and a cutter passed in."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from p2i_ray.config import GenerateConfig, ImageConfig
from p2i_ray.config.serve import LimitsConfig, ServeConfig
from p2i_ray.data.cutouts.grabcut import CutoutConfig, find_product
from p2i_ray.data.images import Pixels, paste_product
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.serve.edge.tokens import Tokens
from p2i_ray.serve.http_app import make_app
from p2i_ray.serve.images.protocol import Verdict

TOKEN = "a-token-for-tests"
REASONS = (
    "plain background, nothing around it",
    "street, fits a kitchen",
    "counter, fits; a little flat",
    "table, fits",
)
SIDE = 256


class Easel:
    """A painter: one colour a seed. Keeps its orders; `refusals` are raised first, `gate` makes it wait."""

    def __init__(self) -> None:
        self.orders: list[PaintRequest] = []
        self.refusals: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.cancelled = 0

    async def ready(self) -> bool:
        return True

    async def paint(self, order: PaintRequest) -> Pixels:
        if self.refusals:
            raise self.refusals.pop()
        self.orders.append(order)
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return self.picture(order)

    def picture(self, order: PaintRequest) -> Pixels:
        """What it paints."""
        colour = np.random.default_rng(order.seed).integers(60, 230, 3, np.uint8)  # (3,)
        ground = np.broadcast_to(colour, order.product.shape)
        return paste_product(ground.astype(np.uint8), order.product, order.mask)


class Critic:
    """A judge: the later a picture, the better."""

    async def rank(self, name: str, pictures: Sequence[Pixels]) -> list[Verdict]:
        return [Verdict(1.5 + index, REASONS[index % len(REASONS)]) for index, _ in enumerate(pictures)]


class Shop:
    """A running shop: `url`, its painter `easel`, and the path and body of every request that had one."""

    def __init__(
        self, url: str, easel: Easel, loop: asyncio.AbstractEventLoop, bodies: list[tuple[str, bytes]]
    ) -> None:
        self.url, self.easel, self._loop, self.bodies = url, easel, loop, bodies

    def close_gate(self) -> None:
        """From now on the painter waits."""
        self.easel.gate = asyncio.Event()

    def open_gate(self) -> None:
        """Let the painter go on."""
        if self.easel.gate is not None:
            self._loop.call_soon_threadsafe(self.easel.gate.set)
        self.easel.gate = None

    def wait_until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for something that happens in the shop."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it didn't happen"
            time.sleep(0.02)


def listening(app: ASGIApp, bodies: list[tuple[str, bytes]]) -> ASGIApp:
    """The same application; keeps what it is sent."""

    async def listen(scope: Scope, receive: Receive, send: Send) -> None:
        pieces: list[bytes] = []

        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                pieces.append(message.get("body", b""))
                if pieces[-1] and not message.get("more_body"):
                    bodies.append((scope["path"], b"".join(pieces)))
            return message

        await app(scope, received, send)

    return listen


_cut: dict[bytes, Pixels] = {}


def cut(photo: Pixels) -> Pixels:
    """The shop's own cutter, GrabCut; it takes seconds, so a photo is cut once a session."""
    key = photo.tobytes()
    if key not in _cut:
        _cut[key] = find_product(photo, CutoutConfig(working_side=128))
    return _cut[key]


@contextmanager
def open_shop(folder: Path, judged: bool = True) -> Iterator[Shop]:
    """Serve on a free port until the block ends."""
    easel = Easel()
    settings = ServeConfig(jobs=str(folder), limits=LimitsConfig(per_minute=100_000))
    image, generate = ImageConfig(resolution=SIDE), GenerateConfig(num_inference_steps=2)
    app = make_app(settings, image, generate, easel, Critic() if judged else None, cut, Tokens([TOKEN]))
    bodies: list[tuple[str, bytes]] = []
    server = uvicorn.Server(uvicorn.Config(listening(app, bodies), log_level="warning", lifespan="off"))
    door = socket.create_server(("127.0.0.1", 0))
    started = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        started.set()
        await server.serve(sockets=[door])

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    started.wait(10)
    shop = Shop(f"http://127.0.0.1:{door.getsockname()[1]}", easel, loops[0], bodies)
    try:
        yield shop
    finally:
        shop.open_gate()
        server.should_exit = True
        thread.join(20)
        door.close()
