"""What a spreadsheet would compute stays text."""

from __future__ import annotations

import pytest

from p2i_ray.storage import spreadsheet


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@a", " =1", "\ufeff=1", "＝1", "\tanna"])
def test_a_formula_has_an_apostrophe_in_front(cell: str) -> None:
    assert spreadsheet.as_text(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "anna", "a=1", "<b>", "1"])
def test_all_else_stays_as_it_is(cell: str) -> None:
    assert spreadsheet.as_text(cell) == cell
