"""Every family's judge in a real engine: it answers, it sees the pictures, and its prompts are as long as counted.

Texts stay as they are, but for control words.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.judge.engines.vllm.processor import ChatCounter
from p2i_ray.judge.engines.vllm.rendering import ChatRenderer, control_words
from tests.support import ask_engine
from tests.support.tiny_judges import FAMILIES, build

LIMITED = {"min_pixels": 28 * 28, "max_pixels": 200 * 200}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "limits"), [*((family, {}) for family in FAMILIES), ("qwen2_5_vl", LIMITED), ("qwen3_vl", LIMITED)]
)
def test_a_family_s_judge_answers_in_as_many_tokens_as_counted(
    tmp_path: Path, family: str, limits: dict[str, int]
) -> None:
    wanted: dict[str, Any] = {"model": build(family, tmp_path, weights=True), "max_model_len": 16384, **limits}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.ask_engine", json.dumps(wanted)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    settings = JudgeConfig(**wanted)
    counter = ChatCounter(settings, ask_engine.SIDE)
    for name, (task, samples) in ask_engine.tasks(settings).items():
        assert found[name]["tokens"] == [counter.count(task.request(*sample).messages) for sample in samples]
        assert [answer["error"] for answer in found[name]["answers"]] == [None] * len(samples)
    scores = [answer["expected_score"] for answer in found["score"]["answers"]]
    assert np.ptp(scores) > 1e-4  # it sees the picture
    assert set(found["critique"]["answers"][0]["flaws"]) <= {flaw.partition(" - ")[0] for flaw in settings.flaws}


def test_a_template_that_is_given_reaches_vllm() -> None:
    from transformers import AutoTokenizer

    class Renderer:
        def get_tokenizer(self) -> Any:
            return AutoTokenizer.from_pretrained("p2i_ray/mini/weights/judge", local_files_only=True)

        def render_chat(self, chats: list[Any], params: Any) -> Any:
            return chats, [params.chat_template]

    for template in ("{{ messages }}", None):
        renderer = ChatRenderer(Renderer(), ImageConfig(resolution=64), template)
        assert renderer.render_all([[{"role": "user", "content": [{"type": "text", "text": "x"}]}]]) == [template]


def test_line_breaks_and_letters_are_no_control_words() -> None:
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("p2i_ray/mini/weights/judge", local_files_only=True)
    own = control_words(tokenizer)
    assert {"<|im_start|>", "<|im_end|>", "<|image_pad|>"} <= {*own}
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in ("\n\n", "\t", "▁▁", "ö", "<end_of_turn>")])
    assert control_words(tokenizer) == sorted([*own, "<end_of_turn>"])
