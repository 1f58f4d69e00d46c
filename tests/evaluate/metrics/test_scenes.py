"""The file of scenes: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics import scenes

GOOD = """
scenes: {beach: a beach, kitchen: [a kitchen, a photo of a kitchen], plain: a plain wall}
suits: {sunscreen: [beach], soap: [kitchen, beach], fridge: kitchen}
"""


def test_one_text_or_several_and_one_scene_or_several(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(GOOD)
    found = scenes.read(str(tmp_path / "s.yaml"))
    assert found.scenes == {
        "beach": ["a beach"],
        "kitchen": ["a kitchen", "a photo of a kitchen"],
        "plain": ["a plain wall"],
    }
    assert found.suits == {"sunscreen": ["beach"], "soap": ["kitchen", "beach"], "fridge": ["kitchen"]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "has no keys; write scenes: .* and suits:"),
        ("- a", "has no keys"),
        ("scenes: [", "is not YAML, line 1: "),
        ("{a: {b: 1}, a: 2}", "has 'a' twice; leave one"),
        (GOOD.replace("soap:", "sunscreen:"), "has 'sunscreen' twice; leave one"),
        (GOOD.replace("[beach]", "[beech]"), "'sunscreen' has the unknown scene 'beech'; there are beach, kitchen, pl"),
        (GOOD.replace("[beach]", "[]"), "suits.sunscreen: Value should have at least 1 item"),
        (GOOD.replace("a beach", "''"), "scenes.beach.0: String should have at least 1 char"),
        (
            GOOD.replace("beach: a beach", "beach: 7"),
            "scenes.beach: .*list, not '7'; names and texts are texts: put quotes around",
        ),
        (GOOD.replace("soap", "yes"), "suits.1: .*string, not 'True'"),
        (GOOD.replace("suits", "fits"), "(suits: Field required|fits: Extra)"),
        ("{scenes: {beach: a beach}, suits: {soap: beach}}", "scenes: Dictionary should have at least 2 items"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(UserError, match=f"^evaluate.scenes={tmp_path}/s.yaml:? {line}") as stopped:
        scenes.read(str(tmp_path / "s.yaml"))
    assert "\n" not in str(stopped.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"evaluate.scenes=/nowhere is not there, or is no file; check the path"):
        scenes.read("/nowhere")
    with pytest.raises(UserError, match="is no file"):
        scenes.read(str(tmp_path))


def test_categories_that_the_file_lacks(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(GOOD)
    found = scenes.read(str(tmp_path / "s.yaml"))
    scenes.check_categories(found, "s.yaml", ["soap", "soap"])
    with pytest.raises(
        UserError, match=r"s\.yaml has no entry in suits for the data's '', 'b', 'c' and 1 more; add what"
    ):
        scenes.check_categories(found, "s.yaml", ["soap", "d", "c", "b", ""])
