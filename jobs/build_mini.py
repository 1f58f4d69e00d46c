"""Rebuild the mini preset's models from their seeds: the diffusion model, the judge and the two CLIPs.

    python jobs/build_mini.py [--out p2i_ray/mini/weights]

Two single-threaded processes: while one trains the autoencoder the other trains the CLIPs; then one trains the UNet and
the other the judge, which learns from pictures that went through the autoencoder. BUILD.md in the folder has each
part's time and accuracy. About 40 minutes on two free cores.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parents[1] / "p2i_ray" / "mini" / "weights"
Figures = dict[str, float]


def build(out: Path) -> dict[str, Figures]:
    """Train everything into `out` (each model replaces its predecessor when it is finished).

    Returns:
        For each part, its figures, "minutes" and "CPU minutes".
    """
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        autoencoder = pool.submit(_timed, _autoencoder, out)
        clips = pool.submit(_timed, _clips, out)
        done = {"autoencoder": autoencoder.result()}
        judge = pool.submit(_timed, _judge, out)
        done["clips"] = clips.result()
        diffusion = pool.submit(_timed, _diffusion, out)
        done |= {"diffusion": diffusion.result(), "judge": judge.result()}
    write_report(done, out / "BUILD.md")
    return done


def write_report(done: dict[str, Figures], file: Path) -> None:
    """The figures as a Markdown table, one row a figure."""
    rows = [f"| {part} | {name} | {value:.3g} |" for part, figures in done.items() for name, value in figures.items()]
    head = [
        "# How these weights were built",
        "",
        "By `python jobs/build_mini.py`: fixed seeds, CPU, fp32; stored as fp16.",
    ]
    file.write_text("\n".join([*head, "", "| part | figure | value |", "|---|---|---|", *rows, ""]), encoding="utf-8")


def _timed(part: Callable[[Path], Figures], out: Path) -> Figures:
    start, busy = time.monotonic(), time.process_time()
    figures = part(out)
    minutes, cpu_minutes = (time.monotonic() - start) / 60, (time.process_time() - busy) / 60
    return figures | {"minutes": minutes, "CPU minutes": cpu_minutes}


def _autoencoder(out: Path) -> Figures:
    from p2i_ray.mini.vae_training import train_vae

    return train_vae(out / "diffusion" / "vae")


def _clips(out: Path) -> Figures:
    from p2i_ray.mini.clip_training import train_diffusion_clip, train_evaluator

    evaluator, diffusion = train_evaluator(out / "evaluator_clip"), train_diffusion_clip(out / "diffusion_clip")
    return {f"evaluator {k}": v for k, v in evaluator.items()} | {f"diffusion {k}": v for k, v in diffusion.items()}


def _diffusion(out: Path) -> Figures:
    from p2i_ray.mini.unet_training import train_unet

    return train_unet(out / "diffusion", out / "diffusion_clip", out / "evaluator_clip")


def _judge(out: Path) -> Figures:
    from p2i_ray.mini.judge_training import build_judge

    return build_judge(out / "judge", out / "diffusion" / "vae")


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def main() -> None:
    """Build the models, and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder of the models; they are replaced")
    out = parser.parse_args().out
    for part, figures in build(out).items():
        print(part, " ".join(f"{name}={value:.3g}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
