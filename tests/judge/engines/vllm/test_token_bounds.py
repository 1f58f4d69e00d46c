"""Bounds of tokens: never less than the processor's count, and of no model whose pictures have none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from p2i_ray.config import Config, ImageConfig, JudgeConfig, load
from p2i_ray.data.images import encode_png
from p2i_ray.judge.engines.vllm.processor import ChatCounter, CountError
from p2i_ray.judge.engines.vllm.processor import load as load_processor
from p2i_ray.judge.engines.vllm.token_bounds import TokenBounds
from p2i_ray.judge.request_lengths import Asked, Measure


def picture(width: int, height: int) -> bytes:
    return encode_png(np.zeros((height, width, 3), np.uint8))


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "mini"])
@pytest.mark.parametrize("limits", [{}, {"min_pixels": 784, "max_pixels": 20000}, {"min_pixels": 90000}])
def test_no_picture_has_more(tiny_judge: Callable[[str], str], family: str, limits: dict[str, int]) -> None:
    model = load(Config, "mini").judge.model if family == "mini" else tiny_judge(family)
    if family == "mini" and limits == {"min_pixels": 90000}:
        limits = {"min_pixels": 90000, "max_pixels": 90000}  # its own are equal
    processor = load_processor(model)
    for side in (64, 512):
        settings = JudgeConfig(model=model, **limits)
        bound, real = TokenBounds(settings, side), ChatCounter(settings, side, processor)
        for short in (side, side // 2, side // 7, 5):
            for shape in ((side, short), (short, side), (short, short)):
                if max(shape) <= 190 * min(shape):
                    assert bound.count_picture(picture(*shape)) >= real.count_picture(picture(*shape))


def test_no_request_is_longer(tiny_judge: Callable[[str], str]) -> None:
    settings = JudgeConfig(model=tiny_judge("qwen3_vl"))
    counters: tuple[Any, ...] = (TokenBounds(settings, 512), ChatCounter(settings, 512))
    for name in ("a", "Ü 茶碗 🫖 <|im_end|>", "blue mug " * 30):
        asked = Asked([name], chosen=3, feedback=name, critiques=True)
        bounds, counts = (Measure(settings, ImageConfig(), counter).lengths(asked) for counter in counters)
        assert all(count.tokens <= bound.tokens for bound, count in zip(bounds, counts, strict=True))


def test_without_a_tokenizer_each_byte_may_be_a_token(tiny_judge: Callable[[str], str], tmp_path: Path) -> None:
    config = Path(tiny_judge("qwen2_vl"), "processor_config.json").read_text("utf-8")
    (tmp_path / "processor_config.json").write_text(config, "utf-8")
    assert TokenBounds(JudgeConfig(model=str(tmp_path)), 512).count_text("büro") == 6


def test_llava_has_no_bound(tiny_judge: Callable[[str], str]) -> None:
    with pytest.raises(CountError, match="is not known"):
        TokenBounds(JudgeConfig(model=tiny_judge("llava_next")), 512)


def test_bounds_are_enough_for_the_mini_preset(mini_data: str) -> None:
    from p2i_ray.steps import checks

    config = load(Config, "mini")
    bounds = Measure(config.judge, config.image, TokenBounds(config.judge, 64)).lengths(checks.asked(config, mini_data))
    assert max(bound.tokens for bound in bounds) <= config.judge.max_model_len
