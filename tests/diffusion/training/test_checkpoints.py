"""What is found out about a checkpoint before it is loaded or written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from p2i_ray.config import TrainConfig
from p2i_ray.diffusion.training import checkpoints
from p2i_ray.errors import UserError

SHAPES = {"unet.conv_in.weight": [8, 9, 3, 3], "unet.conv_in.bias": [8]}
SETTINGS = TrainConfig()
ABOUT = {"zero_stage": 2, "mixed_precision": "bf16", "ema_decay": None, "lora_rank": 0, "shapes": SHAPES}


def test_a_checkpoint_of_this_training() -> None:
    checkpoints.check(ABOUT, SHAPES, SETTINGS, "work")
    checkpoints.check(
        ABOUT, SHAPES, SETTINGS.model_copy(update={"num_workers": 2, "gradient_accumulation_steps": 2}), "work"
    )


@pytest.mark.parametrize(
    ("shapes", "line"),
    [
        (
            {**SHAPES, "unet.conv_in.weight": [8, 4, 3, 3]},
            r"conv_in.weight is \(8, 9, 3, 3\) there, \(8, 4, 3, 3\) in this one",
        ),
        ({**SHAPES, "unet.extra": [1]}, r"unet.extra is absent there, \(1\) in this one"),
        ({"unet.conv_in.weight": [8, 9, 3, 3]}, r"conv_in.bias is \(8\) there, absent in this one"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(shapes: dict[str, list[int]], line: str) -> None:
    with pytest.raises(UserError, match=f"the checkpoint in work is of another model: .*{line}; give the base model"):
        checkpoints.check(ABOUT, shapes, SETTINGS, "work")


def test_settings_that_the_files_follow_must_be_the_same() -> None:
    other = SETTINGS.model_copy(update={"zero_stage": 3})
    with pytest.raises(UserError, match=r"in work is of train.zero_stage=2, not 3; set it back"):
        checkpoints.check(ABOUT, SHAPES, other, "work")


def test_a_full_disk_is_named_with_what_is_needed(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    assert checkpoints.no_room(str(tmp_path), free // 2, 250) is None
    line = checkpoints.no_room(str(tmp_path), free + 10**12, 250)
    assert line and f"the checkpoint of step 250 needs {(free + 10**12) / 1e9:.2f} GB in {tmp_path}, which has" in line
