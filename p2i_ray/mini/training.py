"""What the builders of the tiny models share: the optimizer, seeded pictures, atomic folders."""

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
"""Product and scene independent of each other: a wrong scene seven times in eight is a uniform one."""


class Trainer:
    """Muon on the matrices (a convolution's kernel counts as one), AdamW on the rest; one warm-up and cosine; average.

    At this size Muon learns two to three times faster a step than AdamW alone. https://kellerjordan.github.io/posts/muon/
    """

    def __init__(
        self, model: torch.nn.Module, steps: int, muon_rate: float, adam_rate: float, decay: float = 0.995
    ) -> None:
        """Prepare `model` for `steps` calls of `step`; `finish` then leaves weights averaged with `decay` in it."""
        import torch

        self._model, self._steps, self._done, self._decay = model, steps, 0, decay
        self._flat = [module for module in model.modules() if _is_large_convolution(module)]
        for module in self._flat:
            torch.nn.utils.parametrize.register_parametrization(module, "weight", _flattened(module.weight.shape))
        matrices = {id(m.weight): m.weight for m in model.modules() if isinstance(m, torch.nn.Linear)}
        matrices |= {id(w): w for w in (m.parametrizations.weight.original for m in self._flat)}
        others = [p for p in model.parameters() if id(p) not in matrices]
        self._optimizers: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Muon(matrices.values(), adjust_lr_fn="match_rms_adamw", weight_decay=0.01), muon_rate),
            (torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=0.0), adam_rate),
        ]
        self._average = [p.detach().clone() for p in model.parameters()]

    def step(self, loss: torch.Tensor) -> None:
        """Backward, update, average."""
        import torch

        self._model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        for optimizer, peak in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * rate_at(self._done, self._steps)
            optimizer.step()
        self._done += 1
        decay = min(self._decay, self._done / (self._done + 10))
        torch._foreach_lerp_(self._average, [p.detach() for p in self._model.parameters()], 1 - decay)

    def finish(self) -> None:
        """Put the averaged weights into the model, and it into evaluation mode."""
        import torch

        for parameter, average in zip(self._model.parameters(), self._average, strict=True):
            parameter.data.copy_(average)
        for module in self._flat:
            torch.nn.utils.parametrize.remove_parametrizations(module, "weight")
        self._model.eval()


def rate_at(step: int, steps: int, warm_up: int = 30) -> float:
    """The learning rate's share of its peak: a linear warm-up, then a cosine down to nothing."""
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _is_large_convolution(module: torch.nn.Module) -> bool:
    import torch

    return isinstance(module, torch.nn.Conv2d) and min(module.weight.flatten(1).shape) >= 16


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
    """Endless batches of the world `seed`: no picture twice."""
    index = 0
    while True:
        yield [render(seed, index + i, mix) for i in range(size)]
        index += size


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W, 3) -> float (B, 3, H, W) in -1..1."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """float (B, 3, H, W) in -1..1 -> uint8 (B, H, W, 3)."""
    scaled = ((images + 1) * 127.5).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).byte().numpy()


def save_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """`write` into a temporary folder beside it, then rename: nobody ever reads half a model."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        draft, old = Path(temporary) / "new", Path(temporary) / "old"
        write(draft)
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)


def save_half(model: Any, folder: Path) -> None:
    """`save_pretrained` in fp16, to halve the files; the configs say float32, so that a plain load computes in fp32."""
    import torch

    model.to(dtype=torch.float16).save_pretrained(folder)
    for file in folder.rglob("config.json"):
        config = json.loads(file.read_text())
        for part in (config, *(value for value in config.values() if isinstance(value, dict))):
            if "dtype" in part:
                part["dtype"] = "float32"
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
