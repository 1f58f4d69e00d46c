"""Guidance that a run's judge has learned, beside the model that the run has trained: MODEL/judge/, our own files.

    guidance.json       the last feedback, the score below which nothing was kept, and of which judge and round it is
    exemplars.parquet   c_R as the last round showed it; none where there were no exemplars

With it another judge of the same kind scores as that of the run did after its last round (Eq. 8).
"""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from p2i_ray.config import ImageConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.requests import exemplars
from p2i_ray.judge.requests.prompts import MAX_CHARS, Exemplar
from p2i_ray.storage import locations

FOLDER, FILE, EXEMPLARS = "judge", "guidance.json", "exemplars.parquet"


class Guidance(BaseModel):
    """Feedback and exemplars that sharpen a judge.

    Attributes:
        feedback: f_R of Eq. 7; empty: there is none.
        cap: highest score of a picture that shows what the feedback names, 1..5; see ScoreTask.
        judge: the judge's model, see `short_name`.
        round: the feedback's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    feedback: str = Field("", max_length=MAX_CHARS)
    cap: int = Field(3, ge=1, le=5)
    judge: str = ""
    round: int = Field(0, ge=0)


def short_name(model: str) -> str:
    """A judge's model without its folders: no path of a machine travels with the guidance."""
    return model.rstrip("/").rpartition("/")[2]


def folder(model: str) -> str:
    """The location of a model's guidance."""
    return locations.join(model, FOLDER)


def files(guidance: Guidance, shown: tuple[Exemplar, ...]) -> dict[str, bytes]:
    """The files of a guidance, by their paths in the model's folder."""
    found = {f"{FOLDER}/{FILE}": guidance.model_dump_json(indent=1).encode()}
    if shown:
        rows: list[dict[str, Any]] = [
            {"name": one.name, "image": one.image_part["image"], "score": one.score, "reason": one.reason}
            for one in shown
        ]
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), out)
        found[f"{FOLDER}/{EXEMPLARS}"] = out.getvalue()
    return found


def read(model: str, limits: ImageConfig, max_name_chars: int) -> tuple[Guidance, tuple[Exemplar, ...]]:
    """A model's guidance and exemplars; both empty where the folder has none.

    Args:
        model: location of the model folder.
        limits: of the exemplars' pictures.
        max_name_chars: names are cut after this many characters.

    Raises:
        UserError: a file is none of ours, or an exemplar can't be used.
    """
    where = locations.join(folder(model), FILE)
    if not locations.exists(where):
        return Guidance(), ()
    try:
        guidance = Guidance.model_validate_json(locations.read_bytes(where))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{where} can't be used: {'.'.join(map(str, first['loc']))}: {first['msg']}; publish the run again, remove "
            "the folder, or set serve.sharpened=false"
        ) from None
    shown = locations.join(folder(model), EXEMPLARS)
    return guidance, exemplars.read(shown, limits, max_name_chars) if locations.exists(shown) else ()
