"""What the engine is told of its pictures and of its replies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2i_ray.config import Config, load
from p2i_ray.judge.engines.vllm.replica import sampling
from p2i_ray.judge.engines.vllm.settings import engine_arguments, text_overrides
from p2i_ray.judge.requests.constraints import CHOICES
from p2i_ray.judge.requests.tasks import ChatRequest


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


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ({"model_type": "qwen3_vl_text"}, {"text_config": {"architectures": ["Qwen3ForCausalLM"]}}),
        ({"model_type": "qwen3_vl_moe_text"}, {"text_config": {"architectures": ["Qwen3MoeForCausalLM"]}}),
        ({"model_type": "qwen3_vl_text", "architectures": ["Own"]}, None),
        ({"model_type": "qwen2_5_vl_text"}, None),
        (None, None),
    ],
)
def test_the_class_that_published_folders_of_qwen3_vl_leave_out_is_told(
    tmp_path: Path, text: dict[str, object] | None, overrides: dict[str, object] | None
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "any", "text_config": text}))
    assert text_overrides(str(tmp_path)) == overrides
    assert text_overrides("nobody/nowhere") is None
