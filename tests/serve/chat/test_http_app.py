"""Chats that reach the engine, and the errors of those that are refused."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image
from pydantic import BaseModel

from tests.support.chat_parts import (
    MODEL,
    TOKEN,
    Lmm,
    StubEngine,
    completion,
    encoded,
    image,
    open_lmm,
    opened,
    picture,
    text,
)

GOOD = base64.b64encode(encoded()).decode()


@pytest.fixture(scope="module")
def _open() -> Iterator[Lmm]:
    with open_lmm(limits={"max_pixels": 100_000, "max_side": 2_000}) as lmm:
        yield lmm


@pytest.fixture()
def lmm(_open: Lmm) -> Lmm:
    _open.engine.requests.clear()
    return _open


def test_a_chats_image_reaches_the_engine_as_a_new_png(lmm: Lmm) -> None:
    assert lmm.chat(text("Rate it."), picture(encoded("WEBP", lossless=True), "webp"), temperature=0).status_code == 200
    (asked,) = lmm.engine.requests
    words, shown = asked["messages"][0]["content"]
    assert words == text("Rate it.")
    sent = encoded("WEBP", lossless=True)
    assert not sent.startswith(b"\x89PNG") and opened(shown).format == "PNG"
    assert np.array_equal(np.asarray(opened(shown)), np.asarray(Image.open(io.BytesIO(sent))))
    assert asked["temperature"] == 0


def test_transparent_images_are_put_on_white(lmm: Lmm) -> None:
    lmm.chat(picture(encoded(mode="RGBA", size=(1, 1))))
    red, green, blue, alpha = np.random.default_rng(0).integers(0, 256, 4, np.uint8).tolist()
    pixel = opened(lmm.engine.requests[0]["messages"][0]["content"][0]).getpixel((0, 0))
    expected = [round((c * alpha + 255 * (255 - alpha)) / 255) for c in (red, green, blue)]
    assert np.abs(np.subtract(np.asarray(pixel), expected)).max() <= 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/private.png",
        "https://localtest.me/redirect.png",
        "HTTP://169.254.169.254/latest",
        "http://[::1]/x.png",
        "http://0x7f000001/x.png",
        "//127.0.0.1/x.png",
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "ftp://127.0.0.1/x.png",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "s3://bucket/x.png",
        "/etc/passwd",
        "x.png",
        "",
        " data:image/png;base64," + GOOD,
        "\nhttp://127.0.0.1/",
        "data:http://127.0.0.1/x.png",
    ],
)
def test_no_url_is_fetched(lmm: Lmm, url: str) -> None:
    error = lmm.refused(lmm.chat(text("What is it?"), image(url)))
    assert error["param"] == "messages.0.content.1.image_url" and "data:image/png;base64," in error["message"]


def test_an_address_of_ours_is_not_fetched(lmm: Lmm) -> None:
    """A URL to a server that would know: the toy's own port, which counts a stranger's call in its metrics."""
    lmm.refused(lmm.chat(image(f"{lmm.url}/no-such-page-at-all")))
    assert 'route="unknown",status="404"' not in lmm.send("GET", "/metrics").text


def bomb(side: int) -> bytes:
    """A small PNG that says it is huge."""
    chunks = b""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        chunks += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return b"\x89PNG\r\n\x1a\n" + chunks


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"data:image/svg+xml;base64,{base64.b64encode(SVG).decode()}", "another kind"),
        (f"data:text/html;base64,{GOOD}", "another kind"),
        (f"DATA:IMAGE/PNG;BASE64,{GOOD}", "another kind"),
        ("data:image/png,not-base64", "another kind"),
        ("data:image/png;base64,%%%", "no base64"),
        (f"data:image/png;base64,{GOOD}\n", "no base64"),
        ("data:image/png;base64,", "empty"),
        (f"data:image/png;base64,{base64.b64encode(b'hello').decode()}", "not a"),
        (f"data:image/png;base64,{base64.b64encode(SVG).decode()}", "an SVG drawing"),
        (f"data:image/png;base64,{base64.b64encode(encoded('GIF')).decode()}", "not a"),
        (f"data:image/png;base64,{base64.b64encode(encoded('TIFF')).decode()}", "not a"),
        (f"data:image/png;base64,{base64.b64encode(encoded(size=(64, 64))[:-2000]).decode()}", "unreadable"),
        (f"data:image/png;base64,{base64.b64encode(bomb(30_000)).decode()}", "more than max_pixels=100000 allows"),
        (f"data:image/png;base64,{base64.b64encode(encoded(size=(2_001, 30))).decode()}", "2000 a side"),
        (f"data:image/png;base64,{base64.b64encode(encoded(size=(2, 1_000))).decode()}", "too narrow"),
    ],
)
def test_a_data_url_holds_an_image_within_limits(lmm: Lmm, url: str, says: str) -> None:
    assert says in lmm.refused(lmm.chat(image(url)))["message"]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": "http://127.0.0.1/"},
        {"image_url": "http://127.0.0.1/"},
        {"type": "image_url", "image_url": {"url": {"url": "http://127.0.0.1/"}}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{GOOD}", "path": "/etc/passwd"}},
        {"type": "video_url", "video_url": {"url": "http://127.0.0.1/"}},
        {"type": "audio_url", "audio_url": {"url": "http://127.0.0.1/"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "image_embeds", "image_embeds": "AAAA"},
        {"type": "image_pil", "image_pil": "x"},
        {"type": "file", "file": {"file_data": "AAAA"}},
        {"type": "text", "text": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}}]},
        {"type": "text", "text": "x", "image_url": {"url": "http://127.0.0.1/"}},
        [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}}],
        "http://127.0.0.1/",
        None,
        7,
    ],
)
def test_parts_are_text_or_images(lmm: Lmm, part: object) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": [part]}]}
    lmm.refused(lmm.send("POST", "/v1/chat/completions", json=body))


@pytest.mark.parametrize("role", ["system", "assistant", "developer", "tool", "function", "root", None, 5])
def test_only_users_send_images(lmm: Lmm, role: object) -> None:
    body = {"model": MODEL, "messages": [{"role": role, "content": [picture()]}]}
    lmm.refused(lmm.send("POST", "/v1/chat/completions", json=body))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 1_000}, "n"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"n": "2"}, "n"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"max_completion_tokens": 10**9}, "max_completion_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"logprobs": True, "top_logprobs": 1_000}, "top_logprobs"),
        ({"top_logprobs": 5}, "top_logprobs"),
        ({"temperature": float(10**9)}, "temperature"),
        ({"stop": ["a"] * 9}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": "a" * 999}, "stop"),
        ({"seed": 2**70}, "seed"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}] * 99}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 200_000}]}, "messages"),
        ({"prompt_logprobs": 20}, "prompt_logprobs"),
        ({"best_of": 100}, "best_of"),
        ({"min_tokens": 9}, "min_tokens"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"chat_template": "{{ 1 }}"}, "chat_template"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "chat_template_kwargs"),
        ({"mm_processor_kwargs": {"size": 1}}, "mm_processor_kwargs"),
        ({"media_io_kwargs": {"video": {}}}, "media_io_kwargs"),
        ({"vllm_xargs": {"a": 1}}, "vllm_xargs"),
        ({"kv_transfer_params": {"a": 1}}, "kv_transfer_params"),
        ({"priority": -9}, "priority"),
        ({"request_id": "x"}, "request_id"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"guided_choice": ["1"]}, "guided_choice"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"store": True}, "store"),
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
    ],
)
def test_a_field_beyond_its_limit_is_named(lmm: Lmm, fields: dict[str, object], param: str) -> None:
    assert lmm.refused(lmm.chat(**fields))["param"] == param


HALF = "Mug \ud83d"  # a text cut in the middle of an emoji


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": HALF}]}, "messages.1.content"),
        ({"messages": [{"role": "user", "content": [text(HALF)]}]}, "messages.0.content.0.text"),
        ({"messages": [{"role": "user", "content": "x", "name": HALF}]}, "messages.0.name"),
        ({"messages": [{"role": "user", "content": [image(HALF)]}]}, "messages.0.content.0.image_url.url"),
        ({"stop": HALF}, "stop"),
        ({"stop": ["x", HALF]}, "stop.1"),
        ({"user": HALF}, "user"),
        ({"model": HALF}, "model"),
        ({HALF: 1}, "Mug"),
        ({"structured_outputs": {"choice": [HALF]}}, "structured_outputs.choice.0"),
        ({"structured_outputs": {"json": {"properties": {HALF: {}}}}}, "structured_outputs.json.properties.Mug"),
    ],
)
def test_half_of_a_character_is_refused_wherever_it_is(lmm: Lmm, fields: dict[str, object], param: str) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], **fields}
    kind = {"Content-Type": "application/json"}
    error = lmm.refused(lmm.send("POST", "/v1/chat/completions", content=json.dumps(body), headers=kind))
    assert error["param"] == param and r"has half of a character (\ud83d)" in error["message"]


def test_a_whole_character_beyond_the_first_plane_reaches_the_engine(lmm: Lmm) -> None:
    assert lmm.chat(text("Mug \U0001f600")).status_code == 200
    assert lmm.engine.requests[0]["messages"][0]["content"] == [text("Mug \U0001f600")]


class Rating(BaseModel):
    score: int


def test_an_answer_is_taken_as_history_however_it_was_asked_for() -> None:
    """As each helper of the openai package sends a message back that it has received."""
    verdict = '{"score": 4}'
    asked: list[Any] = [{"role": "user", "content": "Rate it."}]
    with open_lmm(StubEngine([completion(verdict)])) as lmm:
        client = openai.OpenAI(base_url=f"{lmm.url}/v1", api_key=TOKEN, max_retries=0)
        plain = client.chat.completions.create(model=MODEL, messages=asked).choices[0].message
        parsed = client.chat.completions.parse(model=MODEL, messages=asked, response_format=Rating).choices[0].message
        assert parsed.parsed == Rating(score=4)
        for message in (plain, parsed, plain.model_dump(), parsed.model_dump(), json.loads(plain.to_json())):
            lmm.engine.requests.clear()
            messages = [*asked, message, {"role": "user", "content": "Why?"}]
            assert client.chat.completions.create(model=MODEL, messages=messages).choices
            turns = lmm.engine.requests[0]["messages"]
            assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
            assert turns[1]["content"] == [text(verdict)]


@pytest.mark.parametrize("content", [None, "", []])
def test_an_answer_that_ended_before_its_first_word_is_taken_as_history(lmm: Lmm, content: object) -> None:
    turns = [{"role": "assistant", "content": content}, {"role": "user", "content": "Again."}]
    assert lmm.chat(messages=turns).status_code == 200
    assert lmm.engine.requests[0]["messages"][0]["content"] in ([], [text("")])
    lmm.engine.requests.clear()
    assert lmm.refused(lmm.chat(messages=[{"role": "user", "content": None}]))["param"] == "messages.0.content"


def test_a_field_that_is_null_or_empty_is_absent(lmm: Lmm) -> None:
    nothing = {"tools": [], "tool_choice": None, "logit_bias": {}, "n": None, "prompt_logprobs": None, "metadata": {}}
    part = {**text("Rate it."), "cache_control": None, "annotations": []}
    shown = {"type": "image_url", "image_url": {**picture()["image_url"], "detail": None}}
    turn = {"role": "user", "content": [part, shown], "name": None, "tool_calls": [], "tool_call_id": ""}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": [None]}, "strict": None, "x": []}}
    body = {"model": MODEL, "messages": [turn], "response_format": {**form, "schema": None}, **nothing}
    assert lmm.send("POST", "/v1/chat/completions", json=body).status_code == 200
    (asked,) = lmm.engine.requests
    assert asked["messages"][0]["content"][0] == text("Rate it.") and not set(nothing) & set(asked)
    assert asked["response_format"]["json_schema"]["schema"] == {"enum": [None]}  # a schema's own null stays


def test_a_hundred_images_are_too_many(lmm: Lmm) -> None:
    assert "100 pictures" in lmm.refused(lmm.chat(*[picture()] * 100))["message"]


def test_another_model_is_not_found(lmm: Lmm) -> None:
    assert lmm.refused(lmm.chat(model="/etc/passwd"), 404)["code"] == "model_not_found"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 900 + b"1" + b"}" * 900]
)
def test_a_body_is_a_json_object(lmm: Lmm, body: bytes) -> None:
    kind = {"Content-Type": "application/json"}
    lmm.refused(lmm.send("POST", "/v1/chat/completions", content=body, headers=kind))


def test_a_body_of_another_type_is_refused(lmm: Lmm) -> None:
    """A form is what a browser sends from any page without asking first."""
    kind = {"Content-Type": "text/plain"}
    lmm.refused(lmm.send("POST", "/v1/chat/completions", content=b"{}", headers=kind), 415)


def test_the_engine_knows_one_name_of_its_model() -> None:
    with open_lmm(chat={"model_aliases": ["gpt-4o"]}) as lmm:
        for name in (MODEL, "gpt-4o"):
            assert lmm.chat(model=name).status_code == 200
        assert [asked["model"] for asked in lmm.engine.requests] == [MODEL, MODEL]
        assert [model["id"] for model in lmm.send("GET", "/v1/models").json()["data"]] == [MODEL, "gpt-4o"]


def test_a_body_beyond_the_limit_is_refused() -> None:
    with open_lmm(limits={"max_bytes": 10_000}) as lmm:
        assert lmm.refused(lmm.chat(text("x" * 20_000)), 413)["code"] == "too_large"


ROUTES = [
    "/v1/completions",
    "/v1/embeddings",
    "/v1/score",
    "/v1/audio/transcriptions",
    "/tokenize",
    "/detokenize",
    "/pause",
    "/resume",
    "/sleep",
    "/wake_up",
    "/invocations",
    "/update_weights",
    "/collective_rpc",
    "/load_lora_adapter",
    "/reset_prefix_cache",
    "/start_profile",
    "/v1/chat/completions/render",
    "/docs",
    "/openapi.json",
    "/v1/../pause",
]


@pytest.mark.parametrize("route", ROUTES)
def test_there_is_nothing_else(lmm: Lmm, route: str) -> None:
    for method in ("GET", "POST"):
        assert lmm.refused(lmm.send(method, route, json={}), 404)["code"] == "not_found"


def test_only_health_needs_no_token(lmm: Lmm) -> None:
    assert lmm.send("GET", "/healthz", token=None).status_code == 200
    assert lmm.send("GET", "/readyz", token=None).status_code == 200
    for method, path in (("GET", "/v1/models"), ("GET", "/metrics"), ("POST", "/v1/chat/completions")):
        for token in (None, "wrong", "token-of-the-tests-012345678"):
            assert lmm.refused(lmm.send(method, path, token=token), 401)["code"] == "invalid_api_key"
    basic = {"Authorization": "Basic dG9rZW4="}
    assert lmm.send("GET", "/v1/models", token=None, headers=basic).status_code == 401


def test_the_one_model_is_listed(lmm: Lmm) -> None:
    listed = lmm.send("GET", "/v1/models").json()
    assert [model["id"] for model in listed["data"]] == [MODEL] and listed["object"] == "list"
    assert lmm.send("GET", f"/v1/models/{MODEL}").json()["id"] == MODEL
    lmm.refused(lmm.send("GET", "/v1/models/gpt-5"), 404)


def test_no_page_of_another_origin_may_read_answers(lmm: Lmm) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = httpx.options(f"{lmm.url}/v1/chat/completions", headers=asked)
    assert answer.status_code == 405 and not [name for name in answer.headers if name.startswith("access-control")]
