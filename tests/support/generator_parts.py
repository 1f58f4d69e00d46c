"""The generator service on a loopback port with stubs that tests control, and images to send to it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
from fastapi import FastAPI
from PIL import Image

from p2i_ray.config import GenerateConfig, ImageConfig
from p2i_ray.config.compositing import CompositingConfig
from p2i_ray.config.provenance import ProvenanceConfig
from p2i_ray.config.serve import LimitsConfig, ServeConfig
from p2i_ray.data.images import ImageError, Pixels, paste_product
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.generators.request import Reference
from p2i_ray.provenance.marker import Marker
from p2i_ray.serve.edge.tokens import Tokens
from p2i_ray.serve.http_app import make_app
from p2i_ray.serve.images.params import OwnGenerators
from p2i_ray.serve.images.protocol import PaintedImage, PaintingTime, Verdict
from tests.support.serving import serving

TOKEN = "first-token-of-the-tests-0123456789"
OTHER = "second-token-of-the-tests-0123456789"
MODEL = "0123456789abcdef"  # the model's fingerprint in the pictures' manifests


@dataclass
class StubSampler:
    """A sampler: noise by the seed, the product pasted into it; `held` blocks it, `fault` is raised."""

    requests: list[PaintRequest] = field(default_factory=list)
    reserved: list[tuple[int, float, bool]] = field(default_factory=list)
    pace: float | None = None  # seconds a unit of work
    refusal: Exception | None = None
    fault: Exception | None = None
    held: bool = False
    loaded: bool = True
    cancelled: int = 0
    running: int = 0
    most: int = 0
    alter: Callable[[Pixels, PaintRequest], Pixels] = lambda pixels, _: pixels

    def reserve(self, images: int, work: float, *, patient: bool = False) -> AbstractContextManager[None]:
        self.reserved.append((images, work, patient))
        if self.refusal is not None:
            raise self.refusal
        return nullcontext()

    def time_of(self, images: int, work: float) -> PaintingTime | None:
        """One replica, batches of any size, no fixed costs."""
        return None if self.pace is None else PaintingTime(images * work * self.pace, 1)

    async def paint(self, request: PaintRequest) -> PaintedImage:
        self.requests.append(request)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            while self.held:
                await asyncio.sleep(0.005)
            if self.fault is not None:
                raise self.fault
            height, width = request.mask.shape
            painted = np.random.default_rng(request.seed).integers(0, 256, (height, width, 3), np.uint8)
            pixels = paste_product(painted, request.product, request.mask)
            return PaintedImage(self.alter(pixels, request), seconds=0.25)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def ready(self) -> bool:
        return self.loaded


@dataclass
class StubStyles:
    """Compares styles: the k-th image gets the k-th of its similarities; keeps the references."""

    similarities: list[float] = field(default_factory=lambda: [0.5, 0.25, 0.75, 1.0])
    references: list[Reference] = field(default_factory=list)

    async def similarity(self, images: Sequence[Pixels], mask: Pixels, reference: Reference) -> list[float]:
        assert mask.shape == images[0].shape[:2]
        self.references.append(reference)
        return self.similarities[: len(images)]


@dataclass
class StubRanker:
    """A judge: the k-th image gets the k-th of its scores."""

    scores: list[float | None] = field(default_factory=lambda: [2.0, 4.5, None, 3.25])
    found: list[tuple[str, ...] | None] = field(default_factory=list)  # flaws of the next images; then there are none

    async def rank(self, name: str, pictures: Sequence[Pixels]) -> list[Verdict]:
        return [Verdict(self.scores[k % len(self.scores)], f"picture {k} of {name}") for k, _ in enumerate(pictures)]

    async def flaws(self, name: str, images: Sequence[Pixels]) -> list[tuple[str, ...] | None]:
        return [self.found.pop(0) if self.found else () for _ in images]


def stub_cutter(photo: Pixels) -> Pixels:
    """A cutter: the product is what is red."""
    red = (photo[..., 0] > 180) & (photo[..., 1] < 100)
    if not red.any():
        raise ImageError("no product found: nothing is red")
    return np.where(red, 255, 0).astype(np.uint8)


@dataclass
class RunningService:
    """A running generator service and its stubs."""

    url: str
    sampler: StubSampler
    judge: StubRanker
    app: FastAPI
    jobs: Path
    styles: StubStyles = field(default_factory=StubStyles)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, token: str = TOKEN, **more: Any) -> openai.OpenAI:
        plain = openai.DefaultHttpxClient(verify=False)
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=token, max_retries=0, http_client=plain, **more)

    def send(self, method: str, path: str, token: str | None = TOKEN, **more: Any) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        # Over plain HTTP nothing is verified; to read the authorities would take 20 ms each time.
        return httpx.request(method, self.url + path, headers=headers, timeout=30, verify=False, **more)

    def edit(self, image: bytes | None = None, **fields: Any) -> httpx.Response:
        """An images edit; `mask` and `reference` are files, all else text fields; none leaves a field out."""
        files = {"image": ("cutout.png", cutout() if image is None else image)}
        for name in ("mask", "reference"):
            if (content := fields.pop(name, None)) is not None:
                files[name] = (f"{name}.png", content)
        texts = {"prompt": "Steel bottle", **fields}
        data = {name: str(text) for name, text in texts.items() if text is not None}
        return self.send("POST", "/v1/images/edits", files=files, data=data)

    def raw(self, request: bytes, *more: bytes, wait: float = 10, end: bytes | None = None) -> bytes:
        """Bytes to the port, and all that comes back until the service disconnects or sends nothing for a while.

        Args:
            request: begins what is sent.
            more: further pieces.
            wait: the while, seconds.
            end: of an answer, after which no more is waited for; a refused body is read on for seconds.
        """
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            for piece in (request, *more):
                connection.sendall(piece)
            try:
                while (end is None or not answer.endswith(end)) and (piece := connection.recv(1 << 16)):
                    answer += piece
            except TimeoutError:
                pass
        return answer


@contextmanager
def open_service(
    jobs: str,
    tokens: Tokens | None = None,
    *,
    cutter: Any = stub_cutter,
    judged: bool = True,
    sampler: StubSampler | None = None,
    marker: Marker | None = None,
    settings: dict[str, Any] | None = None,
    image: dict[str, Any] | None = None,
    generators: OwnGenerators | None = None,
    environment: Mapping[str, str] | None = None,
    compositing: CompositingConfig | None = None,
    **limits: Any,
) -> Iterator[RunningService]:
    """Serve on a free port until the block ends; further keywords are limits."""
    sampler, judge, styles = sampler or StubSampler(), StubRanker(), StubStyles()
    app = make_app(
        ServeConfig(jobs=jobs, limits=LimitsConfig(**{"per_minute": 100_000, **limits}), **(settings or {})),
        ImageConfig(**(image or {"resolution": 64})),
        GenerateConfig(num_inference_steps=7, guidance_scale=3),
        sampler=sampler,
        judge=judge if judged else None,
        cutter=cutter,
        tokens=tokens or Tokens([TOKEN, OTHER]),
        generators=generators,
        styles=styles,
        marker=marker or Marker(ProvenanceConfig(), MODEL),
        environment=environment or {},
        compositing=compositing,
    )
    with serving(app, server_header=False) as url:
        yield RunningService(url, sampler, judge, app, Path(jobs), styles=styles)


def cutout(width: int = 64, height: int = 64, colour: tuple[int, int, int] = (200, 40, 30)) -> bytes:
    """A PNG with a rectangle in the middle half that is the product; clear elsewhere."""
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[height // 4 : height - height // 4, width // 4 : width - width // 4] = (*colour, 255)
    return encoded(pixels)


def photo(width: int = 64, height: int = 64) -> Pixels:
    """A red rectangle on blue-grey."""
    pixels = np.full((height, width, 3), (90, 110, 130), np.uint8)
    pixels[height // 4 : height - height // 4, width // 4 : width - width // 4] = (220, 30, 20)
    return pixels


def encoded(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    """An image as a file's content."""
    out = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(out, kind, **options)
    return out.getvalue()


def picture(answer: dict[str, Any], index: int = 0) -> Image.Image:
    """An image of an answer."""
    return Image.open(io.BytesIO(base64.b64decode(answer["data"][index]["b64_json"])))


def shown(answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """A digest of each image's pixels, and its metadata: files differ in the time and the signature of their marks."""
    rows = [{name: value for name, value in one.items() if name != "b64_json"} for one in answer["data"]]
    pixels = (np.asarray(picture(answer, place)).tobytes() for place in range(len(rows)))
    return [(hashlib.sha256(one).hexdigest(), row) for one, row in zip(pixels, rows, strict=True)]


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The error object of an answer, its shape checked: one line, and nothing of the machine in it."""
    assert answer.status_code == status, answer.text[:500]
    body = answer.json()
    assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}
    text = json.dumps(body)
    assert body["error"]["message"] and "\\n" not in text, text
    for secret in (TOKEN, OTHER, "Traceback", "/p2i_ray", "site-packages", "File \\"):
        assert secret not in text, text
    return dict(body["error"])
