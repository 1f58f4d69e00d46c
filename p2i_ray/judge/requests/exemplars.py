"""c_R: pictures with known scores, shown to the judge before each sample.

They are scored by people (a Parquet file, or a folder with a CSV), or come from a round's own scores.
"""

from __future__ import annotations

import csv
import heapq
import io
import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.data import conform, images
from p2i_ray.errors import UserError
from p2i_ray.judge.requests.preprocess import fit
from p2i_ray.judge.requests.prompts import Exemplar
from p2i_ray.judge.requests.tasks import clean_name, image_part
from p2i_ray.storage import locations

MAX_EXEMPLARS = 8  # each takes as many tokens as a sample
CSV = "exemplars.csv"
HIGH, LOW = 4, 2  # a score of HIGH or more, or of LOW or less, is a clear verdict


def read(location: str, limits: ImageConfig, max_name_chars: int) -> tuple[Exemplar, ...]:
    """Read exemplars that people scored.

    Args:
        location: a Parquet file with name, image, score and perhaps reason; or a folder with pictures and
            exemplars.csv, whose columns are file, name, score and perhaps reason.
        limits: of pictures.
        max_name_chars: names are cut after this many characters.

    Raises:
        UserError: nothing is there, it lacks a column, has no rows or too many, or a row has no score from 1 to 5,
            no name, no picture, or a file that is not in the folder; the row is named.
    """
    found = locations.kind(location)
    if found is None:
        raise UserError(
            f"exemplars {location} are not there; give a Parquet file with name, image and score, or a folder with "
            f"pictures and {CSV}"
        )
    where = f"exemplars {location}"
    rows = _read_folder(location, where) if found == "directory" else _read_parquet(location, where)
    return tuple(_exemplar(row, f"{where}, {position}", limits, max_name_chars) for position, row in rows)


def from_settings(settings: JudgeConfig, limits: ImageConfig) -> tuple[Exemplar, ...]:
    """Read the exemplars of settings.exemplars; empty if it is not set. Raises as `read` does."""
    if not settings.exemplars:
        return ()
    return read(locations.absolute(settings.exemplars), limits, settings.max_name_chars)


def choose(scores: pa.Table, number: int) -> list[tuple[str, int]]:
    """Choose c_R of the next round: half with the lowest entropy, high and low scores in turn, half with the highest.

    Ties go by id. The first half takes clear verdicts only (no score of 3); where there are too few of them, rows of
    high entropy take their places.

    Args:
        scores: columns id, score, entropy; rows without a score or an entropy are ignored.
        number: how many; an odd one goes to the first half.

    Returns:
        (id, score), low entropies first; no id twice; fewer if there are fewer rows.

    Raises:
        UserError: there are scores, but no entropies.
    """
    columns = [scores[name].to_pylist() for name in ("id", "score", "entropy")]
    judged = {id_: (score, entropy) for id_, score, entropy in zip(*columns, strict=True) if score is not None}
    known = {id_: (s, h) for id_, (s, h) in judged.items() if h is not None and math.isfinite(h)}
    if judged and not known:
        raise UserError(
            "exemplars can't be chosen: the judge tells no probabilities; set idr.exemplars=0, or "
            "judge.hosted.logprobs=true with a model that tells them"
        )

    def first(ids: Iterable[str], sign: int) -> list[str]:
        return heapq.nsmallest(number, ids, key=lambda id_: (sign * known[id_][1], id_))

    high = first((id_ for id_, (score, _) in known.items() if score >= HIGH), 1)
    low = first((id_ for id_, (score, _) in known.items() if score <= LOW), 1)
    alternating = (id_ for pair in itertools.zip_longest(high, low) for id_ in pair if id_ is not None)
    certain = list(itertools.islice(alternating, (number + 1) // 2))
    uncertain = first(known.keys() - set(certain), -1)
    return [(id_, known[id_][0]) for id_ in (certain + uncertain)[:number]]


Row = tuple[str, dict[str, Any]]  # its position for error messages, and its values


def _read_parquet(location: str, where: str) -> list[Row]:
    """The rows of a Parquet file."""
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(locations.read_bytes(location)))
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{where} can't be read: {str(error).splitlines()[0]}") from None
    _require(("name", "image", "score"), table.column_names, where)
    _check_number(table.num_rows, where)
    return [(f"row {i}", row) for i, row in enumerate(table.to_pylist())]


def _read_folder(folder: str, where: str) -> list[Row]:
    """The rows of a folder's CSV, each with the content of its file."""
    location, where = locations.join(folder, CSV), f"{where}, {CSV}"
    found = locations.kind(location)
    if found is None:
        raise UserError(f"{where} is not there; it has the columns file, name, score and perhaps reason")
    try:
        text = locations.read_text(location).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{where} can't be read: {error.strerror or error}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _require(("file", "name", "score"), header, where)
        for fields in filter(None, reader):
            if len(fields) != len(header):
                raise UserError(
                    f"{where} line {reader.line_num} has {len(fields)} fields, the header {len(header)}; quote texts "
                    "with commas"
                )
            rows.append((f"{CSV} line {reader.line_num}", dict(zip(header, fields, strict=True))))
    except csv.Error as error:
        raise UserError(f"{where} line {reader.line_num}: {error}") from None
    _check_number(len(rows), where)
    return [
        (position, {**row, "score": _score(row["score"]), "image": _content(folder, row["file"].strip(), position)})
        for position, row in rows
    ]


def _content(folder: str, file: str, position: str) -> bytes:
    """The content of a file, which must be inside the folder, also after symbolic links are resolved."""
    where = f"exemplars {folder}, {position}"
    is_outside = (
        file.startswith(("/", "~")) or ".." in file.split("/") or any(part in file for part in ("::", "\\", "\0"))
    )
    if not is_outside and not locations.is_uri(folder):
        is_outside = not Path(folder, file).resolve().is_relative_to(Path(folder).resolve())
    if is_outside or locations.is_uri(file):
        raise UserError(f"{where}: the file {file!r} is not in the folder; give a path below it")
    location = locations.join(folder, file)
    if not file or not locations.exists(location):
        raise UserError(f"{where}: the file {file!r} is not there")
    try:
        return locations.read_bytes(location)
    except OSError as error:
        raise UserError(f"{where}: the file {file!r} can't be read: {error.strerror or error}") from None


def _score(text: str) -> int | str | None:
    """The score in a CSV field; the text itself where it is not a score, for the error message."""
    text = text.strip()
    return int(text) if text in ("1", "2", "3", "4", "5") else text or None


def _require(columns: tuple[str, ...], found: list[str], where: str) -> None:
    conform.check_once(found, columns, where)
    if missing := [column for column in columns if column not in found]:
        raise UserError(f"{where} lack the column {', '.join(missing)}; each row needs a score from 1 to 5")


def _check_number(number: int, where: str) -> None:
    if not 1 <= number <= MAX_EXEMPLARS:
        raise UserError(f"{where}: there are {number} rows; give 1 to {MAX_EXEMPLARS}")


def _exemplar(row: dict[str, Any], where: str, limits: ImageConfig, max_name_chars: int) -> Exemplar:
    score, name, image = row["score"], row["name"], row["image"]
    if score is None:
        raise UserError(f"{where}: there is no score; give one from 1 to 5")
    if isinstance(score, bool) or score not in (1, 2, 3, 4, 5):
        raise UserError(f"{where}: the score is {score!r}; give one from 1 to 5")
    name = clean_name(name, max_name_chars) if isinstance(name, str) else ""
    if not name:
        raise UserError(f"{where}: there is no name")
    encoded = image.get("bytes") if isinstance(image, dict) else image
    try:
        picture = fit(encoded if isinstance(encoded, bytes) else None, limits)
    except images.ImageError as error:
        raise UserError(f"{where}: {error}") from None
    return Exemplar(name=name, image_part=image_part(picture), score=int(score), reason=str(row.get("reason") or ""))
