"""What a run's judge has learned, written beside a model and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.errors import UserError
from p2i_ray.judge import guidance
from p2i_ray.judge.guidance import Guidance
from p2i_ray.judge.requests.prompts import Exemplar
from p2i_ray.judge.requests.tasks import image_part
from p2i_ray.mini.world import CLEAN, render
from tests.support.generator_parts import encoded

LIMITS = ImageConfig(resolution=64)
LEARNED = Guidance(feedback="Too many plain backgrounds.", cap=3, judge="Qwen2-VL", round=3)


def write(model: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(content)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    picture = encoded(render(1, 1, CLEAN).image)
    shown = tuple(Exemplar(name=f"cup {k}", image_part=image_part(picture), score=k, reason="fits") for k in (2, 5))
    write(tmp_path, guidance.files(LEARNED, shown))
    read, exemplars = guidance.read(str(tmp_path), LIMITS, 300)
    assert read == LEARNED
    assert [(one.name, one.score, one.reason) for one in exemplars] == [("cup 2", 2, "fits"), ("cup 5", 5, "fits")]


def test_a_model_without_guidance_has_none(tmp_path: Path) -> None:
    assert guidance.read(str(tmp_path), LIMITS, 300) == (Guidance(), ())
    write(tmp_path, guidance.files(LEARNED, ()))
    assert guidance.read(str(tmp_path), LIMITS, 300) == (LEARNED, ())


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"{}x", "guidance.json can't be used"),
        (b'{"feedback": "a", "cap": 9}', "cap: Input should be less than or equal to 5"),
        (b'{"feedback": 3}', "feedback: Input should be a valid string"),
        (b'{"advice": "a"}', "advice: Extra inputs"),
    ],
)
def test_a_file_of_another_kind_is_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    write(tmp_path, {"judge/guidance.json": content})
    with pytest.raises(UserError, match="publish the run again") as found:
        guidance.read(str(tmp_path), LIMITS, 300)
    assert line in str(found.value) and "\n" not in str(found.value)
