"""Requests that are too long are one line before an engine starts, and what the line advises works."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from p2i_ray.config import HostedConfig, ImageConfig, JudgeConfig
from p2i_ray.data.images import encode_png
from p2i_ray.errors import UserError
from p2i_ray.judge.length_check import check
from p2i_ray.judge.request_lengths import Asked
from p2i_ray.judge.requests.prompts import Exemplar
from p2i_ray.judge.requests.tasks import image_part

pytestmark = pytest.mark.long

SHOWN = Exemplar(name="jug", image_part=image_part(encode_png(np.full((512, 512, 3), 9, np.uint8))), score=2)
LOOP = Asked(["mug"], chosen=8, later_feedback=True, critiques=True)


def refused(settings: JudgeConfig, asked: Asked) -> str:
    with pytest.raises(UserError) as raised:
        check(settings, ImageConfig(), asked)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def followed(advice: str, settings: JudgeConfig, asked: Asked) -> tuple[JudgeConfig, Asked]:
    """Settings and requests with what one piece of advice says."""
    for key, value in re.findall(r"(?:set|raise) judge\.(\w+)=(\w+)", advice):
        settings = settings.model_copy(update={key: json.loads(value)})
    if found := re.search(r"set idr\.exemplars=(\d)", advice):
        asked = asked._replace(chosen=int(found[1]))
    if found := re.search(r"keep (\d) of the \d rows of judge\.exemplars", advice):
        asked = asked._replace(exemplars=asked.exemplars[: int(found[1])])
    if "leave judge.exemplars out" in advice:
        asked = asked._replace(exemplars=())
    return settings, asked


@pytest.mark.parametrize(
    ("family", "changes", "asked", "advised"),
    [
        ("qwen2_5_vl", {}, LOOP, ["raise judge.max_model_len=", "set idr.exemplars=", "set judge.max_pixels="]),
        ("qwen3_vl", {"max_model_len": 2500}, LOOP._replace(chosen=5), ["max_model_len", "exemplars", "max_pixels"]),
        ("llava", {}, LOOP._replace(exemplars=[SHOWN] * 8), ["max_model_len", "keep 4 of .* and set idr.exemplars=4"]),
        ("llava_next", {}, Asked(["mug"], exemplars=[SHOWN] * 3), ["max_model_len", "leave judge.exemplars out"]),
        ("llava_onevision", {"show_cutout": True, "max_model_len": 4800}, Asked(["mug"]), ["max_model_len", "cutout"]),
        ("llava_onevision", {}, LOOP, ["set idr.exemplars=7 and raise judge.max_model_len=32768"]),
        ("qwen2_vl", {"max_model_len": 1300}, Asked(["Ü" * 300]), ["max_model_len", "max_pixels", "max_name_chars"]),
    ],
)
def test_every_piece_of_advice_makes_it_fit(
    tiny_judge: Callable[[str], str], family: str, changes: dict[str, Any], asked: Asked, advised: list[str]
) -> None:
    settings = JudgeConfig(model=tiny_judge(family), **changes)
    line = refused(settings, asked)
    advice = line.rpartition("; ")[2].split(", or ")
    assert len(advice) == len(advised)
    for piece, expected in zip(advice, advised, strict=True):
        assert re.search(expected, piece)
        check(followed(piece, settings, asked)[0], ImageConfig(), followed(piece, settings, asked)[1])


def test_the_line_says_what_costs_how_much(tiny_judge: Callable[[str], str]) -> None:
    line = refused(JudgeConfig(model=tiny_judge("llava")), LOOP)
    start = r"judge.max_model_len=4096 is too short for a score \(R\), which takes up to ([\d,]+) tokens: ([\d,]+) for "
    parts = r"9 pictures \(8 of idr.exemplars\), ([\d,]+) for texts, (\d+) for the longest name, 2 for the reply; raise"
    found = re.match(start + parts, line)
    assert found
    whole, pictures, texts, name = (int(number.replace(",", "")) for number in found.groups())
    assert whole == pictures + texts + name + 2
    assert pictures == pytest.approx(9 * 576, abs=9 * 2)


def test_one_token_too_few_is_too_few(tiny_judge: Callable[[str], str]) -> None:
    settings, asked = JudgeConfig(model=tiny_judge("qwen2_vl"), max_model_len=64), Asked(["mug"])
    needed = re.search(r"raise judge.max_model_len=(\d+)", refused(settings, asked))
    assert needed
    check(settings.model_copy(update={"max_model_len": int(needed[1])}), ImageConfig(), asked)
    refused(settings.model_copy(update={"max_model_len": int(needed[1]) - 1}), asked)


def test_where_nothing_helps_another_model_does(tiny_judge: Callable[[str], str], tmp_path: Path) -> None:
    folder = tmp_path / "short"
    folder.mkdir()
    for file in Path(tiny_judge("llava_next")).iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").unlink()
    del config["text_config"]["max_position_embeddings"]
    config["max_position_embeddings"] = 2048  # where older Qwens have it
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    line = refused(JudgeConfig(model=str(folder), max_model_len=2048), Asked(["mug"]))
    assert line.endswith("; take a model with a longer context")


def test_what_is_not_here_is_not_checked() -> None:
    check(JudgeConfig(model="Qwen/Qwen3-VL-4B-Instruct"), ImageConfig(), Asked())
    hosted = JudgeConfig(model="large", hosted=HostedConfig(url="https://api.example/v1"))
    check(hosted, ImageConfig(), Asked())
