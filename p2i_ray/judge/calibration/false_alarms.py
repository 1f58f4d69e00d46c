"""False alarms: how often a critique names a flaw in a picture that is known to have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from p2i_ray.judge.calibration.proportions import Proportion, proportion

if TYPE_CHECKING:
    import pyarrow as pa


class FalseAlarms(BaseModel):
    """Critiques of clean pictures."""

    model_config = ConfigDict(frozen=True)

    set_aside: int  # clean pictures that the judge could not criticise
    flagged: Proportion | None  # pictures in which any flaw is named; none: no picture was criticised
    by_flaw: dict[str, Proportion]  # name -> pictures in which it is named


def false_alarms(critiques: pa.Table, known: Sequence[str]) -> FalseAlarms:
    """Count what is named in clean pictures.

    Args:
        critiques: of clean pictures: `flaws` (names) and `error` (null where there is an answer).
        known: the names that a critique may choose from.
    """
    rows = critiques.select(["flaws", "error"]).to_pylist()
    named = [row["flaws"] or [] for row in rows if row["error"] is None]
    shares = {flaw: proportion(sum(flaw in one for one in named), len(named)) for flaw in known}
    return FalseAlarms(
        set_aside=len(rows) - len(named),
        flagged=proportion(sum(map(bool, named)), len(named)),
        by_flaw={flaw: share for flaw, share in shares.items() if share is not None},
    )
