"""An engine's answers, streams, refusals and failures as they reach the client."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import openai
import pytest

from p2i_ray.serve.chat.responses import plain
from p2i_ray.serve.edge.backpressure import NotReady, Overloaded
from tests.support.chat_parts import MODEL, TOKEN, StubEngine, completion, event, open_lmm, text
from tests.support.serving import wait_until

HELLO: Any = [{"role": "user", "content": "Hello"}]


def client(url: str) -> openai.OpenAI:
    plain = openai.DefaultHttpxClient(verify=False)
    return openai.OpenAI(base_url=f"{url}/v1", api_key=TOKEN, max_retries=0, http_client=plain)


def test_the_openai_package_gets_an_answer_whole_and_streamed() -> None:
    with open_lmm(StubEngine([completion("A good picture.")])) as lmm:
        answer = client(lmm.url).chat.completions.create(model=MODEL, messages=HELLO)
        assert answer.choices[0].message.content == "A good picture."
        lmm.engine.chunks = [event("A "), event("good ") + event("picture."), "data: [DONE]\n\n"]
        stream = client(lmm.url).chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "A good picture."
        assert lmm.engine.requests[1]["stream"] is True and "stream_options" not in lmm.engine.requests[1]


def test_an_engines_refusal_is_an_error_in_a_stream_too_and_shows_no_path() -> None:
    complaint = {"message": "The prompt (9000 tokens)\nis longer than 512; see /opt/vllm/x.py", "code": 400}
    with open_lmm(StubEngine([{"error": complaint}])) as lmm:
        for stream in (False, True):
            answer = lmm.chat(stream=stream)
            assert answer.status_code == 400 and answer.headers["content-type"] == "application/json"
            assert answer.json()["error"]["message"] == "The prompt (9000 tokens) is longer than 512; see …"
        lmm.engine.chunks = [f"data: {json.dumps({'error': complaint})}\n\n", "data: [DONE]\n\n"]  # or as an event
        answer = lmm.chat(stream=True)
        assert answer.status_code == 400 and answer.json()["error"]["message"].endswith("longer than 512; see …")
        lmm.engine.chunks = [{"error": {"message": "AttributeError: secret", "code": 500}}]
        answer = lmm.chat()
        assert answer.status_code == 500 and "secret" not in answer.text and "internal error" in answer.text


def test_what_fails_on_the_way_ends_the_stream_with_an_error() -> None:
    own = 'data: {"error": {"message": "secret of the engine", "type": "x", "param": null, "code": 500}}\n\n'
    for later in (own, {"error": {"message": "secret of the engine", "code": 500}}):
        with open_lmm(StubEngine([event("A "), later])) as lmm:
            answer = lmm.chat(stream=True)
        assert answer.status_code == 200 and "internal error" in answer.text and "secret" not in answer.text


@pytest.mark.parametrize(("fault", "status"), [(Overloaded(3), 429), (NotReady(), 503)])
def test_what_is_busy_says_when_to_come_again(fault: Exception, status: int) -> None:
    with open_lmm(StubEngine(fault=fault)) as lmm:
        answer = lmm.chat()
        assert answer.status_code == status and int(answer.headers["retry-after"]) >= 1
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_an_engines_mistake_is_not_shown() -> None:
    with open_lmm(StubEngine(fault=KeyError("/root/secret"))) as lmm:
        answer = lmm.chat()
    assert answer.status_code == 500 and "secret" not in answer.text and "KeyError" not in answer.text


def test_one_request_too_many_is_refused_at_once() -> None:
    with open_lmm(StubEngine(held_from=0), limits={"queue": 1}) as lmm:
        first = threading.Thread(target=lmm.chat)
        first.start()
        wait_until(lambda: lmm.engine.requests)
        answer = lmm.chat()
        lmm.engine.held_from = None
        first.join(10)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1


def test_each_answer_counts_against_the_rate_limit() -> None:
    with open_lmm(limits={"per_minute": 6, "max_candidates": 1}) as lmm:
        assert lmm.chat(n=4).status_code == 200
        answer = lmm.chat(n=4)
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
        assert len(lmm.engine.requests) == 1


def test_no_answer_in_time_is_an_error() -> None:
    with open_lmm(StubEngine(held_from=0), limits={"answer_s": 0.3}) as lmm:
        answer = lmm.chat()
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "timeout"
        wait_until(lambda: lmm.engine.stopped == 1)


def test_a_stream_that_stalls_ends() -> None:
    engine = StubEngine([event("A ")] * 2, held_from=1)
    with open_lmm(engine, limits={"answer_s": 0.3}) as lmm, streaming(lmm.url) as lines:
        assert "A " in next(lines)
        assert any('"timeout"' in line for line in lines)


def test_a_disconnect_stops_the_engine() -> None:
    engine = StubEngine([event("word ")] * 2, held_from=1)
    with open_lmm(engine) as lmm:
        with streaming(lmm.url) as lines:
            next(lines)
        wait_until(lambda: engine.stopped == 1)


def test_not_ready_until_the_model_is_loaded() -> None:
    with open_lmm(StubEngine(loaded=False)) as lmm:
        assert lmm.send("GET", "/healthz", token=None).status_code == 200
        answer = lmm.send("GET", "/readyz", token=None)
        assert answer.status_code == 503 and answer.headers["retry-after"]
        lmm.engine.loaded = True
        assert lmm.send("GET", "/readyz", token=None).status_code == 200


def test_answers_are_counted_without_their_words() -> None:
    with open_lmm() as lmm:
        lmm.chat(text("a secret plan"))
        answered = 'route="/v1/chat/completions",status="200"'
        wait_until(lambda: answered in lmm.send("GET", "/metrics").text)  # the answer arrives a moment earlier
        assert "secret" not in lmm.send("GET", "/metrics").text


def test_plain_takes_paths_out_and_cuts() -> None:
    assert plain("no file '/a/b c.txt' in ~/x/y or ../z") == "no file '… c.txt' in … or …"
    assert plain("images: [<PIL.Image.Image size=2x1 at 0x7F3FD4D9B7D0>]") == "images: […]"
    assert len(plain("x" * 1000)) == 301


class streaming:  # noqa: N801  read as a word
    """The lines of a stream, as they come; leaving hangs up."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(timeout=10)
        body = {"model": MODEL, "messages": HELLO, "stream": True}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self._stream = self._client.stream("POST", f"{url}/v1/chat/completions", json=body, headers=headers)

    def __enter__(self) -> Any:
        return self._stream.__enter__().iter_lines()

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)
        self._client.close()
