"""An engine of vLLM on the CPU in a process of its own: `python -m tests.support.ask_engine JSON`, an answer in JSON.

JSON: settings of the judge. It scores PICTURES with and without a cutout beside them, and criticises one; the answer
has what the engine said and how many tokens its prompts had.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import numpy as np

from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.data.images import encode_png
from p2i_ray.judge.engines.vllm.settings import engine_environment
from p2i_ray.judge.requests.answers import Sample
from p2i_ray.judge.requests.prompts import Exemplar, load_prompts
from p2i_ray.judge.requests.tasks import CritiqueTask, JudgeTask, ScoreTask, image_part

SIDE = 512
CPU = {"dtype": "float32", "enforce_eager": True, "num_gpus": 0, "max_num_seqs": 4}


def noise(seed: int, width: int, height: int) -> bytes:
    """A picture that no other is like."""
    return encode_png(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


PICTURES = (noise(0, SIDE, SIDE), noise(1, SIDE, SIDE), noise(2, SIDE, SIDE // 2), noise(3, 60, 200))
CUTOUT = noise(4, SIDE // 2, SIDE)
SHOWN = Exemplar(name="jug", image_part=image_part(noise(5, 300, 300)), score=2)


def tasks(settings: JudgeConfig) -> dict[str, tuple[JudgeTask, list[Sample]]]:
    """What is asked: a task and its samples."""
    prompts = load_prompts()
    return {
        "score": (ScoreTask(prompts.score), [Sample("mug", picture) for picture in PICTURES]),
        "pair": (ScoreTask(prompts.score, "blur", (SHOWN,)), [Sample("mug", PICTURES[0], CUTOUT)]),
        "critique": (CritiqueTask(prompts.critique, 24, settings.flaws), [Sample("mug", PICTURES[0])]),
    }


async def main(settings: JudgeConfig) -> dict[str, Any]:
    """Start the engine, ask, and count."""
    from p2i_ray.judge.engines.vllm.replica import VLLMEngine

    engine = VLLMEngine.__new__(VLLMEngine)
    await VLLMEngine.__init__(engine, settings, ImageConfig(resolution=SIDE), 0, application="none")  # type: ignore[misc]
    found = {}
    for name, (task, samples) in tasks(settings).items():
        chats = [task.request(*sample).messages for sample in samples]
        if name == "pair":  # the renderer takes the engine to have what it has seen: these pictures are sent later
            engine._renderer.render_all(chats)
        answers = await engine.ask(task, samples)
        prompts = engine._renderer.render_all(chats)
        found[name] = {"tokens": [len(prompt["prompt_token_ids"]) for prompt in prompts], "answers": answers}
    return found


if __name__ == "__main__":
    wanted = JudgeConfig(**{**CPU, **json.loads(sys.argv[1])})
    os.environ.update(engine_environment(wanted))
    print(json.dumps(asyncio.run(main(wanted))))
