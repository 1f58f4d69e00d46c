"""Checkpoints: each worker's shard through ray.train.report, and loading them, also with other numbers of workers.

A checkpoint holds DeepSpeed's files of every worker, the averaged weights (each worker those of every n-th parameter,
safetensors) and about.json: the losses so far, and what wrote it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import ray.train
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file

from p2i_ray.config import TrainConfig, renamed
from p2i_ray.diffusion.training import engine as deep
from p2i_ray.diffusion.training.collectives import raise_on_any_rank
from p2i_ray.diffusion.training.ema import ShardedEMA
from p2i_ray.errors import UserError
from p2i_ray.storage import locations
from p2i_ray.storage.disk_full import REMEDY

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

ABOUT = "about.json"
TAG = "step"  # DeepSpeed's name for the folder of its files
SAME = ("zero_stage", "mixed_precision", "ema_decay", "lora_rank")  # settings that the files' content follows


@dataclass(frozen=True)
class Found:
    """A checkpoint as a local folder, and its about.json."""

    folder: str
    about: dict[str, Any]

    @property
    def universal(self) -> bool:
        """Whether another number of workers wrote it, whose shards must be put together first."""
        return bool(self.about["workers"] != dist.get_world_size() and self.about["zero_stage"])

    def load(self, engine: DeepSpeedEngine, average: ShardedEMA) -> list[list[Any]]:
        """Put weights, optimizer, schedule and averaged weights back; returns the values of each step done."""
        curve: list[list[Any]] = self.about["curve"]
        if _load_average(engine, self.folder):
            average.restart(len(curve))
        with self._for_these_workers() as folder, deep.own_groups(engine):
            engine.load_checkpoint(folder, tag=TAG, load_module_strict=False)
        return curve

    @contextmanager
    def _for_these_workers(self) -> Iterator[str]:
        if not self.universal:
            yield self.folder
            return
        context = ray.train.get_context()
        first, node = context.get_local_rank() == 0, context.get_node_rank()
        made = tempfile.mkdtemp(prefix="p2i_universal_") if first else None
        if made:
            _to_universal(Path(self.folder, TAG), Path(made, TAG))
        folders: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(folders, (node, made))
        [mine] = [folder for at, folder in folders if at == node and folder]
        try:
            yield mine
            dist.barrier()
        finally:
            if first:
                shutil.rmtree(mine)


@contextmanager
def newest(model: torch.nn.Module, settings: TrainConfig) -> Iterator[Found | None]:
    """The newest checkpoint of this training, if there is one that this model can go on from.

    Raises:
        UserError: it was written for a model of other shapes, or with settings that its files follow.
    """
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        yield None
        return
    with checkpoint.as_directory() as folder:
        about = json.loads(Path(folder, ABOUT).read_text("utf-8"))
        check(about, _shapes(model), settings, checkpoint.path)
        yield Found(folder, about)


def check(about: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], settings: TrainConfig, place: str) -> None:
    """Whether a checkpoint is of this training.

    Raises:
        UserError: it isn't; the line says where they differ.
    """
    if "dtype" in about:  # written before this setting had its present name
        about = {**about, "mixed_precision": renamed.value("train.dtype", about["dtype"])}
    for name in SAME:
        now = getattr(settings, name)
        if about[name] != now:
            raise UserError(f"the checkpoint in {place} is of train.{name}={about[name]}, not {now}; set it back")
    old = about["shapes"]
    for name in sorted({*old, *shapes}):
        if list(old.get(name, ())) != list(shapes.get(name, ())):
            raise UserError(
                f"the checkpoint in {place} is of another model: {name} is {_shape(old.get(name))} there, "
                f"{_shape(shapes.get(name))} in this one; give the base model that it grew from, or another out"
            )


def save(
    engine: DeepSpeedEngine, average: ShardedEMA, *, curve: Sequence[Any], settings: TrainConfig, work: str
) -> None:
    """Report a checkpoint: each worker's shard of it, and about.json from the first.

    Raises:
        UserError: the disk has no room for it; the same on all workers.
    """
    _check_room(engine, settings, work, len(curve))
    rank = dist.get_rank()
    with tempfile.TemporaryDirectory(prefix="p2i_checkpoint_") as local:
        engine.save_checkpoint(local, tag=TAG, exclude_frozen_parameters=True)
        _save_average(engine, average, Path(local))
        if rank == 0:
            about = {name: getattr(settings, name) for name in SAME}
            about |= {"workers": dist.get_world_size(), "curve": curve, "shapes": _shapes(engine.module)}
            Path(local, ABOUT).write_text(json.dumps(about), "utf-8")
        checkpoint = ray.train.Checkpoint.from_directory(local)
        if rank == 0:
            checkpoint.set_metadata({"steps": len(curve)})  # which can be read without the rest
        ray.train.report({"step": len(curve)}, checkpoint=checkpoint)


def _save_average(engine: DeepSpeedEngine, average: ShardedEMA, folder: Path) -> None:
    rank, world = dist.get_rank(), dist.get_world_size()
    own = {}
    with average.in_place() as there:
        for number, (name, parameter) in enumerate(deep.learning(engine).items() if there else ()):
            value = deep.full_weight(parameter)
            if number % world == rank:
                own[name] = value.cpu().contiguous()
    if own:
        save_file(own, folder / f"average-{rank}.safetensors")


def _load_average(engine: DeepSpeedEngine, folder: str) -> bool:
    """Make the averaged weights the engine's weights, for the moment; whether there are any."""
    files = sorted(Path(folder).glob("average-*.safetensors"))
    parameters = deep.learning(engine)
    names: dict[str, Path] = {}
    for file in files:
        with safe_open(file, "pt") as opened:
            names |= dict.fromkeys(opened.keys(), file)
    for name in sorted(names):  # in one order on all workers
        with safe_open(names[name], "pt") as opened:
            deep.set_full_weight(parameters[name], opened.get_tensor(name).to(engine.device))
    return bool(files)


def _to_universal(source: Path, target: Path) -> None:
    """DeepSpeed's files of so many workers as files that any number can load."""
    from deepspeed.checkpoint import ds_to_universal

    ds_to_universal.main(
        SimpleNamespace(
            input_folder=str(source),
            output_folder=str(target),
            num_extract_workers=1,
            num_merge_workers=1,
            keep_temp_folder=False,
            strict=True,
            inject_missing_state=True,
        )
    )


def _check_room(engine: DeepSpeedEngine, settings: TrainConfig, work: str, step: int) -> None:
    need = sum(shard.numel() for shard in deep.masters(engine)) * 4 * (4 if settings.ema_decay else 3)
    local_workers = ray.train.get_context().get_local_world_size()
    whole = torch.tensor([need], dtype=torch.int64, device=engine.device)
    dist.all_reduce(whole)
    line = no_room(tempfile.gettempdir(), need * local_workers, step)
    if dist.get_rank() == 0 and not locations.is_uri(work):
        line = line or no_room(work, int(whole), step)
    raise_on_any_rank(line)


def no_room(folder: str, need: int, step: int) -> str | None:
    """The reason why a checkpoint of so many bytes can't be written to a local folder; none: it can."""
    free = shutil.disk_usage(folder).free
    if free >= need:
        return None
    return (
        f"the checkpoint of step {step} needs {need / 1e9:.2f} GB in {folder}, which has {free / 1e9:.2f} GB free; "
        f"{REMEDY}: it goes on from the checkpoint before"
    )


def _shapes(model: torch.nn.Module) -> dict[str, list[int]]:
    # ZeRO-3 has taken the parameters apart; it remembers their shapes.
    return {n: list(getattr(p, "ds_shape", p.shape)) for n, p in model.named_parameters() if p.requires_grad}


def _shape(values: Sequence[int] | None) -> str:
    return "absent" if values is None else "(" + ", ".join(map(str, values)) + ")"
