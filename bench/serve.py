"""The shop under load: 16 clients over HTTP, against the same shop without batching, and against diffusers alone.

    serve_pictures_per_s, serve_unbatched_pictures_per_s, serve_bare_pictures_per_s     and the ratios
    serve_p50_s, serve_p99_s                  of an answer, with 16 clients that ask again at once
    serve_overload_*                          ten times as many clients: how many are answered, how quick refusals are
    serve_memory_growth_mb                    of all replicas, over the overload

Everything is the mini preset's, on the CPU; a request is one picture of 64x64 pixels in 30 steps. The bare pipeline
paints as many pictures a call as is best for it, in a process of its own.
"""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from p2i_ray.cluster import connection
from p2i_ray.config import load
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.mini.world import CLEAN, Sample, render

CLIENTS = 16
OVERLOAD = 10  # times as many clients
SECONDS = 40.0  # of each measurement
BATCHES = (1, 2, 4, 8, 16)
TOKEN, PORT, NAME = "bench", 8791, "bench-shop"
HELD_OUT = 91


@dataclass
class Seen:
    """What clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    painted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    seconds: float = 0

    @property
    def pictures_per_s(self) -> float:
        return len(self.painted_s) / self.seconds


def run(seconds: float = SECONDS) -> dict[str, float]:
    """All figures; seconds is the length of each measurement."""
    config = load(ServeJobConfig, "mini")
    connection.connect(config.ray)
    with tempfile.TemporaryDirectory() as jobs:
        unbatched, _ = with_shop(jobs, {"batch_size": 1}, lambda: measure(CLIENTS, seconds))
        batched, (crowd, growth) = with_shop(
            jobs, {}, lambda: measure(CLIENTS, seconds), lambda: overload(CLIENTS * OVERLOAD, seconds)
        )
    disconnect()
    bare = json.loads(
        subprocess.run(
            [sys.executable, "-m", "bench.serve", str(seconds)], check=True, capture_output=True, text=True
        ).stdout.splitlines()[-1]
    )
    best = max(bare.values())
    return {
        "serve_pictures_per_s": batched.pictures_per_s,
        "serve_unbatched_pictures_per_s": unbatched.pictures_per_s,
        "serve_bare_pictures_per_s": best,
        "serve_vs_unbatched": batched.pictures_per_s / unbatched.pictures_per_s,
        "serve_vs_bare": batched.pictures_per_s / best,
        "serve_p50_s": float(np.quantile(batched.painted_s, 0.5)),
        "serve_p99_s": float(np.quantile(batched.painted_s, 0.99)),
        "serve_overload_pictures_per_s": crowd.pictures_per_s,
        "serve_overload_refused": float(len(crowd.refused_s)),
        "serve_overload_refused_p99_s": float(np.quantile(crowd.refused_s, 0.99)) if crowd.refused_s else 0.0,
        "serve_overload_other": float(sum(n for status, n in crowd.statuses.items() if status not in (200, 429, 503))),
        "serve_memory_growth_mb": growth,
    }


def with_shop(jobs, changes, *measurements):  # type: ignore[no-untyped-def]  # each measurement's own result
    """Start the shop with changed settings, measure, stop it; always two results."""
    from p2i_ray.serve import app, hosting
    from p2i_ray.serve.edge.tokens import Tokens

    config = load(ServeJobConfig, "mini")
    limits = config.serve.limits.model_copy(update={"per_minute": 1_000_000})
    fixed = {"judge": False, "port": PORT, "jobs": jobs, "limits": limits}
    shop = config.model_copy(update={"serve": config.serve.model_copy(update={**fixed, **changes})})
    hosting.start(NAME, app.graph(shop, Tokens([TOKEN])), shop.serve.host, PORT)
    try:
        measure(CLIENTS, 2)  # what is slow the first time
        found = [measurement() for measurement in measurements]
    finally:
        hosting.stop(NAME)
    return found[0], found[1] if len(found) > 1 else None


def disconnect() -> None:
    import ray
    from ray import serve

    serve.shutdown()
    ray.shutdown()


def overload(clients: int, seconds: float) -> tuple[Seen, float]:
    """Many clients, and by how many MB the replicas grew."""
    measure(clients, min(seconds, 5))
    before = memory_mb()
    seen = measure(clients, seconds)
    return seen, memory_mb() - before


def memory_mb() -> float:
    """Resident memory of all replicas on this machine that belong to this session, MB."""
    import psutil

    mine = psutil.Process().children(recursive=True)
    return (
        sum(p.memory_info().rss for p in mine if "ServeReplica" in p.name() or "ServeReplica" in str(p.cmdline())) / 1e6
    )


def measure(clients: int, seconds: float) -> Seen:
    """So many clients, each of which asks again as soon as it is answered; after a refusal a moment later."""
    return asyncio.run(_measure(clients, seconds))


async def _measure(clients: int, seconds: float) -> Seen:
    import aiohttp

    seen, begin = Seen(), time.perf_counter()
    until = begin + seconds
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connector = aiohttp.TCPConnector(limit=0)
    patience = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(headers=headers, connector=connector, timeout=patience) as session:

        async def client(number: int) -> None:
            image, name = cutout(render(HELD_OUT, number % 64, CLEAN))
            while time.perf_counter() < until:
                form = aiohttp.FormData()
                form.add_field("image", image, filename="product.png", content_type="image/png")
                form.add_field("prompt", name)
                asked = time.perf_counter()
                async with session.post(f"http://127.0.0.1:{PORT}/v1/images/edits", data=form) as answer:
                    await answer.read()
                    took = time.perf_counter() - asked
                seen.statuses[answer.status] += 1
                (seen.painted_s if answer.status == 200 else seen.refused_s).append(took)
                if answer.status != 200:
                    await asyncio.sleep(0.5)  # twice a second is impatient: it was told to wait longer

        await asyncio.gather(*map(client, range(clients)))
    seen.seconds = time.perf_counter() - begin
    return seen


def cutout(sample: Sample) -> tuple[bytes, str]:
    """A product as an RGBA PNG, and its name."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.dstack([sample.image, sample.mask])).save(out, "PNG")
    return out.getvalue(), sample.name


def bare(seconds: float) -> dict[int, float]:
    """Pictures a second of diffusers' pipeline by itself, by the pictures a call."""
    import os

    os.environ.update(connection.ENVIRONMENT)
    import torch
    from diffusers import StableDiffusionInpaintPipeline
    from PIL import Image

    config = load(ServeJobConfig, "mini")
    torch.set_num_threads(config.serve.sampler.threads or 1)
    pipe = StableDiffusionInpaintPipeline.from_pretrained(config.diffusion.base, use_safetensors=True)
    pipe.to(torch.float32).set_progress_bar_config(disable=True)
    samples = [render(HELD_OUT, number, CLEAN) for number in range(max(BATCHES))]
    found = {}
    for size in BATCHES:
        chosen = samples[:size]

        def call(chosen: list[Sample] = chosen) -> None:
            pipe(
                prompt=[s.name for s in chosen],
                image=[Image.fromarray(s.image) for s in chosen],
                mask_image=[Image.fromarray(255 - s.mask) for s in chosen],
                height=64,
                width=64,
                num_inference_steps=config.generate.num_inference_steps,
                guidance_scale=config.generate.guidance_scale,
                generator=[torch.Generator().manual_seed(i) for i in range(len(chosen))],
            )

        call()
        calls, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds / 2 or not calls:
            call()
            calls += 1
        found[size] = calls * size / (time.perf_counter() - begin)
    return found


if __name__ == "__main__":
    print(json.dumps(bare(float(sys.argv[1]))))
