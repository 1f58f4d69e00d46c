"""An evaluation: its judge, which is the held-out one where there is one, and what is done anew."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from p2i_ray.comparison.evaluation import Evaluation, judge_of, lasting
from p2i_ray.config import Config, load
from p2i_ray.diffusion.baselines.methods import Painting
from p2i_ray.errors import UserError
from tests.support import second_judge

JUDGE = Path(__file__).parents[2] / "p2i_ray" / "mini" / "weights" / "judge"


def evaluation(data: str, *settings: str, metrics: tuple[str, ...] = ("available_rate",)) -> Evaluation:
    config = load(Config, "mini", settings)
    return Evaluation(config, data, "test", model="m", painting=Painting(config.diffusion), metrics=metrics)


def test_the_held_out_judge_answers_where_there_is_one(mini_data: str, tmp_path: Path) -> None:
    second = second_judge.make(tmp_path / "second", JUDGE)
    given = (f"evaluate.judge.model={second}", "evaluate.judge.num_cpus=2")
    found = evaluation(mini_data, *given)
    assert found.judge(str(tmp_path / "cache")).settings.model == second
    assert [phase[0].step for phase in found.phases] == ["generate", "evaluate", "evaluate.judge"]
    assert found.phases[2][0].bundle.cpus == 2 and second in found.reads
    alone = evaluation(mini_data)
    assert alone.judge(str(tmp_path / "cache")).settings.model == str(JUDGE.resolve())
    assert [phase[0].step for phase in alone.phases] == ["generate", "evaluate", "judge"]
    assert judge_of(alone.config) == alone.config.judge
    unasked = evaluation(mini_data, *given, metrics=("clip_c_b",))
    assert len(unasked.phases) == 2 and second not in unasked.reads


def test_what_would_end_it_is_found_before_anything_is_painted(mini_data: str, tmp_path: Path) -> None:
    copy = shutil.copytree(JUDGE, tmp_path / "copy")
    with pytest.raises(UserError, match=r"is the same model as judge\.model="):
        evaluation(mini_data, f"evaluate.judge.model={copy}").judge(str(tmp_path / "cache"))
    hosted = (
        "evaluate.judge.model=m",
        "evaluate.judge.hosted.url=https://a/v1",
        "evaluate.judge.hosted.logprobs=false",
    )
    with pytest.raises(UserError, match=r"set evaluate\.judge\.hosted\.logprobs=true"):
        evaluation(mini_data, *hosted, metrics=("vqa_score",)).judge(str(tmp_path / "cache"))


def test_pictures_stay_where_other_portions_are_asked_for(mini_data: str, tmp_path: Path) -> None:
    """As an error's advice has them; with other steps they would be others."""
    made = replace(evaluation(mini_data), model=str(JUDGE))
    (tmp_path / "generated.json").write_text(json.dumps({"asked": made.painted_by, "files": ["a.parquet"]}))
    portions = ("generate.batch_size=1", "generate.num_workers=3", "generate.num_gpus=0.5", "generate.memory_gib=2")
    again = replace(evaluation(mini_data, *portions), model=str(JUDGE))
    assert again.paint(str(tmp_path)) == (str(tmp_path / "generated"), ["a.parquet"])
    other = replace(evaluation(mini_data, "generate.num_inference_steps=7"), model=str(JUDGE))
    assert lasting(other.painted_by) != lasting(made.painted_by)


def test_figures_depend_on_the_content_of_what_measures(mini_data: str, tmp_path: Path) -> None:
    clip, scenes, judge = tmp_path / "clip", tmp_path / "scenes.yaml", tmp_path / "judge"
    for folder in (clip, judge):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"1")
    scenes.write_text("1")
    given = (f"evaluate.clip={clip}", f"evaluate.scenes={scenes}", f"judge.model={judge}")

    def asked(*settings: str, metrics: tuple[str, ...] = ("available_rate",)) -> dict[str, object]:
        return lasting(evaluation(mini_data, *given, *settings, metrics=metrics).measured_by)

    before, unjudged = asked(), asked(metrics=("fid",))
    assert asked("evaluate.batch_size=1", "evaluate.num_cpus=2") == before
    assert asked("evaluate.fill=white") != before
    (judge / "model.safetensors").write_bytes(b"2")
    assert asked() != before and asked(metrics=("fid",)) == unjudged
    for place in (clip / "model.safetensors", scenes):
        earlier = asked()
        place.write_bytes(b"2")
        assert asked() != earlier
