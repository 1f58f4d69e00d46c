"""One of two processes that share a model's weights by ZeRO-3 and paint while they train; see test_samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.config.diffusion import TrackingConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.model import loading
from p2i_ray.diffusion.step import Product2Img
from p2i_ray.diffusion.training import engine, samples
from tests.support.make_batch import make_batch, make_model

STEPS = 2
NAMES = ["cup", "round thing", "x"]
SETTINGS = TrackingConfig(num_inference_steps=2)


def work(rank: int, world: int, *, diffusion: DiffusionConfig, features: samples.Features, out: Path) -> None:
    """Train twice, with pictures after every step and without; save what came of it."""
    import os

    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1")
    os.environ["MASTER_PORT"] = "0"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/store", rank=rank, world_size=world)
    pictures, painted = train(diffusion, features, rank, paints=True)
    _, not_painted = train(diffusion, features, rank, paints=False)
    np.save(out / f"pictures-{rank}.npy", np.stack(pictures))
    if rank == 0:
        torch.save({"painted": painted, "not painted": not_painted}, out / "weights.pt")
    dist.destroy_process_group()


def train(
    diffusion: DiffusionConfig, features: samples.Features, rank: int, paints: bool
) -> tuple[list[Pixels], dict[str, torch.Tensor]]:
    """The pictures after each step, and the weights at the end."""
    settings = TrainConfig(
        batch_size=4, num_workers=2, num_gpus=0, zero_stage=3, mixed_precision="no", lr_unet=1e-3, lr_text=1e-3
    )
    parts, model = make_model(diffusion, **settings.model_dump(exclude={"tracking"}))
    trainee = engine.start(model, settings, STEPS)
    batch, pictures = make_batch(parts, range(2 * rank, 2 * rank + 2)), []
    for _ in range(STEPS):
        trainee.backward(trainee(batch, batch).total)
        trainee.step()
        if paints:
            pictures.append(paint_samples(model, parts, features, diffusion.token))
    return pictures, engine.gather(trainee)


def alone(diffusion: DiffusionConfig, features: samples.Features, weights: dict[str, torch.Tensor]) -> Pixels:
    """What a model with these weights paints in one process, without DeepSpeed."""
    parts, model = make_model(diffusion)
    model.load_state_dict(weights, strict=False)
    return paint_samples(model, parts, features, diffusion.token)


def paint_samples(model: Product2Img, parts: loading.Parts, features: samples.Features, token: str | None) -> Pixels:
    rows = samples.SampleRows(NAMES, features)
    return samples.paint(model, parts, rows, token=token, settings=SETTINGS, seed=0)
