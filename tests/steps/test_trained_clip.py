"""A CLIP that both trains and measures is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from p2i_ray.config import Config, load
from p2i_ray.steps import trained_clip


@pytest.mark.parametrize(
    ("settings", "metrics", "told"),
    [
        ([], ["fid", "clip_c_i", "clip_c_b"], ["clip_c_i and clip_c_b favour"]),
        ([], ["clip_c_b"], [": clip_c_b favour"]),
        ([], ["fid"], []),
        (["train.contrastive_weight=0"], ["clip_c_b"], []),
        (["diffusion.clip=p2i_ray/mini/weights/diffusion_clip"], ["clip_c_b"], []),
        (["diffusion.clip=/nowhere"], ["clip_c_b"], []),
    ],
)
def test_a_metric_that_training_raises_by_itself_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: list[str], metrics: list[str], told: list[str]
) -> None:
    copy = shutil.copytree("p2i_ray/mini/weights/evaluator_clip", tmp_path / "copy")  # under another name
    trained_clip.warn(load(Config, "mini", [f"diffusion.clip={copy}", *settings]), metrics)
    assert len(caplog.messages) == len(told) and all(line in caplog.text for line in told)
