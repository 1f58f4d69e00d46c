"""Throughput of the judge against a bare `vllm.LLM` with the same engine settings and rows; and the judge's AUC.

Rows per second exclude the engine's start and one batch of warm-up on both sides. The pictures are held-out samples of
the toy world, with flaws as in its training split.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from p2i_ray.cluster import connection
from p2i_ray.config import Config, load
from p2i_ray.data.images import encode_png
from p2i_ray.judge.engines.vllm.settings import engine_arguments, engine_environment
from p2i_ray.judge.requests.prompts import Exemplar, load_prompts, score_messages
from p2i_ray.judge.requests.tasks import image_part
from p2i_ray.mini.data import row
from p2i_ray.mini.judge_checks import HELD_OUT, area_under_curve
from p2i_ray.mini.world import NATURAL, Sample, render
from p2i_ray.storage import parquet

ROWS, WARM_UP = 3000, 256
BLOCKS = 12
FIRST = 50_000  # index of the first picture, after those of the models' own checks


def run() -> dict[str, float]:
    """Rows per second of both sides, their ratio, the start of each, and the area under the ROC curve."""
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
    """The product's judge with Ray Data, without exemplars and with four before every sample."""
    import ray

    from p2i_ray.judge.judge import Judge

    config = load(Config, "mini")
    connection.connect(config.ray)
    with tempfile.TemporaryDirectory() as out, Judge(config.judge, config.image) as judge:
        start = time.perf_counter()
        judge.start()
        starting = time.perf_counter() - start

        def seconds(folder: str, samples: list[Sample], exemplars: Sequence[Exemplar] = ()) -> float:
            rows = ray.data.from_items([row(sample) for sample in samples], override_num_blocks=BLOCKS).materialize()
            begun = time.perf_counter()
            files[folder] = judge.score(rows, f"{out}/{folder}", exemplars=exemplars).files
            return time.perf_counter() - begun

        files: dict[str, list[str]] = {}
        shown = [exemplar(sample) for sample in pictures(4, 9)]
        seconds("warm", pictures(WARM_UP, 1))
        seconds("warm-shown", pictures(WARM_UP, 2), shown)
        samples = pictures(ROWS, 0)
        scored = seconds("scores", samples)
        with_exemplars = [seconds(f"shown-{part}", pictures(ROWS, part), shown) for part in (3, 5)]
        without = [scored, seconds("again", pictures(ROWS, 6))]  # one before and one after, to cancel drift
        scores = parquet.read_parquet(f"{out}/scores", files["scores"], ["id", "expected_score"]).to_pydict()
    ray.shutdown()
    good = {sample.id: sample.quality >= 4 for sample in samples}
    truth = np.array([good[i] for i in scores["id"]])
    return {
        "judge_auc": area_under_curve(np.array(scores["expected_score"]), truth),
        "judge_rows_per_s": ROWS / scored,
        "judge_start_s": starting,
        "judge_four_exemplars_vs_none": sum(with_exemplars) / sum(without),
    }


def exemplar(sample: Sample) -> Exemplar:
    """The sample with its true score."""
    return Exemplar(name=sample.name, image_part=image_part(encode_png(sample.image)), score=sample.quality)


def pictures(number: int, part: int) -> list[Sample]:
    """Held-out samples; parts are disjoint, because the engine caches preprocessed pictures."""
    return [render(HELD_OUT, FIRST + part * ROWS + i, NATURAL) for i in range(number)]


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
    sampling = SamplingParams(
        temperature=0, max_tokens=1, logprobs=20, structured_outputs=StructuredOutputsParams(choice=list("12345"))
    )

    def chats(number: int, part: int) -> list[Any]:
        shown = [(s.name, {"type": "image_pil", "image_pil": Image.fromarray(s.image)}) for s in pictures(number, part)]
        return [score_messages(prompt, name, picture) for name, picture in shown]

    llm.chat(chats(WARM_UP, 1), sampling, use_tqdm=False, chat_template_content_format="openai")
    asked = chats(ROWS, 0)
    started = time.perf_counter()
    llm.chat(asked, sampling, use_tqdm=False, chat_template_content_format="openai")
    return {"rows_per_s": ROWS / (time.perf_counter() - started), "start_s": started - start}


if __name__ == "__main__":
    print(json.dumps(bare()))
