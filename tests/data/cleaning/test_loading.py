"""Which detectors are loaded, and what is checked before."""

from __future__ import annotations

import pytest

from p2i_ray.data.cleaning import loading
from p2i_ray.data.cleaning.settings import CleaningConfig
from p2i_ray.data.cleaning.text import TextCover
from p2i_ray.errors import UserError


def test_people_are_looked_for_by_a_model() -> None:
    assert loading.check(CleaningConfig(people_model="unused")).people_model == "unused"
    with pytest.raises(UserError, match=r"max_people needs ingest\.cleaning\.people_model"):
        loading.check(CleaningConfig(max_people=0))
    with pytest.raises(UserError, match=r"people_model=/nowhere has no config\.json"):
        loading.check(CleaningConfig(max_people=0, people_model="/nowhere"))


def test_detectors_are_loaded_for_the_rules_that_are_on() -> None:
    assert loading.load(CleaningConfig(min_side=3)).text is None
    assert isinstance(loading.load(CleaningConfig(max_text=0)).text, TextCover)
