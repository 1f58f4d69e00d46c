"""The committed tiny judge: what it is worth, and that our fast forward, transformers and vLLM agree about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from p2i_ray.mini.judge_checks import SCORES, Judge, area_under_curve, check_judge, flaws_in, held_out, stack
from p2i_ray.mini.judge_model import TOKENS, load_judge, patches, tower_features
from p2i_ray.mini.judge_questions import critique_question, score, score_question, summary_question
from p2i_ray.mini.world import BALANCED, FLAWS, Sample

pytestmark = pytest.mark.long

FOLDER = Path(__file__).parents[2] / "p2i_ray" / "mini" / "weights" / "judge"


@pytest.fixture(scope="module")
def judge() -> Judge:
    torch.set_num_threads(1)
    return Judge(*load_judge(FOLDER))


@pytest.mark.parametrize(
    ("flaws", "named", "expected"),
    [
        ({}, FLAWS, 5),
        ({"wrong scene": 1}, (), 4),  # lenient: one point
        ({"wrong scene": 1}, ("wrong scene",), 2),  # named: the full three
        ({"text overlay": 1, "clutter": 1}, ("clutter",), 2),  # 5 - 1 - 2
        ({"blur": 1}, ("blur",), 3),  # a full point only, but at least two
        ({"plain background": 1, "text overlay": 2}, (), 1),  # 5 - 3 - 3, at least 1
    ],
)
def test_feedback_makes_the_labels_strict(flaws: dict[str, int], named: tuple[str, ...], expected: int) -> None:
    assert score(flaws, named) == expected


def test_the_folder_is_small_and_without_pickles() -> None:
    names = {file.name for file in FOLDER.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 5e6


def test_the_batched_forward_is_the_librarys_own(judge: Judge) -> None:
    """Tower features, score logits and a generated critique, picture by picture through processor and model."""
    from PIL import Image
    from transformers import AutoProcessor

    processor, samples = AutoProcessor.from_pretrained(FOLDER), held_out(6, BALANCED)
    ours = judge.answers([critique_question(s).messages for s in samples], stack(samples))
    chances = judge.probabilities(
        [score_question(s, FLAWS, ", ".join(FLAWS)).messages for s in samples], stack(samples)
    )
    features = tower_features(judge.model, patches(stack(samples))).detach()
    digits = [judge.tokenizer.convert_tokens_to_ids(digit) for digit in SCORES]
    for i, sample in enumerate(samples):
        for question in (critique_question(sample), score_question(sample, FLAWS, ", ".join(FLAWS))):
            text = processor.apply_chat_template(question.messages, tokenize=False, add_generation_prompt=True)
            batch = processor(text=[text], images=[Image.fromarray(sample.image)], return_tensors="pt")
            assert int((batch["input_ids"] == judge.model.config.image_token_id).sum()) == TOKENS
            with torch.no_grad():
                if question.answer in SCORES:
                    logits = judge.model(**batch).logits[0, -1, digits]
                    np.testing.assert_allclose(chances[i], logits.softmax(-1).numpy(), atol=2e-5)
                    seen = judge.model.model.visual(
                        batch["pixel_values"], grid_thw=batch["image_grid_thw"]
                    ).pooler_output
                    torch.testing.assert_close(features[i], seen, atol=2e-5, rtol=1e-4)
                else:
                    out = judge.model.generate(**batch, max_new_tokens=64, do_sample=False)[
                        0, batch["input_ids"].shape[1] :
                    ]
                    assert processor.decode(out, skip_special_tokens=True) == ours[i]


def test_good_pictures_are_ranked_above_bad_ones(judge: Judge) -> None:
    samples = held_out(200)
    good = np.array([s.quality >= 4 for s in samples])
    expected = judge.expected([score_question(s, (), "").messages for s in samples], stack(samples))
    strict = judge.expected([score_question(s, FLAWS, ", ".join(FLAWS)).messages for s in samples], stack(samples))
    assert area_under_curve(expected, good) > 0.85
    assert area_under_curve(strict, good) > area_under_curve(expected, good) - 0.02
    assert np.mean(strict[~good] < expected[~good]) > 0.75  # feedback makes it stricter about bad pictures


def test_critiques_name_every_flaw(judge: Judge) -> None:
    samples = held_out(100, BALANCED, 10_000)
    answers = judge.answers([critique_question(s).messages for s in samples], stack(samples))
    assert all(set(json.loads(answer)) == {"comment", "flaws"} for answer in answers)
    named = [flaws_in(answer) for answer in answers]
    for flaw in FLAWS:
        true, said = np.array([flaw in s.flaws for s in samples]), np.array([flaw in flaws for flaws in named])
        assert said[true].mean() > 0.65, flaw
        assert true[said].mean() > 0.65, flaw


def test_summaries_name_what_is_frequent(judge: Judge) -> None:
    rng = np.random.default_rng(5)
    asked = [summary_question(rng) for _ in range(40)]
    answers = judge.answers([question.messages for question in asked])
    assert np.mean([answer == q.answer for answer, q in zip(answers, asked, strict=True)]) > 0.65


@pytest.mark.slow
def test_the_full_figures_hold(judge: Judge) -> None:
    figures = check_judge(judge)
    assert figures["auc_none"] >= 0.88 and figures["keep_precision_all"] >= 0.85
    for flaw in FLAWS:
        key = flaw.replace(" ", "_")
        assert figures[f"kept_{key}_named"] <= 0.35 and figures[f"kept_clean_with_{key}_named"] >= 0.85


@pytest.mark.slow
def test_vllm_and_transformers_agree(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Score choices and critiques of 200 pictures, the strings of both engines."""
    samples = held_out(200)
    named = ", ".join(FLAWS[:3])
    scores = [score_question(s, FLAWS[:3], named).messages for s in samples]
    critiques = [critique_question(s).messages for s in samples]
    chances = judge.probabilities(scores, stack(samples))
    theirs_scores, theirs_critiques = _ask_vllm(samples, scores, critiques, monkeypatch)
    ours = judge.answers(critiques, stack(samples))
    # Two roundings of one sum may settle a near tie differently.
    decided = np.sort(chances, 1)[:, -1] - np.sort(chances, 1)[:, -2] > 1e-3
    same = np.array([SCORES[i] == theirs for i, theirs in zip(chances.argmax(1), theirs_scores, strict=True)])
    assert same[decided].all() and decided.mean() > 0.98
    assert np.mean([a == b for a, b in zip(ours, theirs_critiques, strict=True)]) >= 0.98


def _ask_vllm(
    samples: list[Sample], scores: list, critiques: list, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], list[str]]:
    for name, value in (
        ("VLLM_ENABLE_V1_MULTIPROCESSING", "0"),
        ("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
        ("VLLM_CPU_KVCACHE_SPACE", "1"),
    ):
        monkeypatch.setenv(name, value)  # how an engine starts quickest on a small machine
    from PIL import Image
    from vllm import LLM, SamplingParams
    from vllm.renderers.hf import _detect_content_format
    from vllm.sampling_params import StructuredOutputsParams

    engine = LLM(str(FOLDER), dtype="float32", enforce_eager=True, max_model_len=1024, limit_mm_per_prompt={"image": 4})
    tokenizer = engine.get_tokenizer()
    assert _detect_content_format(tokenizer.chat_template, default="string") == "openai"

    def ask(chats: list, params: SamplingParams) -> list[str]:
        prompts = [
            {
                "prompt": tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True),
                "multi_modal_data": {"image": Image.fromarray(s.image)},
            }
            for chat, s in zip(chats, samples, strict=True)
        ]
        return [out.outputs[0].text for out in engine.generate(prompts, params, use_tqdm=False)]

    choice = StructuredOutputsParams(choice=list(SCORES))
    return (
        ask(scores, SamplingParams(temperature=0, max_tokens=1, structured_outputs=choice)),
        ask(critiques, SamplingParams(temperature=0, max_tokens=64)),
    )
