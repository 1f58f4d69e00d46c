"""Batches of features, prompts and randomness, made from a training process's stream while it trains."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from p2i_ray.diffusion.model.prompt import tokenise_each
from p2i_ray.diffusion.step import draw
from p2i_ray.diffusion.training import rows

if TYPE_CHECKING:
    import pyarrow as pa

    from p2i_ray.config import DiffusionConfig
    from p2i_ray.diffusion.training.ingest import WorkerStream
    from p2i_ray.diffusion.training.job import LocalBatch


class Batches:
    """One worker's part of every step's global batch, in order."""

    def __init__(
        self,
        stream: WorkerStream,
        collate: Callable[[pa.Table], dict[str, torch.Tensor]],
        make: Callable[[dict[str, torch.Tensor]], LocalBatch],
    ) -> None:
        """Start the stream.

        Args:
            stream: this worker's rows.
            collate: makes tensors of rows.
            make: makes a batch of these tensors.
        """
        self._batches, self._make = stream.batches(collate), make
        self.waited_s = 0.0  # for the newest batch

    def take(self, step: int) -> tuple[LocalBatch, torch.Tensor]:
        """The batch of a step, on this worker's device, and its rows' numbers (B,), see rows.Rows."""
        start = time.perf_counter()
        values = next(self._batches)
        self.waited_s = time.perf_counter() - start
        of, numbers = values.pop("step"), values.pop("number")
        assert bool((of == step).all()), f"rows of step {of.tolist()} came in step {step}"
        return self._make(values), numbers


class Collate:
    """Rows of one step as tensors; called in the threads that read ahead."""

    def __init__(
        self,
        tokenizers: Sequence[Any],
        *,
        aligned: int,
        diffusion: DiffusionConfig,
        seed: int,
        timesteps: int,
        prompt_dropout: float,
    ) -> None:
        self._tokenizers, self._token, self._template = tokenizers, diffusion.token, diffusion.prompt
        self._aligned = aligned
        self._seed, self._timesteps, self._prompt_dropout = seed, timesteps, prompt_dropout
        self._one_at_a_time = threading.Lock()  # tokenizers change their state when called

    def __call__(self, batch: pa.Table) -> dict[str, torch.Tensor]:
        """The fields of step.Batch, and `step` and `number` of each row."""
        with self._one_at_a_time:
            names = batch["name"].to_pylist()
            prompts = tokenise_each(
                self._tokenizers, self._token, names, template=self._template, aligned=self._aligned
            )
        step, *_ = batch["step"].to_pylist()
        first, *_ = batch["position"].to_pylist()
        positions = range(first, first + batch.num_rows)
        shape = rows.latent_shape(batch)
        draws = draw(
            self._seed, step, positions, latent=shape, timesteps=self._timesteps, prompt_dropout=self._prompt_dropout
        )
        return {
            **{name: torch.from_numpy(values) for name, values in rows.unpack(batch).items()},
            "input_ids": prompts.ids,
            "background_at": prompts.background_at,
            "eos_at": prompts.eos_at,
            **draws._asdict(),
            "step": torch.from_numpy(batch["step"].to_numpy().copy()),
            "number": torch.from_numpy(batch["number"].to_numpy().copy()),
        }
