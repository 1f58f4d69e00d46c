"""One GPU's training without Ray and DeepSpeed, and whether it gives the same bits twice; for bench.gpu."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.model import loading
from p2i_ray.diffusion.step import Product2Img
from p2i_ray.diffusion.training import determinism
from p2i_ray.planning import architectures, full_size

TOKEN = "<background>"
COMPARED_STEPS = 3


class Trainer:
    """One GPU's training: step.py's loss, bf16 parameters, AdamW on float32 masters."""

    def __init__(self, location: str, *, rows: int, resolution: int, mode: str, device: torch.device) -> None:
        settings = TrainConfig(channels_last=mode == "channels_last")
        torch.manual_seed(0)
        parts = loading.load(location, config_of(location))
        projection = full_size.build_projection(architectures.read(location))
        self.model = Product2Img(parts, projection, settings)
        full_size.cast_parameters(self.model, torch.bfloat16)
        self.model.to(device)
        self.batch = full_size.random_batch(
            parts, TOKEN, rows=rows, resolution=resolution, clip_width=len(projection.weight)
        ).to(device)
        self._parameters: list[torch.Tensor] = [p for p in self.model.parameters() if p.requires_grad]
        self.masters = [p.detach().float() for p in self._parameters]
        self._optimizer = torch.optim.AdamW(
            self.masters, lr=settings.lr_unet, weight_decay=settings.weight_decay, fused=device.type == "cuda"
        )
        self._norm = settings.max_grad_norm
        if mode == "compiled":
            self.model.denoiser.compile()

    def forward_backward(self) -> None:
        """The part whose FLOPs count."""
        self.model(self.batch, self.batch).total.backward()

    def step(self) -> None:
        """A whole step."""
        self.forward_backward()
        for parameter, master in zip(self._parameters, self.masters, strict=True):
            assert parameter.grad is not None
            master.grad, parameter.grad = parameter.grad.float(), None
        torch.nn.utils.clip_grad_norm_(self.masters, self._norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, self.masters)


def config_of(location: str) -> DiffusionConfig:
    """A folder as the base model; its CLIP isn't looked at."""
    return DiffusionConfig(base=location, clip=location, token=TOKEN)


def trained(trainer: Trainer) -> list[torch.Tensor]:
    """The weights after a few steps."""
    for _ in range(COMPARED_STEPS):
        trainer.step()
    return [master.cpu() for master in trainer.masters]


def equal(some: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> bool:
    """Whether tensors are the same to the bit."""
    return all(map(torch.equal, some, others))


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Within the block torch computes as training does with train.deterministic."""
    if wanted:
        determinism.apply(TrainConfig(num_gpus=1))
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
