"""The list of flaws: what can be counted, and what the default covers."""

from __future__ import annotations

import pytest

from p2i_ray.config import Config, load
from p2i_ray.config.flaws import DEFAULT, find_mistake, name_of
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.errors import UserError


def test_the_default_goes_beyond_the_toy_judge_s_list() -> None:
    names = [name_of(flaw) for flaw in DEFAULT]
    assert list(load(Config, "mini").judge.flaws) == names[:5]  # which it was trained on, in this order
    assert {"unreal", "wrong light", "wrong scale", "wrong perspective", "floating", "grown product"} <= set(names)
    assert load(Config, "a100x4").judge.flaws == DEFAULT and find_mistake(DEFAULT) is None


@pytest.mark.parametrize(
    ("flaws", "line"),
    [
        ("[]", "the list is empty; name at least one flaw"),
        ("[blur, 'blur - soft']", "the flaw 'blur' is named 2 times; name each once"),
        ("['']", "the flaw '' needs a name of 1 to 40 characters"),
        ("[' - soft']", "the flaw ' - soft' needs a name"),
        ('["two\\nlines"]', "needs a name of 1 to 40 characters"),
        (f"[{'x' * 41}]", "needs a name of 1 to 40 characters"),
    ],
)
def test_a_list_that_cannot_be_counted_is_refused_in_a_line(flaws: str, line: str) -> None:
    with pytest.raises(UserError) as refused:
        load(Config, "mini", [f"judge.flaws={flaws}"])
    assert line in str(refused.value) and "\n" not in str(refused.value)


def test_only_flaws_that_the_judge_may_name_are_tolerated() -> None:
    assert load(ServeJobConfig, "mini", ["serve.tolerated_flaws=[clutter]"]).serve.tolerated_flaws == ("clutter",)
    with pytest.raises(UserError, match=r"serve\.tolerated_flaws: 'cluter' is none of judge\.flaws, which are wrong"):
        load(ServeJobConfig, "mini", ["serve.tolerated_flaws=[cluter]"])
