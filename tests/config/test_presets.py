"""Presets that extend others."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import Config, load
from p2i_ray.config.loading import given_settings
from p2i_ray.errors import UserError


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)


def test_a_file_extends_a_preset_and_its_own_settings_win(tmp_path: Path) -> None:
    write(tmp_path, mine="extends: mini\nidr: {gamma: 3, steps: [7]}\ntrain:\n  lr_unet: 1.0e-3\n")
    mine, mini = load(Config, str(tmp_path / "mine.yaml")), load(Config, "mini")
    assert (mine.idr.gamma, mine.idr.steps, mine.train.lr_unet) == (3, (7,), 1e-3)
    assert mine.train == mini.train.model_copy(update={"lr_unet": 1e-3})  # the group's others are mini's
    assert mine.judge == mini.judge and mine.idr.rounds == mini.idr.rounds
    assert load(Config, str(tmp_path / "mine.yaml"), ["idr.gamma=5"]).idr.gamma == 5


def test_several_levels_by_paths_from_the_file_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "team").mkdir()
    write(
        tmp_path / "team",
        base="extends: mini\nseed: 1\nidr: {gamma: 2, rounds: 1}\n",
        shop="extends: base.yaml\nseed: 2\n",
    )
    write(tmp_path, mine="extends: team/shop.yaml\nidr: {gamma: 5}\n")
    monkeypatch.chdir("/")
    found = load(Config, str(tmp_path / "mine.yaml"))
    assert (found.seed, found.idr.gamma, found.idr.rounds, found.image.resolution) == (2, 5, 1, 64)


def test_null_and_lists_replace(tmp_path: Path) -> None:
    write(tmp_path, a="extends: mini\njudge: {flaws: [blur], prompts: null}\n")
    judge = load(Config, str(tmp_path / "a.yaml")).judge
    assert judge.flaws == ("blur",) and judge.prompts is None


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"a": "extends: a.yaml"}, "config 'a.yaml' extends itself: {a} -> a.yaml; take one `extends` out"),
        (
            {"a": "extends: b.yaml", "b": "extends: ./c.yaml", "c": "extends: b.yaml"},
            "config 'b.yaml' extends itself: b.yaml -> ./c.yaml -> b.yaml; take one `extends` out",
        ),
        ({"a": "extends: nothing.yaml"}, "config 'nothing.yaml', which '{a}' extends, is neither a preset (a100x4, "),
        ({"a": "extends: minni"}, "did you mean 'mini'?"),
        ({"a": "extends: [mini]"}, "config '{a}': extends must name one preset or file, not ['mini']"),
        ({"a": "extends: b.yaml", "b": "- 1"}, "config 'b.yaml' must hold settings (key: value), not list"),
        ({"a": "extends: b.yaml", "b": "extends: mini\nidr: {gama: 3}"}, "unknown setting 'idr.gama' in 'b.yaml'"),
        ({"a": "extends: b.yaml\nidr: {gama: 3}", "b": "extends: mini"}, "unknown setting 'idr.gama' in '{a}'"),
        ({"a": "extends: mini\nidr: 3"}, "setting idr=3: "),
    ],
)
def test_what_is_wrong_is_one_line(texts: dict[str, str], says: str, tmp_path: Path) -> None:
    write(tmp_path, **texts)
    first = str(tmp_path / "a.yaml")
    with pytest.raises(UserError) as error:
        load(Config, first)
    assert says.replace("{a}", first) in str(error.value) and "\n" not in str(error.value)


def test_what_the_command_line_gave(tmp_path: Path) -> None:
    assert given_settings(load(Config, "mini")) == {}
    given = ["image.resolution=128", "idr.steps=[1, 2]", "train.zero_stage=1", "diffusion.clip=file:///tmp/a%20b"]
    expected = {"image": {"resolution": 128}, "idr": {"steps": [1, 2]}, "diffusion": {"clip": "/tmp/a b"}}
    assert given_settings(load(Config, "mini", given)) == expected  # ZeRO 1 is mini's own
    write(tmp_path, mine="extends: mini\nseed: 7\n")
    assert given_settings(load(Config, str(tmp_path / "mine.yaml"), ["seed=8"])) == {"seed": 8}
