"""The generator service under load: 16 clients over HTTP, compared with no batching, and with diffusers alone.

    serve_pictures_per_s, serve_unbatched_pictures_per_s, serve_bare_pictures_per_s     and the ratios
    serve_apart_*                             the same three with one thread, where the sampler has a core to itself,
                                              and front and clients have the others; the bare pipeline has one core, too
    serve_p50_s, serve_p99_s                  latency with 16 clients that send the next request at once
    serve_overload_*                          ten times as many clients: throughput, and latency of refusals
    serve_memory_growth_mb                    of all replicas, during the overload
    serve_truth_SIDE_ms, serve_marks_SIDE_ms  of a picture of that side: the truth report; what marking adds to a PNG
    serve_truth_and_marks_fraction            both at 64 pixels, of the time that a picture takes

The mini preset on the CPU; a request is one image of 64x64 pixels in 30 steps. The bare pipeline runs in a process of
its own, at its best batch size. Ten minutes of overload: `python -m bench overload`.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench import cores
from p2i_ray.cluster import connection
from p2i_ray.config import load
from p2i_ray.config.environment import ENVIRONMENT
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.mini.world import CLEAN, Sample, render

CLIENTS = 16
OVERLOAD = 10  # times as many clients
SECONDS = 40.0  # of each measurement
BATCHES = (1, 2, 4, 8, 16)
APART_BATCH = 8
TOKEN, PORT, NAME = "bench", 8791, "bench-generator"
HELD_OUT = 91


@dataclass
class Measurement:
    """Statuses and latencies as clients saw them."""

    statuses: Counter[int] = field(default_factory=Counter)
    painted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    seconds: float = 0

    @property
    def pictures_per_s(self) -> float:
        """Throughput of answered requests."""
        return len(self.painted_s) / self.seconds


def run(seconds: float = SECONDS) -> dict[str, float]:
    """Return all figures; seconds is the length of each measurement."""
    config = load(ServeJobConfig, "mini")
    connection.connect(config.ray)
    with tempfile.TemporaryDirectory() as jobs:
        unbatched, _ = with_service(jobs, {"max_batch_size": 1}, lambda: measure(CLIENTS, seconds))
        batched, (crowd, growth) = with_service(
            jobs, {}, lambda: measure(CLIENTS, seconds), lambda: overload(CLIENTS * OVERLOAD, seconds)
        )
        alone = []
        for size in (1, APART_BATCH):
            one_thread = {"sampler": config.serve.sampler.model_copy(update={"threads": 1}), "max_batch_size": size}
            seen, _ = with_service(jobs, one_thread, lambda: apart(CLIENTS, seconds))
            alone.append(seen.pictures_per_s)
    disconnect()
    best, one_core, extras = best_bare(seconds), best_bare(seconds, one_core=True), truth_and_marks()
    seconds_64 = (extras["serve_truth_64_ms"] + extras["serve_marks_64_ms"]) / 1e3
    return {
        "serve_pictures_per_s": batched.pictures_per_s,
        "serve_unbatched_pictures_per_s": unbatched.pictures_per_s,
        "serve_bare_pictures_per_s": best,
        "serve_vs_unbatched": batched.pictures_per_s / unbatched.pictures_per_s,
        "serve_vs_bare": batched.pictures_per_s / best,
        "serve_apart_unbatched_pictures_per_s": alone[0],
        "serve_apart_pictures_per_s": alone[1],
        "serve_apart_bare_pictures_per_s": one_core,
        "serve_apart_vs_unbatched": alone[1] / alone[0],
        "serve_apart_vs_bare": alone[1] / one_core,
        "serve_p50_s": float(np.quantile(batched.painted_s, 0.5)),
        "serve_p99_s": float(np.quantile(batched.painted_s, 0.99)),
        "serve_overload_pictures_per_s": crowd.pictures_per_s,
        "serve_overload_refused": float(len(crowd.refused_s)),
        "serve_overload_refused_p99_s": float(np.quantile(crowd.refused_s, 0.99)) if crowd.refused_s else 0.0,
        "serve_overload_other": float(sum(n for status, n in crowd.statuses.items() if status not in (200, 429, 503))),
        "serve_memory_growth_mb": growth,
        **extras,
        "serve_truth_and_marks_fraction": seconds_64 * batched.pictures_per_s,
    }


def truth_and_marks(sides: Sequence[int] = (64, 512, 1024), times: int = 10) -> dict[str, float]:
    """Milliseconds of the truth report and of the marks of a picture, the median of several."""
    from PIL import Image

    from p2i_ray.config.provenance import ProvenanceConfig
    from p2i_ray.provenance.marker import Marker, encode
    from p2i_ray.serve.images.truth import report

    marker, sample = Marker(ProvenanceConfig(), "0" * 64), render(HELD_OUT, 0, CLEAN)
    found = {}
    for side in sides:
        picture, mask = (np.asarray(Image.fromarray(one).resize((side, side))) for one in (sample.image, sample.mask))

        def ms(work: Callable[[], object]) -> float:
            taken = []
            for _ in range(times):
                begin = time.perf_counter()
                work()
                taken.append(time.perf_counter() - begin)
            return float(np.median(taken) * 1e3)

        found[f"serve_truth_{side}_ms"] = ms(lambda picture=picture, mask=mask: report(picture, picture, mask))  # type: ignore[misc]
        marked = ms(lambda picture=picture: marker.encode(picture, "png", seed=1))  # type: ignore[misc]
        found[f"serve_marks_{side}_ms"] = marked - ms(lambda picture=picture: encode(picture, "png"))  # type: ignore[misc]
    return found


def with_service(jobs: str, changes: dict[str, Any], *measurements: Callable[[], Any]) -> tuple[Any, Any]:
    """Start the service with changed settings, measure, and stop it; always two results."""
    from p2i_ray.serve import app, drain, hosting
    from p2i_ray.serve.edge.tokens import Tokens

    config = load(ServeJobConfig, "mini")
    limits = config.serve.limits.model_copy(update={"per_minute": 1_000_000})
    fixed = {"judge": False, "port": PORT, "jobs": jobs, "limits": limits}
    changed = config.model_copy(update={"serve": config.serve.model_copy(update={**fixed, **changes})})
    hosting.start(NAME, app.graph(changed, Tokens([TOKEN])), changed.serve.host, PORT)
    try:
        measure(CLIENTS, 2)  # warm-up
        found = [measurement() for measurement in measurements]
    finally:
        drain.stop(NAME)
    return found[0], found[1] if len(found) > 1 else None


def disconnect() -> None:
    """Stop Serve and Ray."""
    import ray
    from ray import serve

    serve.shutdown()  # type: ignore[no-untyped-call]  # Ray's
    ray.shutdown()


def apart(clients: int, seconds: float) -> Measurement:
    """Measure with the sampler on a core of its own."""
    everywhere = os.sched_getaffinity(0)
    cores.apart()
    try:
        return measure(clients, seconds)
    finally:
        cores.together(everywhere)


def best_bare(seconds: float, *, one_core: bool = False) -> float:
    """Images a second of diffusers' own pipeline at its best batch size, in a process of its own."""
    command = [sys.executable, "-m", "bench.serve", str(seconds), *(["one-core"] if one_core else [])]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    return float(max(json.loads(found).values()))


def overload(clients: int, seconds: float) -> tuple[Measurement, float]:
    """Measure many clients, and by how many MB the replicas' memory grew."""
    measure(clients, min(seconds, 5))
    before = memory_mb()
    seen = measure(clients, seconds)
    return seen, memory_mb() - before


def memory_mb() -> float:
    """Resident memory of all replicas on this machine that belong to this session, MB."""
    import psutil

    mine = psutil.Process().children(recursive=True)
    replicas = (p for p in mine if "ServeReplica" in p.name() or "ServeReplica" in str(p.cmdline()))
    return float(sum(p.memory_info().rss for p in replicas) / 1e6)


def measure(clients: int, seconds: float) -> Measurement:
    """Run so many clients, each of which sends its next request after a response, or half a second after a refusal."""
    return asyncio.run(_measure(clients, seconds))


async def _measure(clients: int, seconds: float) -> Measurement:
    import aiohttp

    seen, begin = Measurement(), time.perf_counter()
    until = begin + seconds
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(headers=headers, connector=connector, timeout=timeout) as session:

        async def client(number: int) -> None:
            image, name = cutout(render(HELD_OUT, number % 64, CLEAN))
            while time.perf_counter() < until:
                form = aiohttp.FormData()
                form.add_field("image", image, filename="product.png", content_type="image/png")
                form.add_field("prompt", name)
                sent = time.perf_counter()
                async with session.post(f"http://127.0.0.1:{PORT}/v1/images/edits", data=form) as answer:
                    await answer.read()
                    took = time.perf_counter() - sent
                seen.statuses[answer.status] += 1
                (seen.painted_s if answer.status == 200 else seen.refused_s).append(took)
                if answer.status != 200:
                    await asyncio.sleep(0.5)  # sooner than Retry-After says

        await asyncio.gather(*map(client, range(clients)))
    seen.seconds = time.perf_counter() - begin
    return seen


def cutout(sample: Sample) -> tuple[bytes, str]:
    """A product as an RGBA PNG, and its name."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.dstack([sample.image, sample.mask])).save(out, "PNG")
    return out.getvalue(), sample.name


def bare(seconds: float, *, one_core: bool) -> dict[int, float]:
    """Images a second of diffusers' own pipeline, by batch size; with the preset's threads, or one on a core."""
    if one_core:
        cores.together({cores.SAMPLERS_CORE})
    os.environ.update(ENVIRONMENT)
    import torch
    from diffusers import StableDiffusionInpaintPipeline
    from PIL import Image

    config = load(ServeJobConfig, "mini")
    torch.set_num_threads(1 if one_core else config.serve.sampler.threads or 1)
    pipe: Any = StableDiffusionInpaintPipeline.from_pretrained(config.diffusion.base, use_safetensors=True)  # type: ignore[no-untyped-call]  # diffusers'
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
    print(json.dumps(bare(float(sys.argv[1]), one_core="one-core" in sys.argv)))
