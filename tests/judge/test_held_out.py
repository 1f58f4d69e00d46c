"""The held-out judge: its settings, and what is refused before anything starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.judge import held_out
from p2i_ray.judge.request_lengths import Asked
from tests.support import second_judge

JUDGE = Path(__file__).parents[2] / "p2i_ray" / "mini" / "weights" / "judge"
ASKED = Asked(["trail tent"], critiques=True)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> str:
    return second_judge.make(tmp_path_factory.mktemp("judges") / "second", JUDGE)


def config(model: str | Path, *settings: str) -> Config:
    return load(Config, "mini", [f"evaluate.judge.model={model}", *settings])


def test_another_model_passes_and_is_asked_as_the_judge_is(second: str) -> None:
    held_out.check(config(second), ASKED)
    made = held_out.make(config(second))
    assert made is not None and made.settings.model == second
    assert made.prompts.score.version == "mini-1"
    assert made.conditions()["weights"] != held_out.make(config(JUDGE)).conditions()["weights"]  # type: ignore[union-attr]
    assert held_out.make(load(Config, "mini")) is None


def test_the_same_model_is_refused_wherever_it_lies_and_whatever_lies_beside_it(tmp_path: Path) -> None:
    copy = shutil.copytree(JUDGE, tmp_path / "copy")
    (copy / "generation_config.json").write_text('{"temperature": 1.0}')
    for same in (JUDGE, copy):
        with pytest.raises(UserError, match=r"is the same model as judge\.model=.* must be another model") as refused:
            held_out.check(config(same), ASKED)
        assert "\n" not in str(refused.value)


def test_the_same_name_at_the_same_endpoint_is_refused() -> None:
    hosted = ("judge.hosted.url=https://a/v1", "judge.model=m")
    with pytest.raises(UserError, match="is the same model"):
        held_out.check(config("m", *hosted, "evaluate.judge.hosted.url=https://a/v1"), ASKED)
    held_out.check(config("m", *hosted, "evaluate.judge.hosted.url=https://b/v1"), ASKED)
    held_out.check(config("n", *hosted, "evaluate.judge.hosted.url=https://a/v1"), ASKED)


def test_errors_name_its_own_settings(second: str) -> None:
    with pytest.raises(UserError, match=r"^the held-out judge: evaluate\.judge\.model=/nowhere: there is no such"):
        held_out.check(config("/nowhere"), ASKED)
    with pytest.raises(UserError, match=r"evaluate\.judge\.max_model_len=64 is too short .* raise evaluate\.judge\.ma"):
        held_out.check(config(second, "evaluate.judge.max_model_len=64"), ASKED)
    as_named = r"^the held-out judge: set judge\.show_cutout, not evaluate\.judge\.model$"
    with pytest.raises(UserError, match=as_named), held_out.named():
        raise UserError("set judge.show_cutout, not evaluate.judge.model")


def test_what_is_left_out_is_the_judges(second: str) -> None:
    given = ("judge.max_pixels=200000", "judge.quantization=awq", "judge.exemplars=e.parquet", "judge.max_replicas=4")
    found = config(second, *given, "evaluate.judge.num_cpus=2", "evaluate.judge.flaws=[blur]").held_out_judge
    assert found is not None
    assert (found.model, found.num_cpus, found.flaws, found.dtype) == (second, 2, ("blur",), "float32")
    assert (found.max_model_len, found.prompts) == (512, "p2i_ray/mini/prompts")
    # of a model, or of the judge that selects
    assert found.max_pixels is found.quantization is found.exemplars is found.max_replicas is None
    assert found.keep_warm is False and found.cascade.clip is None and found.hosted.url is None


def test_an_endpoint_of_the_judge_is_not_the_held_out_ones(second: str) -> None:
    found = config(second, "judge.hosted.url=https://a/v1").held_out_judge
    assert found is not None and found.hosted.url is None
    with pytest.raises(UserError, match=r"evaluate\.judge\.hosted\.url needs evaluate\.judge\.model"):
        load(Config, "mini", ["evaluate.judge.hosted.url=https://a/v1"])
    with pytest.raises(UserError, match=r"evaluate\.judge\.max_pixels is of own engines"):
        config("m", "evaluate.judge.hosted.url=https://a/v1", "evaluate.judge.max_pixels=1000")
