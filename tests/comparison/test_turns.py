"""Work in turn and beside, and where there is room for both."""

from __future__ import annotations

import threading

import pytest

from p2i_ray.cluster import resources
from p2i_ray.comparison.turns import Turns, room_beside
from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.run import step_table


def test_in_turn_the_work_is_done_before_take_returns() -> None:
    turns: Turns[int] = Turns(beside=False, name="test")
    threads = []
    turns.take(lambda: threads.append(threading.current_thread()) or [1, 2])  # type: ignore[func-returns-value]
    assert threads == [threading.current_thread()]
    turns.take(lambda: [3])
    assert turns.finish() == [1, 2, 3]


def test_beside_the_caller_goes_on_and_pieces_follow_each_other() -> None:
    turns: Turns[int] = Turns(beside=True, name="test")
    gone_on, order = threading.Event(), []

    def first() -> list[int]:
        assert gone_on.wait(10)  # in turn this would never be set
        order.append("first")
        return [1]

    turns.take(first)
    turns.take(lambda: order.append("second") or [2])  # type: ignore[func-returns-value]
    gone_on.set()
    assert turns.finish() == [1, 2]
    assert order == ["first", "second"]


@pytest.mark.parametrize("beside", [False, True])
def test_what_the_work_raises_is_raised(beside: bool) -> None:
    turns: Turns[int] = Turns(beside=beside, name="test")

    def fails() -> list[int]:
        raise UserError("no room")

    later: list[int] = []
    with pytest.raises(UserError, match="no room"):
        turns.take(fails)
        turns.take(lambda: later.append(1) or [1])  # type: ignore[func-returns-value]
        turns.finish()
    assert not later


@pytest.mark.parametrize(
    ("preset", "settings", "expected"),
    [
        ("mini-tables", [], True),  # a core for each
        ("mini-tables", ["idr.overlap=false"], False),
        ("mini-tables", ["judge.keep_warm=false"], False),
        ("mini-tables", ["generate.num_workers=4", "generate.num_cpus=0.5"], False),  # 2 CPUs for painting alone
        ("mini", [], False),  # two processes of half a CPU on both sides, and the judge
    ],
)
def test_two_cpus_have_room_for_the_tables_preset_beside_itself(
    preset: str, settings: list[str], expected: bool
) -> None:
    config = load(Config, preset, [*settings])
    evaluations = [(resources.generate(config.generate),), (resources.evaluate(config.evaluate),)]
    arms = [*step_table.phases(config), *evaluations]
    assert room_beside(config, arms, evaluations, [{"CPU": 2.0}]) is expected
