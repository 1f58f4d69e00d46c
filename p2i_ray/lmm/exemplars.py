"""c_R: pictures that were judged already, shown to the judge before each sample."""

from __future__ import annotations

import io

from p2i_ray import storage
from p2i_ray.config import ImageConfig
from p2i_ray.epbd import images
from p2i_ray.errors import UserError
from p2i_ray.lmm.pictures import fit
from p2i_ray.lmm.prompts import Exemplar
from p2i_ray.lmm.questions import clean_name, image_part

MOST = 8  # each costs as many tokens as a sample


def read(location: str, limits: ImageConfig, max_name_chars: int) -> tuple[Exemplar, ...]:
    """Read exemplars from a Parquet file with the columns name, image, score and, if wanted, reason.

    Raises:
        UserError: the file is not there, lacks a column, has no rows or too many, or a row has no score from 1 to 5,
            no name or no picture.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not storage.exists(location):
        raise UserError(f"exemplars {location} are not there; give a Parquet file with name, image and score")
    try:
        table = pq.read_table(io.BytesIO(storage.read_bytes(location)))
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"exemplars {location} can't be read: {str(error).splitlines()[0]}") from None
    missing = [column for column in ("name", "image", "score") if column not in table.column_names]
    if missing:
        raise UserError(f"exemplars {location} lack the column {', '.join(missing)}; each needs a score from 1 to 5")
    if not 1 <= table.num_rows <= MOST:
        raise UserError(f"exemplars {location} have {table.num_rows} rows; give 1 to {MOST}")
    return tuple(
        _exemplar(row, f"exemplars {location}, row {i}", limits, max_name_chars)
        for i, row in enumerate(table.to_pylist())
    )


def _exemplar(row: dict, where: str, limits: ImageConfig, max_name_chars: int) -> Exemplar:
    score, name = row["score"], clean_name(row["name"], max_name_chars)
    if score not in (1, 2, 3, 4, 5):
        raise UserError(f"{where}: the score is {score!r}; give one from 1 to 5")
    if not name:
        raise UserError(f"{where}: there is no name")
    try:
        picture = fit((row["image"] or {}).get("bytes"), limits)
    except images.ImageError as error:
        raise UserError(f"{where}: {error}") from None
    return Exemplar(name=name, image_part=image_part(picture), score=int(score), reason=str(row.get("reason") or ""))
