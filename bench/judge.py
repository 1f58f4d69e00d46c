"""The judge against a bare `vllm.LLM` with the same engine settings, on the same rows; and how well it judges.

Rows a second exclude the engine's start and one batch of warm-up on both sides. The pictures are held-out samples of
the toy world, with flaws as in its training split.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from p2i_ray import cluster, sink
from p2i_ray.config import Config, load
from p2i_ray.lmm.engine_settings import engine_arguments, engine_environment
from p2i_ray.lmm.prompts import load_prompts, score_messages
from p2i_ray.mini.data import row
from p2i_ray.mini.judge_checks import HELD_OUT, area_under_curve
from p2i_ray.mini.world import NATURAL, render

ROWS, WARM_UP = 3000, 100
FIRST = 50_000  # index of the first picture, beyond those that the models' own checks use


def run() -> dict[str, float]:
    """Rows a second of both sides, their ratio, the start of each, and the area under the ROC curve."""
    ours = through_ray()
    bare = json.loads(
        subprocess.run(
            [sys.executable, "-m", "bench.judge"], check=True, capture_output=True, text=True
        ).stdout.splitlines()[-1]
    )
    return {
        **ours,
        "judge_bare_vllm_rows_per_s": bare["rows_per_s"],
        "judge_bare_vllm_start_s": bare["start_s"],
        "judge_vs_bare_vllm": ours["judge_rows_per_s"] / bare["rows_per_s"],
    }


def through_ray() -> dict[str, float]:
    """The product's judge, fed by Ray Data."""
    import ray

    from p2i_ray.lmm.judge import Judge

    config = load(Config, "mini")
    cluster.connect(config.ray)
    samples = [render(HELD_OUT, FIRST + i, NATURAL) for i in range(ROWS)]
    good = {sample.id: sample.quality >= 4 for sample in samples}
    dataset = ray.data.from_items([row(sample) for sample in samples], override_num_blocks=ROWS // 100).materialize()
    with tempfile.TemporaryDirectory() as out, Judge(config.judge, config.image) as judge:
        start = time.perf_counter()
        judge.start()
        judge.score(dataset.limit(WARM_UP), f"{out}/warm")
        started = time.perf_counter()
        written = judge.score(dataset, f"{out}/scores")
        seconds = time.perf_counter() - started
        scores = sink.read_parquet(f"{out}/scores", written.files, ["id", "expected_score"]).to_pydict()
    ray.shutdown()
    truth = np.array([good[i] for i in scores["id"]])
    return {
        "judge_auc": area_under_curve(np.array(scores["expected_score"]), truth),
        "judge_rows_per_s": ROWS / seconds,
        "judge_start_s": started - start,
    }


def bare() -> dict[str, float]:
    """`vllm.LLM.chat` in one process, with the product's engine arguments, prompts and constraint."""
    import os

    config = load(Config, "mini")
    os.environ.update(engine_environment(config.judge))
    start = time.perf_counter()
    from PIL import Image
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    arguments: dict[str, Any] = engine_arguments(config.judge, 0)
    llm = LLM(**arguments)
    prompt = load_prompts(config.judge.prompts).score
    how = SamplingParams(
        temperature=0, max_tokens=1, logprobs=20, structured_outputs=StructuredOutputsParams(choice=list("12345"))
    )

    samples = [render(HELD_OUT, FIRST + i, NATURAL) for i in range(ROWS)]
    pictures = [{"type": "image_pil", "image_pil": Image.fromarray(sample.image)} for sample in samples]
    chats = [score_messages(prompt, s.name, picture) for s, picture in zip(samples, pictures, strict=True)]
    llm.chat(chats[:WARM_UP], how, use_tqdm=False, chat_template_content_format="openai")
    started = time.perf_counter()
    llm.chat(chats, how, use_tqdm=False, chat_template_content_format="openai")
    return {"rows_per_s": ROWS / (time.perf_counter() - started), "start_s": started - start}


if __name__ == "__main__":
    print(json.dumps(bare()))
