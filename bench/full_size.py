"""Walk the whole way on a CPU with diffusion models of full size and random weights: `make full-size`.

    sd15   Stable Diffusion 1.5's inpainting model and CLIP ViT-L/14, as published
    sdxl   Stable Diffusion XL's inpainting model with all its layers, a fifth as wide

Each is built; photos are ingested and scored by the mini preset's judge, two LoRA steps are taken, the model paints, is
measured and answers one request, every step by the job that users run. Pictures are small: it is proved that models of
this size get through, in which time and memory, and what is painted is noise. The figures are seconds, the most memory
of a step's processes together, GB, and of training's largest process beside what the plan foretold.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from bench.children import Memory, watched
from bench.full_size_models import MODELS, write_photos

RESOLUTION = 128
JOBS = Path(__file__).parents[1] / "jobs"
KEY = "full-size-benchmark"  # of the service
STARTS_WITHIN_S = 600
SETTINGS = f"""extends: mini
image: {{resolution: {RESOLUTION}}}
diffusion: {{base: BASE, clip: CLIP}}
features: {{batch_size: 2}}
train:
  batch_size: 2
  num_workers: 1
  lora_rank: 8
  lr_unet: 1.0e-4
  lr_text: 1.0e-5
  mixed_precision: bf16
  zero_stage: 2
  tracking: {{samples: 1, num_inference_steps: 2}}
generate: {{batch_size: 1, num_workers: 1, num_inference_steps: 2, dtype: fp32}}
serve: {{max_batch_size: 1}}
ray: {{local_cpus: 2, object_store_mb: 300}}
"""


def run() -> dict[str, float]:
    """Seconds and GB of every step, for each model."""
    found: dict[str, float] = {}
    for name in MODELS:
        with tempfile.TemporaryDirectory(prefix="p2i_full_size_") as folder:
            for figures in _walk(name, Path(folder)):
                found |= {f"full_{name}_{key}": value for key, value in figures.items()}
                print(f"{name}: {', '.join(f'{key} {value:.1f}' for key, value in figures.items())}", flush=True)
    return found


def _walk(name: str, folder: Path) -> Iterator[dict[str, float]]:
    """All steps of one model; yields each one's figures."""
    base, photos, data, model = (folder / part for part in ("base", "photos", "epbd", "model"))
    preset = folder / "preset.yaml"
    preset.write_text(SETTINGS.replace("BASE", str(base)).replace("CLIP", str(folder / "clip")))
    start = time.perf_counter()  # in a process of its own, whose memory is free again afterwards
    command = [sys.executable, "-m", "bench.full_size_models", name, str(base), str(folder / "clip")]
    subprocess.run(command, check=True)
    yield {"build_s": time.perf_counter() - start}
    write_photos(photos)
    yield _job("ingest", preset, source=photos, names=photos / "names.csv", out=data)
    yield _job("score", preset, data=data, out=folder / "scores")
    figures = _job("train", preset, data=data, out=model, steps=2)
    yield figures | {"train_planned_gb": _planned_gb(preset)}
    yield _job("generate", preset, data=data, split="validation", model=model, out=folder / "painted")
    methods = "clip_c_i,clip_c_b"
    yield _job("evaluate", preset, data=data, split="validation", model=model, methods=methods, out=folder / "measured")
    yield _serve(preset, model, photos / "0-cutout.png")


def _job(name: str, preset: Path, **settings: Any) -> dict[str, float]:
    """One job's figures."""
    command = [sys.executable, str(JOBS / f"{name}.py"), "--config", str(preset)]
    start = time.perf_counter()
    command += [f"{key}={value}" for key, value in settings.items()]
    with subprocess.Popen(command) as job, watched(job.pid) as memory:
        job.wait()
    if job.returncode:
        raise RuntimeError(f"{name} ended with {job.returncode}")
    figures = _figures(name, time.perf_counter() - start, memory)
    return figures | ({"train_largest_gb": memory.largest / 1e9} if name == "train" else {})


def _planned_gb(preset: Path) -> float:
    """The memory that the plan gives the LoRA step."""
    from p2i_ray.config import Config, load
    from p2i_ray.planning import training_text

    config = load(Config, str(preset))
    planned = training_text.work_out(config.diffusion.base, config.diffusion, config.train, RESOLUTION)
    return planned.needed.peak / 1e9


def _serve(preset: Path, model: Path, cutout: Path) -> dict[str, float]:
    """Start the service, ask for one picture, end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(JOBS / "serve.py"), "--config", str(preset), f"serve.model={model}"]
    url, start = f"http://127.0.0.1:{port}", time.perf_counter()
    environment = {**os.environ, "P2I_API_TOKEN": KEY}
    with subprocess.Popen([*command, f"serve.port={port}"], env=environment) as service, watched(service.pid) as memory:
        try:
            _wait_until_ready(url, service)
            ready = time.perf_counter()
            answer = httpx.post(
                f"{url}/v1/images/edits",
                headers={"Authorization": f"Bearer {KEY}"},
                data={"prompt": "Steel bottle", "size": f"{RESOLUTION}x{RESOLUTION}"},
                files={"image": ("cutout.png", cutout.read_bytes())},
                timeout=STARTS_WITHIN_S,
            )
            answer.raise_for_status()
            asked = time.perf_counter()
        finally:
            service.terminate()
            service.wait()
    return {**_figures("serve", ready - start, memory), "serve_picture_s": asked - ready}


def _wait_until_ready(url: str, service: subprocess.Popen[bytes]) -> None:
    with httpx.Client() as client:
        for _ in range(STARTS_WITHIN_S):
            if service.poll() is not None:
                raise RuntimeError(f"the service ended with {service.returncode}")
            try:
                if client.get(f"{url}/readyz").is_success:
                    return
            except httpx.TransportError:
                pass  # it doesn't listen yet
            time.sleep(1)
    raise RuntimeError(f"the service wasn't ready after {STARTS_WITHIN_S} s")


def _figures(name: str, seconds: float, memory: Memory) -> dict[str, float]:
    return {f"{name}_s": seconds, f"{name}_gb": memory.together / 1e9}
