"""Limits of a picture's area, for the engine and for the processor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2i_ray.config import JudgeConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.engines.vllm.pictures import size_limits
from p2i_ray.judge.engines.vllm.settings import engine_arguments

QWEN2 = {"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14}
QWEN3 = {
    "image_processor_type": "Qwen2VLImageProcessorFast",
    "size": {"shortest_edge": 65536, "longest_edge": 16777216},
    "patch_size": 16,
}
CLIP = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 336}}


def folder(root: Path, config: dict[str, Any]) -> JudgeConfig:
    (root / "preprocessor_config.json").write_text(json.dumps(config))
    return JudgeConfig(model=str(root))


@pytest.mark.parametrize(
    ("config", "side", "longest"),
    [
        (QWEN2, 512, 544**2),
        (QWEN3, 512, 544**2),
        (QWEN3, 64, 4 * 65536),  # small pictures are enlarged
        (QWEN2, 8192, None),
        (QWEN2, None, None),
        (CLIP, 512, None),
    ],
)
def test_the_engine_reserves_for_pictures_of_their_size(
    tmp_path: Path, config: dict[str, Any], side: int | None, longest: int | None
) -> None:
    settings = folder(tmp_path, config)
    found = size_limits(settings, side)
    assert (found and found["size"]["longest_edge"]) == longest
    shutil.rmtree(tmp_path)
    assert size_limits(settings, side) is None  # an id on the hub


@pytest.mark.parametrize(("config", "patch"), [(QWEN2, 14), (QWEN3, 16)])
def test_no_picture_is_seen_otherwise_for_the_limit(tmp_path: Path, config: dict[str, Any], patch: int) -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    settings = folder(tmp_path, config)
    smallest = config.get("min_pixels") or config["size"]["shortest_edge"]
    for side in (64, 256, 500, 512, 1024):
        found = size_limits(settings, side)
        assert found
        for shape in ((side, side), (side, 3), (5, side), (side, side - 13), (9, 9), (side // 2 + 1, side)):
            if max(shape) > 190 * min(shape):
                continue
            seen = [smart_resize(*shape, 2 * patch, smallest, most) for most in (10**8, found["size"]["longest_edge"])]
            assert seen[0] == seen[1] and seen[1][0] * seen[1][1] <= found["size"]["longest_edge"]


@pytest.mark.parametrize(
    ("config", "given", "size"),
    [
        (QWEN2, {"max_pixels": 100352}, (3136, 100352)),
        (QWEN2, {"max_pixels": 10**7}, (3136, 544**2)),  # more than there is to see
        (QWEN2, {"min_pixels": 200704}, (200704, 4 * 200704)),
        (QWEN3, {"min_pixels": 784, "max_pixels": 50176}, (784, 50176)),
    ],
)
def test_the_settings_limits_reach_the_engine(
    tmp_path: Path, config: dict[str, Any], given: dict[str, int], size: tuple[int, int]
) -> None:
    settings = folder(tmp_path, config).model_copy(update=given)
    found = engine_arguments(settings, 0, side=512)["mm_processor_kwargs"]
    assert found == {"size": dict(zip(("shortest_edge", "longest_edge"), size, strict=True))}


@pytest.mark.parametrize(
    ("config", "given", "line"),
    [
        (CLIP, {"max_pixels": 9999}, r"judge.max_pixels=9999: .*CLIPImageProcessor.* knows no limits of pixels; leave"),
        (
            QWEN3,
            {"max_pixels": 9999},
            r"judge.max_pixels=9999: .* 65536 to 16777216 .*; give judge.min_pixels=9999",
        ),
        (QWEN2, {"min_pixels": 10**8}, r"judge.min_pixels=100000000: .*; give judge.max_pixels=100000000, too"),
    ],
)
def test_limits_that_a_model_can_t_follow_are_one_line(
    tmp_path: Path, config: dict[str, Any], given: dict[str, int], line: str
) -> None:
    with pytest.raises(UserError, match=line):
        size_limits(folder(tmp_path, config).model_copy(update=given), 512)


def test_of_an_id_on_the_hub_both_limits_are_needed() -> None:
    settings = JudgeConfig(model="Qwen/Qwen2.5-VL-7B-Instruct", max_pixels=100352)
    with pytest.raises(UserError, match=r"give both judge.min_pixels and judge.max_pixels"):
        size_limits(settings, 512)
    found = size_limits(settings.model_copy(update={"min_pixels": 3136}), 512)
    assert found == {"size": {"shortest_edge": 3136, "longest_edge": 100352}}


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_limits_are_read_as_transformers_writes_them(tiny_judge: Callable[[str], str], family: str) -> None:
    settings = JudgeConfig(model=tiny_judge(family), max_pixels=131072)
    found = size_limits(settings, 512)
    assert found and found["size"]["longest_edge"] == 131072
