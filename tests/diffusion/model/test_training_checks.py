"""Whether a text encoder was taken from a CLIP, by their token embeddings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.model.training_checks import check_training
from p2i_ray.errors import UserError
from tests.support.shard import shard
from tests.support.tiny_xl import XlModels

TOKENS = "text_model.embeddings.token_embedding.weight"


def with_clip(painter: DiffusionConfig, folder: Path, noise: float, *, published: bool = False) -> DiffusionConfig:
    """The settings with another CLIP, whose token embeddings are the same plus noise, in their own deviation."""
    shutil.copytree(painter.clip, folder)
    file = folder / "model.safetensors"
    state = load_file(file)
    drawn = torch.randn(state[TOKENS].shape, generator=torch.Generator().manual_seed(1))
    state[TOKENS] = state[TOKENS] + noise * state[TOKENS].std() * drawn
    save_file({name: value.half() if published else value for name, value in state.items()}, file)
    if published:
        shard(file, "model", None)
    return painter.model_copy(update={"clip": str(folder)})


def test_a_clip_of_another_training_is_refused(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    other = with_clip(tiny_painter, tmp_path / "clip", noise=20)
    line = r"has other token embeddings than \S+/text_encoder \(mean cosine -?0\.[0-3]\d\): the text encoder was"
    with pytest.raises(UserError, match=f"diffusion.clip={tmp_path}/clip {line} taken from another CLIP of the same"):
        check_training(tiny_painter.base, other, TrainConfig())
    check_training(tiny_painter.base, other, TrainConfig(contrastive_weight=0))  # nothing is compared with it


@pytest.mark.parametrize("published", [False, True])
def test_embeddings_may_have_moved_and_be_stored_otherwise(
    tiny_painter: DiffusionConfig, tmp_path: Path, published: bool
) -> None:
    moved = with_clip(tiny_painter, tmp_path / "clip", noise=0.3, published=published)
    check_training(tiny_painter.base, moved, TrainConfig())


def test_the_clips_of_the_other_families_fit(second_painter: DiffusionConfig, xl_models: XlModels) -> None:
    check_training(second_painter.base, second_painter, TrainConfig())
    for aligned in (0, 1):
        check_training(str(xl_models.base), xl_models.painter(aligned), TrainConfig())
