"""Fields that can't be: each refused with 400, the field's name and one line, before anything is painted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.generator_parts import RunningService, cutout, error_of


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 0),
        ("n", 1000),
        ("n", -1),
        ("n", "two"),
        ("n", 1.5),
        ("n", "1e9"),
        ("n", "9" * 5000),
        ("size", "500x500"),
        ("size", "512"),
        ("size", "0x0"),
        ("size", "8x8"),
        ("size", "99999x8"),
        ("size", "64x4096"),
        ("size", "-64x64"),
        ("size", "64×64"),
        ("size", "512x512\r\nX: y"),
        ("prompt", None),
        ("prompt", ""),
        ("prompt", " \t\n\x00"),
        ("prompt", "x" * 100_000),
        ("prompt", "x" * 501),
        ("negative_prompt", "x" * 501),
        ("response_format", "url"),
        ("response_format", "xml"),
        ("output_format", "gif"),
        ("output_format", "../x"),
        ("output_compression", 101),
        ("output_compression", 50),
        ("background", "transparent"),
        ("quality", "best"),
        ("stream", "true"),
        ("stream", "2"),
        ("partial_images", "x"),
        ("size", "1536x1032"),
        ("partial_images", 2),
        ("seed", -1),
        ("seed", 2**53),
        ("seed", "x"),
        ("steps", 0),
        ("steps", 61),
        ("guidance", 0.5),
        ("guidance", "nan"),
        ("guidance", "inf"),
        ("guidance", 31),
        ("soft_edge", -1),
        ("soft_edge", "nan"),
        ("best_of", 17),
        ("best_of", 0),
        ("check_expansion", "maybe"),
        ("frame_count", 3),
        ("__proto__", "1"),
        ("mask_url", "http://127.0.0.1/"),
    ],
)
def test_refused_fields(service: RunningService, field: str, value: Any) -> None:
    error = error_of(service.edit(**{field: value}), 400)
    assert error["param"] == field and error["type"] == "invalid_request_error"
    assert field in error["message"] and len(error["message"]) < 200
    assert not service.sampler.requests


def test_empty_fields_are_absent(service: RunningService) -> None:
    """As a browser sends a form that was filled in by half, and a mask that was not chosen."""
    texts = dict.fromkeys((b"n", b"size", b"seed", b"best_of", b"model", b"other"), b"") | {b"prompt": b"Cup"}
    body = b"".join(part(*item) for item in texts.items()) + part(b"image", cutout(), b"a") + part(b"mask", b"", b"")
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    answer = service.send("POST", "/v1/images/edits", content=body + b"--XX--\r\n", headers=headers)
    assert answer.status_code == 200 and len(answer.json()["data"]) == 1
    assert error_of(service.edit(prompt=""), 400)["message"].startswith("prompt is empty")


def test_files_and_texts_in_each_others_place(service: RunningService) -> None:
    def send(files: Any, data: Any) -> str:
        return str(error_of(service.send("POST", "/v1/images/edits", files=files, data=data), 400)["message"])

    image = ("a.png", cutout())
    assert send({"mask": image}, {"prompt": "Cup"}).startswith("image is missing")
    assert send({"mask": image}, {"prompt": "Cup", "image": "https://example.com/a.png"}) == (
        "image is text; send it as a file"
    )
    assert send({"image": image, "prompt": image}, {}).startswith("prompt is not a file")
    assert send({"image": image}, {"prompt": "Cup", "mask": "x"}) == "mask is text; send it as a file"
    assert send({"image": image}, {"prompt": ["Cup", "Mug"]}) == "prompt is given twice; give it once"
    assert send([("image", image), ("image[]", image)], {"prompt": "Cup"}).startswith("2 files came as image")
    assert send([(f"image{k}", image) for k in range(5)], {"prompt": "Cup"}).startswith(
        "the form can't be read: Too many"
    )
    assert "Too many fields" in send({"image": image}, {f"f{k}": "1" for k in range(50)})


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 415),
        ("text/plain", 415),
        (None, 415),
        ("multipart/form-data", 400),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=other", 400),
        ("multipart/form-data; boundary=x; charset=utf-7", 415),
        ("multipart/form-data; boundary=x; charset=unicode_escape", 415),
        ("multipart/form-data; boundary=x; charset=idna", 415),
    ],
)
def test_wrong_content_types(service: RunningService, content_type: str | None, status: int) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    body = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nCup\r\n--x--\r\n'
    error_of(service.send("POST", "/v1/images/edits", content=body, headers=headers), status)


def part(name: bytes, content: bytes, filename: bytes | None = None) -> bytes:
    named = b'; filename="' + filename + b'"' if filename is not None else b""
    return b'--XX\r\nContent-Disposition: form-data; name="' + name + b'"' + named + b"\r\n\r\n" + content + b"\r\n"


@pytest.mark.parametrize("field", [b"prompt", b"negative_prompt", b"user"])
@pytest.mark.parametrize("text", [b"Mug \xed\xa0\xbd", b"Mug \xf0\x9f\x98", b"M\xfcg"], ids=["half", "cut", "latin-1"])
def test_a_text_that_is_not_utf8_is_refused(service: RunningService, field: bytes, text: bytes) -> None:
    texts = {b"prompt": b"Cup"} | {field: text}
    body = part(b"image", cutout(), b"a") + b"".join(part(*item) for item in texts.items()) + b"--XX--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    error = error_of(service.send("POST", "/v1/images/edits", content=body, headers=headers), 400)
    assert f"{field.decode()} is not UTF-8; send its text in UTF-8" in error["message"]
    assert not service.sampler.requests


@pytest.mark.parametrize(
    "filename",
    [b"a\r\nX-Evil: 1\r\n\r\n<script>", b"a\nX-Evil: 1", b"../../etc/passwd", b"a\x00b.png", b"\xff\xfe.png"],
)
def test_a_files_name_is_never_used(service: RunningService, filename: bytes) -> None:
    body = part(b"image", cutout(), filename) + part(b"prompt", b"Cup") + b"--XX--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    answer = service.send("POST", "/v1/images/edits", content=body, headers=headers)
    assert answer.status_code == 200 or error_of(answer, 400)
    assert "x-evil" not in answer.headers and "X-Evil" not in answer.text


def test_a_form_that_stops_half_way_is_refused(service: RunningService) -> None:
    whole = part(b"prompt", b"Cup") + part(b"image", cutout(), b"a.png") + b"--XX--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    assert service.send("POST", "/v1/images/edits", content=whole, headers=headers).status_code == 200
    service.sampler.requests.clear()
    for length in (0, 5, 60, len(whole) // 2, len(whole) - 8):
        error = error_of(service.send("POST", "/v1/images/edits", content=whole[:length], headers=headers), 400)
        assert error["message"].startswith("the form can't be read")
    assert not service.sampler.requests


@given(
    fields=st.dictionaries(
        st.sampled_from(["n", "size", "seed", "steps", "guidance", "best_of", "soft_edge", "output_format", "stream"]),
        st.one_of(st.text(max_size=12), st.integers().map(str), st.floats().map(str)),
        max_size=3,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wild_fields_are_taken_or_refused(service: RunningService, fields: dict[str, str]) -> None:
    answer = service.edit(**fields)
    if answer.status_code != 200:
        assert error_of(answer, 400)["param"] in fields


@given(body=st.binary(max_size=400))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wild_bodies_are_refused(service: RunningService, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    for content in (body, part(b"image", body, b"a") + body, b"--XX\r\n" + body + b"\r\n--XX--\r\n"):
        error_of(service.send("POST", "/v1/images/edits", content=content, headers=headers), 400)
