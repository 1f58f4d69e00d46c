"""The exponential moving average of the weights, each worker's over its own shard of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from diffusers.training_utils import EMAModel

from p2i_ray.diffusion.training.engine import masters

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine


class ShardedEMA:
    """diffusers' EMAModel over the float32 weights, wherever ZeRO has put them; without a decay it does nothing."""

    def __init__(self, engine: DeepSpeedEngine, decay: float | None) -> None:
        self._engine = engine
        self._decay = decay
        self._model: EMAModel | None = None
        self.restart(0)

    def restart(self, steps: int) -> None:
        """Begin with the weights as they are now, as if after so many steps."""
        if self._decay is not None:
            self._model = EMAModel(self._weights(), decay=self._decay, foreach=True)
            self._model.optimization_step = steps

    def step(self) -> None:
        """To be called after every optimizer step."""
        if self._model:
            self._model.step(self._weights())

    @contextmanager
    def in_place(self) -> Iterator[bool]:
        """Within: the float32 weights are the averaged ones; yields whether that makes a difference."""
        if self._model is None:
            yield False
            return
        weights = self._weights()
        self._model.store(weights)
        self._model.copy_to(weights)
        try:
            yield True
        finally:
            self._model.restore(weights)

    def _weights(self) -> list[torch.nn.Parameter]:
        # EMAModel averages what learns and copies the rest; shards of weights aren't marked as learning everywhere.
        shards = [shard.detach().requires_grad_() for shard in masters(self._engine)]
        return cast("list[torch.nn.Parameter]", shards)  # any tensor will do
