"""Baselines of the training benchmark: the same step that encodes images as it goes, and two loops in one process.

All have their images, as PNG, or their features in memory already, and read no disk.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from p2i_ray.config import Config
from p2i_ray.diffusion.features.encoders import load_encoders
from p2i_ray.diffusion.features.index import FeatureIndex

Rows = list[dict[str, Any]]  # id, name, image, cutout


def rows_of(data: Path, count: int) -> Rows:
    """The first rows of a data set's training split."""
    files = sorted((data / "train").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()][:count]


def encode_online(config: Config, rows: Rows, steps: int) -> float:
    """Images a second of the same step on the same workers, when every batch passes the frozen encoders first."""
    import tempfile

    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    settings = config.train
    with tempfile.TemporaryDirectory() as storage:
        trainer = TorchTrainer(
            _online_worker,  # type: ignore[arg-type]  # what a worker returns is part of the result
            train_loop_config={"config": config, "rows": rows, "steps": steps},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(
                num_workers=settings.num_workers, resources_per_worker={"CPU": settings.num_cpus or 1}
            ),
            run_config=RunConfig(name="online", storage_path=storage),
        )
        result: Any = trainer.fit()  # its return value is not among its declared fields
        return float(result.return_value)


def _online_worker(given: dict[str, Any]) -> float:
    import numpy as np
    import torch
    import torch.distributed as dist

    from p2i_ray.diffusion.model import loading
    from p2i_ray.diffusion.model.preprocess import open_pair
    from p2i_ray.diffusion.model.prompt import tokenise_each
    from p2i_ray.diffusion.step import Batch, Product2Img, draw
    from p2i_ray.diffusion.training import engine

    config, rows, steps = given["config"], given["rows"], given["steps"]
    settings, diffusion = config.train, config.diffusion
    parts = loading.load(diffusion.base, diffusion)
    encoders = load_encoders(diffusion, "cpu")
    trainee = engine.start(Product2Img(parts, loading.load_projection(diffusion), settings), settings, steps)
    share = settings.batch_size // dist.get_world_size()
    positions = range(dist.get_rank() * share, (dist.get_rank() + 1) * share)
    seconds = []
    for step in range(steps):
        start = time.perf_counter()
        mine = [rows[(step * settings.batch_size + position) % len(rows)] for position in positions]
        pairs = [open_pair(row["image"]["bytes"], row["cutout"]["bytes"], config.image) for row in mine]
        encoded = encoders.encode(np.stack([i for i, _ in pairs]), np.stack([m for _, m in pairs]))
        prompts = tokenise_each(parts.tokenizers, diffusion.token, [row["name"] for row in mine])
        _, channels, *size = encoded.image_moments.shape
        draws = draw(
            0, step, positions, latent=(channels // 2, *size), timesteps=1000, prompt_dropout=settings.prompt_dropout
        )
        features = {name: torch.from_numpy(values).float() for name, values in encoded._asdict().items()}
        batch = Batch(
            **features,
            input_ids=prompts.ids,
            background_at=prompts.background_at,
            eos_at=prompts.eos_at,
            **draws._asdict(),
        )
        trainee.backward(trainee(batch, batch, 1).total)
        trainee.step()
        seconds.append(time.perf_counter() - start)
    return float(settings.batch_size / statistics.median(seconds[1:]))


def bare_loop(config: Config, features: FeatureIndex, steps: int, threads: int) -> float:
    """Images a second of one process that takes the product's own step on the same features, in plain torch.

    Every step's batch is ready before the first: there is neither Ray nor DeepSpeed, nor a read of a row.
    """
    import torch

    from p2i_ray.diffusion.model import loading
    from p2i_ray.diffusion.step import Batch, Product2Img
    from p2i_ray.diffusion.training import rows
    from p2i_ray.diffusion.training.batches import Collate

    torch.set_num_threads(threads)
    settings, diffusion = config.train, config.diffusion
    parts = loading.load(diffusion.base, diffusion)
    model = Product2Img(parts, loading.load_projection(diffusion), settings)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=settings.lr_unet, weight_decay=settings.weight_decay)
    collate = Collate(
        parts.tokenizers,
        aligned=0,
        diffusion=diffusion,
        seed=0,
        timesteps=int(parts.scheduler.config["num_train_timesteps"]),
        prompt_dropout=settings.prompt_dropout,
    )
    path = rows.copy_to_node(features, None)
    stored = rows.Rows(path)
    rows.unlink(path)
    order = rows.BatchOrder(0, stored.by_size(), settings.batch_size)
    batches = [_batch_of(stored.table(order.of_step(step)), step, collate) for step in range(steps)]
    seconds = []
    for values in batches:
        start = time.perf_counter()
        batch = Batch(**values)
        torch.autograd.backward(model(batch, batch).total)
        torch.nn.utils.clip_grad_norm_(learning, settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    return float(settings.batch_size / statistics.median(seconds[1:]))


def _batch_of(table: Any, step: int, collate: Any) -> dict[str, Any]:
    import pyarrow as pa

    size = table.num_rows
    for name, values in (("step", [step] * size), ("position", range(size))):
        table = table.append_column(name, pa.array(values, pa.int64()))
    values = collate(table)
    return {name: value for name, value in values.items() if name not in {"step", "number"}}


def plain_loop(config: Config, rows: Sequence[dict[str, Any]], steps: int, threads: int) -> float:
    """Images a second of one process that trains UNet and text encoder as diffusers' example scripts do.

    Every step decodes images, encodes them with the VAE, adds noise, predicts it, and updates; there is no CBA.
    """
    import io

    import torch
    from diffusers import DDPMScheduler, StableDiffusionInpaintPipeline
    from PIL import Image
    from torch.nn import functional
    from torchvision.transforms.functional import normalize, pil_to_tensor

    torch.set_num_threads(threads)
    pipe = StableDiffusionInpaintPipeline.from_pretrained(  # type: ignore[no-untyped-call]
        config.diffusion.base, torch_dtype=torch.float32
    )
    pipe.vae.requires_grad_(False)
    unet, text_encoder = pipe.unet.train(), pipe.text_encoder.train()
    learning = [*unet.parameters(), *text_encoder.parameters()]
    optimizer = torch.optim.AdamW(learning, lr=1e-5)
    schedule = DDPMScheduler.from_config(pipe.scheduler.config)  # type: ignore[no-untyped-call]
    size = config.train.batch_size
    seconds = []
    for step in range(steps):
        start = time.perf_counter()
        mine = [rows[(step * size + position) % len(rows)] for position in range(size)]
        images = torch.stack([pil_to_tensor(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in mine])
        cutouts = torch.stack([pil_to_tensor(Image.open(io.BytesIO(row["cutout"]["bytes"]))) for row in mine])
        pixels = normalize(images.float() / 255, [0.5], [0.5])  # (B, 3, H, W), -1..1
        mask = (cutouts[:, 3:] < 128).float()  # (B, 1, H, W)
        with torch.no_grad():
            latents = pipe.vae.encode(pixels).latent_dist.sample() * pipe.vae.config.scaling_factor
            product = pipe.vae.encode(pixels * (1 - mask)).latent_dist.sample() * pipe.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        timesteps = torch.randint(0, schedule.config.num_train_timesteps, (size,))
        noisy = schedule.add_noise(latents, noise, timesteps)
        small = functional.interpolate(mask, size=latents.shape[-2:])
        tokens = pipe.tokenizer(
            [row["name"] for row in mine],
            padding="max_length",
            truncation=True,
            max_length=text_encoder.config.max_position_embeddings,
            return_tensors="pt",
        )
        hidden = text_encoder(tokens.input_ids)[0]
        predicted = unet(torch.cat([noisy, small, product], dim=1), timesteps, hidden).sample
        torch.autograd.backward(functional.mse_loss(predicted, noise))
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    return float(size / statistics.median(seconds[1:]))
