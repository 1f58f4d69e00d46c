"""The guidance of the model that paints is the judge's, also after the model's folder has changed."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.errors import UserError
from p2i_ray.judge import guidance
from p2i_ray.judge.guidance import Guidance
from p2i_ray.judge.requests.prompts import Exemplar
from p2i_ray.judge.requests.tasks import CritiqueTask, JudgeTask, ScoreTask, image_part
from p2i_ray.mini.world import CLEAN, render
from p2i_ray.serve.guidance import ModelGuidance
from p2i_ray.serve.judge_client import JudgeClient
from tests.support.generator_parts import encoded

IMAGE = ImageConfig(resolution=64)
SHOWN = (Exemplar(name="cup", image_part=image_part(encoded(render(1, 1, CLEAN).image)), score=5),)


def publish(model: Path, feedback: str, shown: tuple[Exemplar, ...] = ()) -> None:
    shutil.rmtree(model / "judge", ignore_errors=True)
    for name, content in guidance.files(Guidance(feedback=feedback, cap=2), shown).items():
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(content)


def watched(model: Path) -> ModelGuidance:
    seconds = iter(range(0, 1_000, 10))
    return ModelGuidance(str(model), IMAGE, 300, interval_s=5, clock=lambda: next(seconds))


def test_a_new_models_guidance_counts_when_two_checks_have_seen_it(tmp_path: Path) -> None:
    own = watched(tmp_path)
    assert own.current().guidance.feedback == ""
    publish(tmp_path, "no clutter", SHOWN)
    assert own.current().guidance.feedback == ""
    assert own.current().guidance.feedback == "no clutter" and own.current().exemplars[0].name == "cup"
    shutil.rmtree(tmp_path / "judge")  # a model of somebody else
    own.current()
    assert own.current().guidance.feedback == "" and own.current().exemplars == ()


def test_what_cannot_be_used_leaves_the_last_one(tmp_path: Path) -> None:
    publish(tmp_path, "no clutter")
    own = watched(tmp_path)
    (tmp_path / "judge" / "guidance.json").write_text("{")
    assert [own.current().guidance.feedback for _ in range(4)] == ["no clutter"] * 4
    with pytest.raises(UserError):
        watched(tmp_path)


class Engines:
    """A judge's handle that keeps what it is asked, and answers that all is well."""

    def __init__(self) -> None:
        self.tasks: list[JudgeTask] = []
        self.ask = self

    def remote(self, task: JudgeTask, samples: list[Any]) -> Any:
        self.tasks.append(task)
        return self._answer(task, len(samples))

    async def _answer(self, task: JudgeTask, number: int) -> list[dict[str, Any]]:
        if isinstance(task, CritiqueTask):
            return [{"flaws": ["clutter"], "comment": "", "error": None}, {"flaws": None, "error": "cut"}][:number]
        return [{"score": 4, "expected_score": 4.2, "reason": "fits", "error": None}] * number


def test_the_judge_is_told_what_it_has_learned(tmp_path: Path) -> None:
    from p2i_ray.config import Config, load

    publish(tmp_path, "no clutter", SHOWN)
    settings, engines = load(Config, "mini", []).judge, Engines()
    client = JudgeClient(engines, settings, IMAGE, 5, guidance=watched(tmp_path))  # type: ignore[arg-type]
    pictures = [render(1, number, CLEAN).image for number in range(2)]
    verdicts = asyncio.run(client.rank("cup", pictures))
    assert [one.score for one in verdicts] == [4.2, 4.2]
    [task] = engines.tasks
    assert isinstance(task, ScoreTask)
    assert (task.feedback, task.cap, task.exemplars[0].name) == ("no clutter", 2, "cup")
    assert "no clutter" in str(task.request("cup", b"a").messages[0])
    assert asyncio.run(client.flaws("cup", pictures)) == [("clutter",), None]
    plain = JudgeClient(engines, settings, IMAGE, 5)  # type: ignore[arg-type]
    asyncio.run(plain.rank("cup", pictures))
    assert isinstance(engines.tasks[-1], ScoreTask) and engines.tasks[-1].feedback == ""


class Comparing(Engines):
    """Scores 3, 5, 4 and 1, and prefers the lower score."""

    async def _answer(self, task: JudgeTask, number: int) -> list[dict[str, Any]]:
        if isinstance(task, ScoreTask):
            return [{"score": s, "expected_score": s, "reason": "", "error": None} for s in (3, 5, 4, 1)]
        return [{"p_first": 0.25, "error": None}, {"p_first": 0.75, "error": None}]


def test_the_best_by_score_are_compared_in_both_orders() -> None:
    from p2i_ray.config import Config, load
    from p2i_ray.judge.requests.comparison import ComparisonTask
    from p2i_ray.serve.images.ranking import ranked

    engines = Comparing()
    client = JudgeClient(engines, load(Config, "mini", []).judge, IMAGE, 5, compared=2)  # type: ignore[arg-type]
    verdicts = asyncio.run(client.rank("cup", [render(1, number, CLEAN).image for number in range(4)]))
    assert [one.preference for one in verdicts] == [None, 0.25, 0.75, None]
    assert isinstance(engines.tasks[-1], ComparisonTask)
    assert [one.index for one in ranked(verdicts)] == [2, 1, 0, 3]
