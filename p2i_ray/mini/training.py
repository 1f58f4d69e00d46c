"""Training of the tiny models: the optimizer, seeded pictures, atomic folders."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from p2i_ray.mini.world import FlawMix, Sample, render

if TYPE_CHECKING:
    import torch

ANY_SCENE = FlawMix(wrong_scene=7 / 8, plain_background=0.08, text_overlay=0.1, clutter=0.1, blur=0.08)
"""Product and scene are independent: a wrong scene seven times in eight makes the scene uniform."""


class Trainer:
    """Muon on matrices and large convolutions, AdamW on the rest; warm-up and cosine; averaged weights.

    At this size Muon learns two to three times as much a step as AdamW alone. https://kellerjordan.github.io/posts/muon/
    """

    def __init__(
        self, model: torch.nn.Module, steps: int, *, muon_rate: float, adam_rate: float, decay: float = 0.995
    ) -> None:
        """Prepare `model` for `steps` calls of `step`; `finish` then gives it the weights averaged with `decay`."""
        import torch
        from torch.nn.utils import parametrize

        self._model, self._steps, self._done, self._decay = model, steps, 0, decay
        self._convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and _is_large(m.weight)]
        matrices: dict[int, torch.Tensor] = {
            id(m.weight): m.weight for m in model.modules() if isinstance(m, torch.nn.Linear)
        }
        for module in self._convolutions:
            parametrize.register_parametrization(module, "weight", _flattened(module.weight.shape))
            parametrized: Any = module.parametrizations
            kernel: torch.Tensor = parametrized.weight.original
            matrices[id(kernel)] = kernel
        others = [p for p in model.parameters() if id(p) not in matrices]
        self._optimizers: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Muon(matrices.values(), adjust_lr_fn="match_rms_adamw", weight_decay=0.01), muon_rate),
            (torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=0.0), adam_rate),
        ]
        self._average = [p.detach().clone() for p in model.parameters()]

    def step(self, loss: torch.Tensor) -> None:
        """Compute the gradients, update the weights and their average."""
        import torch

        self._model.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        for optimizer, peak in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * rate_at(self._done, self._steps)
            optimizer.step()
        self._done += 1
        decay = min(self._decay, self._done / (self._done + 10))
        torch._foreach_lerp_(self._average, [p.detach() for p in self._model.parameters()], 1 - decay)

    def finish(self) -> None:
        """Put the averaged weights into the model, and the model into evaluation mode."""
        from torch.nn.utils import parametrize

        for parameter, average in zip(self._model.parameters(), self._average, strict=True):
            parameter.data.copy_(average)
        for module in self._convolutions:
            parametrize.remove_parametrizations(module, "weight")
        self._model.train(False)


def rate_at(step: int, steps: int, warm_up: int = 30) -> float:
    """The learning rate as a fraction of its peak: a linear warm-up, then a cosine down to 0."""
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _is_large(kernel: torch.Tensor) -> bool:
    return min(kernel.flatten(1).shape) >= 16


def _flattened(shape: torch.Size) -> torch.nn.Module:
    """A parametrization that stores a kernel (out, in, k, k) as the matrix (out, in k k), for Muon."""
    import torch

    class Flattened(torch.nn.Module):
        def forward(self, matrix: torch.Tensor) -> torch.Tensor:
            return matrix.view(shape)

        def right_inverse(self, kernel: torch.Tensor) -> torch.Tensor:
            return kernel.flatten(1)

    return Flattened()


def batches(seed: int, size: int, mix: FlawMix) -> Iterator[list[Sample]]:
    """Yield batches of the world `seed` without end, no picture twice."""
    index = 0
    while True:
        yield [render(seed, index + i, mix) for i in range(size)]
        index += size


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """Turn pictures into tensors: uint8 (B, H, W, 3) -> float (B, 3, H, W) in -1..1."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def save_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Call `write` with a temporary folder next to `folder`, then rename it: no reader finds half a model."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        draft, old = Path(temporary) / "new", Path(temporary) / "old"
        write(draft)
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)


def save_half(model: Any, folder: Path) -> None:
    """Save in fp16, to halve the files; the configs say float32, so that a plain load computes in float32."""
    import torch

    model.to(dtype=torch.float16).save_pretrained(folder)
    for file in folder.rglob("config.json"):
        config = json.loads(file.read_text())
        for part in (config, *(value for value in config.values() if isinstance(value, dict))):
            if "dtype" in part:
                part["dtype"] = "float32"
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
