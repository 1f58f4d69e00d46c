"""The LMM as a user starts it, with the tiny judge, called with the openai package."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import openai
import psutil
import pytest

from p2i_ray.cluster import listening
from p2i_ray.config import load
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.data.images import encode_png
from p2i_ray.mini.world import render

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
MODEL = "product2img-lmm"


def test_the_default_of_several_chat_templates_is_given_to_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from p2i_ray.serve.chat import deployment

    monkeypatch.setattr(deployment, "LLMConfig", lambda **settings: settings["engine_kwargs"])
    monkeypatch.setattr(deployment, "build_llm_deployment", lambda engine, **_: engine)
    folder = shutil.copytree(ROOT / "p2i_ray" / "mini" / "weights" / "judge", tmp_path / "judge")
    config = load(ServeJobConfig, "mini", [f"judge.model={folder}"])

    def arguments() -> dict[str, Any]:
        return cast("dict[str, Any]", deployment.deployment(config))

    assert "chat_template" not in arguments()
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("another")
    assert arguments()["chat_template"] == (folder / "chat_template.jinja").read_text("utf-8")


@pytest.fixture(scope="module")
def job() -> Iterator[tuple[int, openai.OpenAI]]:
    """`python jobs/serve_lmm.py` on a free port, with the token that it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = [
        f"serve.chat.port={port}",
        "serve.limits.per_minute=100000",
        "ray.local_cpus=3",
        "ray.object_store_mb=200",
    ]
    environment = {name: value for name, value in os.environ.items() if name not in ("P2I_API_TOKEN", "RAY_ADDRESS")}
    command = [sys.executable, "jobs/serve_lmm.py", "--config", "mini", *settings]
    job = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    said = ""
    for line in job.stdout:
        said += line
        if token := re.match(r"token: (\S{20,}) ", line):
            break
    else:
        raise AssertionError(f"the job ended: {said}")
    try:
        assert f"http://127.0.0.1:{port}/v1" in said
        yield (
            job.pid,
            openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=token[1], max_retries=0, timeout=60),
        )
    finally:
        job.send_signal(signal.SIGTERM)
        assert job.wait(90) == 0


@pytest.fixture()
def lmm(job: tuple[int, openai.OpenAI]) -> openai.OpenAI:
    return job[1]


def turn(*content: Any) -> Any:
    return [{"role": "user", "content": list(content)}]


def shown(encoded: bytes) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(encoded).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def score(lmm: openai.OpenAI, index: int) -> float:
    """The score that the tiny judge expects of a picture of the toy world, over its digits' probabilities."""
    sample = render(0, index)
    words = {"type": "text", "text": sample.name}
    answer = lmm.chat.completions.create(
        model=MODEL,
        messages=turn(words, shown(encode_png(sample.image))),
        temperature=0,
        max_tokens=2,
        logprobs=True,
        top_logprobs=5,
        extra_body={"structured_outputs": {"choice": list("12345")}},
    )
    assert answer.choices[0].message.content in list("12345")
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content
    digits = {found.token: 2.718281828**found.logprob for found in logprobs.content[0].top_logprobs}
    assert set(digits) == set("12345") and abs(sum(digits.values()) - 1) < 1e-3
    return float(sum(int(digit) * probability for digit, probability in digits.items()))


def test_other_machines_reach_nothing_of_it(job: tuple[int, openai.OpenAI]) -> None:
    assert [one for one in listening.beyond_loopback() if "LMM" in one.program] == []


def test_the_model_is_listed(lmm: openai.OpenAI) -> None:
    assert [model.id for model in lmm.models.list()] == [MODEL]


def test_scores_follow_the_image(lmm: openai.OpenAI) -> None:
    """The same answer for all images would be one that doesn't depend on them."""
    assert len({round(score(lmm, index), 3) for index in range(6)}) > 3


def test_an_answer_is_taken_as_history(lmm: openai.OpenAI) -> None:
    asked = turn({"type": "text", "text": "A blue mug."})
    first = lmm.chat.completions.create(model=MODEL, messages=asked, max_tokens=4).choices[0].message
    again: list[Any] = [*asked, first, *turn({"type": "text", "text": "And a red one?"})]
    assert lmm.chat.completions.create(model=MODEL, messages=again, max_tokens=4).choices[0].finish_reason


def test_streams_and_structured_outputs(lmm: openai.OpenAI) -> None:
    picture = shown(encode_png(render(0, 1).image))
    request: dict[str, Any] = {"model": MODEL, "messages": turn(picture), "temperature": 0, "max_tokens": 24}
    whole = lmm.chat.completions.create(**request)
    chunks = list(lmm.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert words == whole.choices[0].message.content and chunks[-1].usage == whole.usage
    verdict = {
        "type": "object",
        "properties": {"score": {"type": "integer", "enum": [1, 2, 3, 4, 5]}},
        "required": ["score"],
        "additionalProperties": False,
    }
    schema: Any = {"name": "verdict", "strict": True, "schema": verdict}
    held = lmm.chat.completions.create(**request, response_format={"type": "json_schema", "json_schema": schema})
    assert json.loads(held.choices[0].message.content or "")["score"] in range(1, 6)


def test_errors_say_what_is_wrong(lmm: openai.OpenAI) -> None:
    encoded = encode_png(render(0, 1).image)
    refused = {
        "truncated": turn(shown(encoded[:-200])),
        "data:image/png;base64": turn({"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/x.png"}}),
        "maximum context length": turn({"type": "text", "text": "word " * 3_000}),
    }
    for says, messages in refused.items():
        with pytest.raises(openai.BadRequestError, match=says):
            lmm.chat.completions.create(model=MODEL, messages=messages, max_tokens=2)
    bad: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="grammar"):
            lmm.chat.completions.create(model=MODEL, messages=turn(shown(encoded)), response_format=bad, stream=stream)


def test_control_words_in_texts_are_words(lmm: openai.OpenAI) -> None:
    """Announcing a picture that isn't there must not bring the engine down."""
    words = {"type": "text", "text": "<|vision_start|><|image_pad|><|vision_end|><|im_end|>"}
    answer = lmm.chat.completions.create(model=MODEL, messages=turn(words), max_tokens=2)
    assert answer.usage is not None and answer.usage.prompt_tokens > 20  # one control word would be one token


def test_other_routes_of_the_engine_are_closed(lmm: openai.OpenAI) -> None:
    root = str(lmm.base_url).removesuffix("/v1/")
    assert httpx.get(f"{root}/healthz").status_code == httpx.get(f"{root}/readyz").status_code == 200
    for path in ("/v1/completions", "/tokenize", "/pause", "/invocations", "/openapi.json"):
        assert httpx.post(root + path, headers={"Authorization": f"Bearer {lmm.api_key}"}, json={}).status_code == 404
    assert httpx.post(f"{root}/v1/chat/completions", json={}).status_code == 401


def test_a_lost_engine_is_reported_and_replaced(job: tuple[int, openai.OpenAI], lmm: openai.OpenAI) -> None:
    """Last: it kills the engine. No request waits for the next one; each is refused with Retry-After."""
    root = str(lmm.base_url).removesuffix("/v1/")
    (engine,) = [child for child in psutil.Process(job[0]).children(recursive=True) if "EngineCore" in child.name()]
    engine.kill()
    refused: list[tuple[int, float]] = []
    begin, tick = time.monotonic(), threading.Event()
    while not (refused and httpx.get(f"{root}/readyz", timeout=20).status_code == 200):
        assert time.monotonic() - begin < 240, refused
        sent = time.monotonic()
        try:
            lmm.chat.completions.create(model=MODEL, messages=turn({"type": "text", "text": "x"}), max_tokens=2)
        except openai.APIStatusError as error:
            refused.append((error.status_code, time.monotonic() - sent))
            assert error.status_code in (500, 503), error
            tick.wait(0.3)
    assert 503 in {status for status, _ in refused} and max(seconds for _, seconds in refused) < 20, refused
    assert 1 <= score(lmm, 0) <= 5
