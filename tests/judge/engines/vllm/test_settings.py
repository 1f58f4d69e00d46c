"""What the engine is told of its pictures and of its replies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from p2i_ray.config import Config, load
from p2i_ray.judge.engines.vllm.replica import sampling
from p2i_ray.judge.engines.vllm.settings import engine_arguments, picture_size
from p2i_ray.judge.requests.constraints import CHOICES
from p2i_ray.judge.requests.tasks import ChatRequest

QWEN2 = {"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14}
QWEN3 = {
    "image_processor_type": "Qwen2VLImageProcessorFast",
    "size": {"shortest_edge": 65536, "longest_edge": 16777216},
    "patch_size": 16,
}
CLIP = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 336}}


@pytest.mark.parametrize(
    ("config", "side", "longest"),
    [
        (QWEN2, 512, 544**2),
        (QWEN3, 512, 544**2),
        (QWEN3, 64, 4 * 65536),  # small pictures are enlarged
        (QWEN2, 8192, None),
        (CLIP, 512, None),
    ],
)
def test_the_engine_reserves_for_pictures_of_their_size(
    tmp_path: Path, config: dict[str, Any], side: int, longest: int | None
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    found = picture_size(str(tmp_path), side)
    assert (found and found["size"]["longest_edge"]) == longest
    shutil.rmtree(tmp_path)
    assert picture_size(str(tmp_path), side) is None  # an id on the hub


@pytest.mark.parametrize(("config", "patch"), [(QWEN2, 14), (QWEN3, 16)])
def test_no_picture_is_seen_otherwise_for_the_limit(tmp_path: Path, config: dict[str, Any], patch: int) -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    smallest = config.get("min_pixels") or config["size"]["shortest_edge"]
    for side in (64, 256, 500, 512, 1024):
        found = picture_size(str(tmp_path), side)
        assert found
        for shape in ((side, side), (side, 3), (5, side), (side, side - 13), (9, 9), (side // 2 + 1, side)):
            if max(shape) > 190 * min(shape):
                continue
            seen = [smart_resize(*shape, 2 * patch, smallest, most) for most in (10**8, found["size"]["longest_edge"])]
            assert seen[0] == seen[1] and seen[1][0] * seen[1][1] <= found["size"]["longest_edge"]


def test_the_mini_judge_s_own_limit_suits() -> None:
    judge = load(Config, "mini").judge
    assert engine_arguments(judge, 0, side=64)["mm_processor_kwargs"] is None


def test_models_of_sentencepiece_may_write_a_space_before_the_digit() -> None:
    import xgrammar.testing as xgrammar_testing

    request = ChatRequest([], 1, choice=CHOICES, probabilities=True)
    plain, spaced = sampling(request), sampling(request, is_spaced=True)
    assert plain.structured_outputs and spaced.structured_outputs
    assert (plain.max_tokens, plain.structured_outputs.choice) == (1, list(CHOICES))
    grammar = spaced.structured_outputs.grammar
    assert grammar and spaced.max_tokens == 2
    found = [xgrammar_testing._is_grammar_accept_string(grammar, text) for text in ("4", " 4", "  4", "6", " ", "44")]
    assert found == [True, True, False, False, False, False]
