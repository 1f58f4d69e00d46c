"""Time the full-size diffusion model on this machine's GPU: the train step and the sampler.

    python -m bench.gpu

Needs torch, diffusers, transformers, peft, open_clip; no Ray, no DeepSpeed, no downloads: weights are random, features
are noise. The architectures are the inpainting models of Stable Diffusion 1.5, at 512 pixels, and XL, at 1024, as
published (--models sd15 sdxl); XL's figures begin with sdxl_. Not part of `python -m bench`.

    train    step.py's step and AdamW in bf16 with float32 master weights, as DeepSpeed does it on one GPU without ZeRO
    paint    the sampler: 30 steps of Euler Ancestral with guidance, VAE included

Each is timed eager, eager with the UNet's convolutions in NHWC (train.channels_last), and with torch.compile; training
also with deterministic algorithms (train.deterministic). `repeats` is 1 where two trainings of three steps from one
seed, or two paintings, give the same bits. FLOPs are those of matrix products, convolutions and attention, counted by
torch; their share of the card's bf16 peak is given for cards whose peak is known. planned_gib, next to peak_gib, is
what jobs/train.py --plan would have said, less ZeRO's bucket.

--tiny runs the same code on the toy world's model, on the CPU: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.gpu_training import TOKEN, Trainer, config_of, deterministic, equal, trained
from bench.tables import as_lines
from p2i_ray.config import TrainConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import Sampler, SamplerOptions
from p2i_ray.planning import architectures, full_size
from p2i_ray.planning import training_memory as plan
from p2i_ray.planning.architectures import PUBLISHED, PUBLISHED_XL, Architecture

TINY = Path(__file__).parents[1] / "p2i_ray" / "mini" / "weights" / "diffusion"
PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12}  # dense bf16 FLOP/s of the SXM cards, by name
MODES = ("eager", "deterministic", "channels_last", "compiled")
WARM_UP = 2
STEPS, GUIDANCE = 30, 7.5  # as GenerateConfig has them
Figures = dict[str, float]


class Series(NamedTuple):
    """A model's measurements: its pictures' side, pixels, batches to train with and to paint, and modes."""

    architecture: Architecture
    resolution: int
    prefix: str
    train: tuple[int, ...]
    paint: tuple[int, ...]
    modes: tuple[str, ...]


SERIES = {
    "sd15": Series(PUBLISHED, 512, "", train=(1, 4, 8, 16, 32), paint=(1, 4, 16), modes=MODES),
    "sdxl": Series(PUBLISHED_XL, 1024, "sdxl_", train=(1, 4), paint=(1, 4), modes=("eager", "compiled")),
}


class Times(NamedTuple):
    """Numbers of repetitions."""

    warm_up: int
    repeats: int


def train(location: str, *, rows: int, resolution: int, mode: str, times: Times, device: torch.device) -> Figures:
    """Images a second, peak memory and share of the peak of the train step."""
    start = functools.partial(Trainer, location, rows=rows, resolution=resolution, mode=mode, device=device)
    with deterministic(mode == "deterministic"):
        trainer = start()
        with FlopCounterMode(display=False) as flops:
            trainer.forward_backward()
        found = figures(trainer.step, rows=rows, flops=flops.get_total_flops(), times=times, device=device)
        del trainer
        if mode in ("eager", "deterministic"):
            found["repeats"] = float(equal(trained(start()), trained(start())))
    return found | {"planned_gib": planned_gib(location, rows, resolution)}


@functools.cache  # the same in each mode
def planned_gib(location: str, rows: int, resolution: int) -> float:
    """The memory that the plan gives this step, GiB."""
    alone = TrainConfig(batch_size=rows, num_workers=1)
    planned = plan.need(architectures.read(location), alone, resolution)
    # This step reduces nothing, and its gradients are bf16 until the optimizer takes them.
    return planned._replace(bucket=0, gradients=planned.gradients // 2).peak / 2**30


def paint(location: str, *, rows: int, resolution: int, mode: str, times: Times, device: torch.device) -> Figures:
    """The same of painting; on a CPU two steps, which prove the code and not the card."""
    sampler = Sampler(location, config_of(location), SamplerOptions(dtype="bf16", device=str(device)))
    steps = STEPS if device.type == "cuda" else 2
    random = np.random.default_rng(0)
    products = random.integers(0, 256, (rows, resolution, resolution, 3), np.uint8)
    mask = np.zeros((resolution, resolution), np.uint8)
    mask[resolution // 4 : -resolution // 4, resolution // 4 : -resolution // 4] = 255
    requests = [
        PaintRequest(f"product {number}", product, mask, seed=number, steps=steps, guidance=GUIDANCE)
        for number, product in enumerate(products)
    ]

    painted: list[list[Pixels]] = []

    def work() -> None:
        painted.append(sampler.paint(requests))

    unet = sampler.denoiser  # changed in place: the product itself paints eagerly, in NCHW
    if mode == "channels_last":
        unet.to(memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as flops:
        work()
    if mode == "compiled":
        unet.compile()
    found = figures(work, rows=rows, flops=flops.get_total_flops(), times=times, device=device)
    return found | {"repeats": float(np.array_equal(painted[-1], painted[-2]))}


def figures(work: Callable[[], None], *, rows: int, flops: int, times: Times, device: torch.device) -> Figures:
    """Run some work, first to warm up, then for its time."""
    for _ in range(times.warm_up):
        work()
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for _ in range(times.repeats):
        work()
    if cuda:
        torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / times.repeats
    found = {"images_per_s": rows / seconds, "ms": 1000 * seconds, "tflops": flops / seconds / 1e12}
    if cuda:
        found["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        peak = peak_of(torch.cuda.get_device_name())
        if peak:
            found["share_of_peak"] = flops / seconds / peak
    return found


def peak_of(card: str) -> float | None:
    """A card's dense bf16 FLOP/s, if known."""
    return next((peak for name, peak in PEAKS.items() if name in card), None)


@contextmanager
def full_size_folder(architecture: Architecture, device: torch.device) -> Iterator[str]:
    """A model folder of an architecture with random weights, as long as the block runs."""
    scheduler = full_size.build_scheduler(architecture)
    with device:
        parts = full_size.build(architecture, TOKEN, scheduler)
    with tempfile.TemporaryDirectory(prefix="p2i_bench_") as location:
        parts.pipeline().save_pretrained(location, safe_serialization=True)
        del parts
        yield location


def measure(
    location: str, resolution: int, series: Series, options: argparse.Namespace, *, device: torch.device, found: Figures
) -> None:
    """All figures of a model, added to those found, written as they come; a batch that doesn't fit ends its series."""
    card = torch.cuda.get_device_name() if device.type == "cuda" else "CPU, toy model"
    times = Times(warm_up=options.warm_up, repeats=options.repeats)
    batches = (("train", train, options.batch or series.train), ("paint", paint, options.paint_batch or series.paint))
    for name, bench, sizes in batches:
        for mode in options.modes or series.modes:
            if (name, mode) == ("paint", "deterministic"):
                continue  # a matter of the backward pass
            for rows in sizes:
                try:
                    some = bench(location, rows=rows, resolution=resolution, mode=mode, times=times, device=device)
                except torch.OutOfMemoryError:
                    print(f"{name}_b{rows}_{mode}: out of memory", flush=True)
                    break
                finally:
                    torch.compiler.reset()
                    if device.type == "cuda":
                        torch.cuda.empty_cache()
                some = {f"{series.prefix}{name}_b{rows}_{mode}_{key}": value for key, value in some.items()}
                print(as_lines(some), flush=True)
                found |= some
                written = {"device": card, "torch": torch.__version__, "figures": found}
                options.out.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"{card}: figures are in {options.out}")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="the toy world's model, at 64 x 64, on the CPU")
    parser.add_argument("--models", nargs="+", choices=list(SERIES), default=list(SERIES))
    parser.add_argument("--batch", type=int, nargs="+", help="batches to train with (none: each model's own)")
    parser.add_argument("--paint-batch", type=int, nargs="+", help="batches to paint (none: each model's own)")
    parser.add_argument("--modes", nargs="+", choices=MODES, help="(none: each model's own)")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="times that each is run before")
    parser.add_argument("--repeats", type=int, default=10, help="times that each is run for its time")
    parser.add_argument("--out", type=Path, default=Path("bench-gpu.json"))
    options = parser.parse_args(argv)
    if not options.tiny and not torch.cuda.is_available():
        print("error: torch sees no CUDA device; --tiny runs the same code on a CPU", file=sys.stderr)
        return 2
    if options.tiny:
        measure(str(TINY), 64, SERIES["sd15"], options, device=torch.device("cpu"), found={})
        return 0
    device, found = torch.device("cuda"), Figures()
    for name in options.models:
        series = SERIES[name]
        with full_size_folder(series.architecture, device) as location:
            measure(location, series.resolution, series, options, device=device, found=found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
