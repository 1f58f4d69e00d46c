"""Limits of a request, each refused with one line that says what to change."""

from __future__ import annotations

from typing import Any

from tests.support.generator_parts import RunningService, error_of


def test_lines_that_say_what_to_change(service: RunningService) -> None:
    def line(**fields: Any) -> str:
        return str(error_of(service.edit(**fields), 400)["message"])

    assert line(n=1000) == "n must be from 1 to 8"
    assert line(size="500x500") == (
        "size must be auto, a ratio such as 4:5 from 1:3 to 3:1, or WIDTHxHEIGHT, both multiples of 8 from 64 to 1536"
    )
    assert line(size="1536x1536") == "size 1536x1536 has too many pixels; at most 1572864"
    assert line(response_format="url") == "pictures come in the answer; use response_format=b64_json"
    assert line(prompt="x" * 501) == "prompt has 501 characters; at most 500, please"
    assert line(background="transparent").endswith("POST /v1/cutouts gives the product on a transparent one")
    assert line(stream="true") == "pictures come whole, in one answer; leave stream out, or send stream=false"
    assert line(partial_images=1) == "pictures come whole, in one answer; leave partial_images out"
    assert line(output_compression=99) == (
        "output_compression must be 100 for png, which loses nothing; use webp or jpeg for a smaller file"
    )
    assert line(best_of=1, n=2) == "best_of must be from 2 to 16"
    assert line(surprise=1) == "surprise is not a field this request takes; leave it out"


def test_an_unknown_model(service: RunningService) -> None:
    error = error_of(service.edit(model="dall-e-2"), 404)
    assert error["code"] == "model_not_found" and error["param"] == "model"
