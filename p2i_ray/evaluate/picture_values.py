"""The values of single pictures, and the features of both sides, as files beside an evaluation's figures.

`values.parquet` has a row for each generated picture that was measured, in order of its id, and a column for each
metric that is a mean of values: null where a picture has none. `features-METRIC.parquet` has the features that a
metric compares: the columns `side` (generated or real), `id` and `features`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from p2i_ray.storage import folders, locations, parquet

FILE = "values.parquet"
FEATURES = "features-"  # begins the names of files with features
GENERATED, REAL = "generated", "real"

Values = Mapping[str, NDArray[np.float64]]  # (N,) by metric; NaN: none


class Side(NamedTuple):
    """Pictures of one side with their features."""

    ids: Sequence[str]
    features: NDArray[np.float64]  # (N, D)


Sides = Mapping[str, Side]  # generated and real


def write(out: str, ids: Sequence[str], values: Values, features: Mapping[str, Sides]) -> None:
    """Write the files of an evaluation.

    Args:
        out: its folder, a path or URI.
        ids: N, of the generated pictures that were measured.
        values: by metric, in the order of the ids.
        features: of both sides, by metric.
    """
    columns = {name: pa.array(found, pa.float64(), from_pandas=True) for name, found in values.items()}  # NaN: null
    table = pa.table({"id": pa.array(ids, pa.string()), **columns})
    parquet.write_table(table.sort_by("id"), locations.join(out, FILE))
    for name, sides in features.items():
        parquet.write_table(_features(sides), locations.join(out, _features_file(name)))


def add(out: str, name: str, values: Mapping[str, float]) -> None:
    """Add a metric's values, by picture, to those of an evaluation's folder."""
    own = pa.table({"id": pa.array(values.keys(), pa.string()), name: pa.array(values.values(), pa.float64())})
    _add(out, own)


def join(other: str, out: str, metrics: Sequence[str]) -> None:
    """Add values and features of the same pictures from another folder; what the other one has of a metric counts."""
    if locations.exists(locations.join(other, FILE)):
        _add(out, parquet.read_parquet(other, [FILE]))
    for file in map(_features_file, metrics):
        if locations.exists(locations.join(other, file)):
            locations.write_bytes(locations.join(out, file), locations.read_bytes(locations.join(other, file)))


def _add(out: str, own: pa.Table) -> None:
    """Add columns to the table of values, in place of those of the same name."""
    location = locations.join(out, FILE)
    if locations.exists(location):
        known = parquet.read_parquet(out, [FILE])
        known = known.select([name for name in known.column_names if name == "id" or name not in own.column_names])
        own = known.join(own, keys="id", join_type="full outer")
    parquet.write_table(own.sort_by("id"), location)


def clear(out: str) -> None:
    """Remove what an unfinished attempt wrote, perhaps of other metrics."""
    for name in folders.names(out, ".parquet"):
        if name == FILE or name.startswith(FEATURES):
            locations.remove(locations.join(out, name))


def read(out: str, name: str) -> dict[str, float] | None:
    """A metric's values by picture; none: the folder has none of this metric."""
    if not locations.exists(locations.join(out, FILE)):
        return None
    table = parquet.read_parquet(out, [FILE])
    if name not in table.column_names:
        return None
    rows = zip(table["id"].to_pylist(), table[name].to_pylist(), strict=True)
    return {picture: value for picture, value in rows if value is not None}


def read_features(out: str, name: str) -> dict[str, Side] | None:
    """The features that a metric compares, of both sides; none: the folder has none of this metric."""
    if not locations.exists(locations.join(out, _features_file(name))):
        return None
    table = parquet.read_parquet(out, [_features_file(name)])
    side = np.array(table["side"].to_pylist())
    ids, column = np.array(table["id"].to_pylist(), object), table["features"].combine_chunks()
    features = np.asarray(column.flatten(), np.float64).reshape(len(column), -1)
    return {one: Side(ids[side == one].tolist(), features[side == one]) for one in (GENERATED, REAL)}


def _features_file(name: str) -> str:
    return f"{FEATURES}{name}.parquet"


def _features(sides: Sides) -> pa.Table:
    """One table; features are kept in single precision where that loses nothing, as of most encoders."""
    every = np.concatenate([side.features for side in sides.values()])
    single = every.astype(np.float32)
    flat = pa.array((single if (single == every).all() else every).ravel())
    columns = {
        "side": [name for name, side in sides.items() for _ in side.ids],
        "id": pa.array([one for side in sides.values() for one in side.ids], pa.string()),
        "features": pa.FixedSizeListArray.from_arrays(flat, every.shape[1]),
    }
    return pa.table(columns).sort_by([("side", "ascending"), ("id", "ascending")])
