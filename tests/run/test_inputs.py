"""Inputs of a run: what is compared, and what is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.run.inputs import FILE, RunInput, RunInputs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "gold.csv"
    made.write_text("id,score")
    return made


def inputs(file: Path) -> RunInputs:
    return RunInputs(str(file.parent / "run"), [RunInput("gold", str(file)), RunInput("model", text="gpt")])


def test_fingerprints_by_name(file: Path) -> None:
    found = inputs(file).of(["gold", "model", "unheard of"])
    assert list(found) == ["gold", "model"] and found["model"] == "name-gpt"
    assert RunInputs("", [RunInput("exemplars")]).of(["exemplars"]) == {"exemplars": "none"}


def test_another_content_is_another_input(file: Path) -> None:
    recorded = inputs(file).of(["gold"])["gold"]
    assert not inputs(file).is_another("gold", recorded)
    file.write_text("id,rank_")
    assert inputs(file).is_another("gold", recorded)
    assert inputs(file).is_another("model", "name-gpt-2") and inputs(file).is_another("model", recorded)


def test_what_is_away_or_not_asked_for_is_no_other(file: Path) -> None:
    file.unlink()
    assert not inputs(file).is_another("gold", "content-x") and not inputs(file).is_another("unheard of", "content-x")
    with pytest.raises(UserError, match=rf"gold \({file}\) is not there; check the path"):
        inputs(file).look(["gold"])


def test_touching_a_file_changes_nothing(file: Path) -> None:
    used = inputs(file)
    used.of(["gold"])
    file.touch()
    used.check_unchanged(["gold", "model"])
    file.write_text("id,rank_")
    with pytest.raises(UserError, match="was changed while the run used it"):
        used.check_unchanged(["gold"])


def test_a_file_that_changes_before_it_was_read_is_told(file: Path) -> None:
    used = inputs(file)
    used.look(["gold"])
    file.write_text("id,rank_, and more")
    for _ in range(2):
        with pytest.raises(UserError, match=rf"gold \({file}\) changes while it is read"):
            used.of(["gold"])
        with pytest.raises(UserError, match=rf"gold \({file}\) was changed while the run used it"):
            used.check_unchanged(["gold"])


def test_what_was_read_is_remembered_and_a_hurt_memory_is_read_anew(file: Path) -> None:
    used = inputs(file)
    recorded = used.of(["gold"])
    used.save()
    memory = file.parent / "run" / FILE
    whole = memory.read_text()
    for text in (whole, whole[: len(whole) // 2], "", "[1]", "{}", '{"a": 1}'):
        memory.write_text(text)
        assert inputs(file).of(["gold"]) == recorded
    digest = whole.split('"')[-2]
    memory.write_text(whole.replace(digest, "0" * 64))  # it is believed, not read again
    assert inputs(file).of(["gold"]) != recorded
