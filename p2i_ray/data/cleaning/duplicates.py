"""Of pictures that look alike one is kept: that of the first id in the alphabet, whatever the order of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data import mapped_rows, near_duplicates

if TYPE_CHECKING:
    import pyarrow as pa


def superfluous(ids: pa.ChunkedArray, fingerprints: NDArray[np.uint8], settled: int = 0) -> pa.Table:
    """The rows that look like another that is kept: their places, which ascend, and that one's id in `like`.

    Args:
        ids: of the rows.
        fingerprints: of their pictures, (rows, near_duplicates.BYTES).
        settled: so many rows at the start are kept in any case.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    places, ends = np.unique(near_duplicates.pairs(fingerprints), return_inverse=True)  # rows that look like another
    if not len(places):
        return pa.table({"place": pa.array([], pa.int64()), "like": pa.array([], pa.string())})
    component = near_duplicates.connected(ends.reshape(-1, 2), len(places))
    own = mapped_rows.take(pa.table({"id": ids}), places)["id"]
    alike = pa.table({"component": component, "new": places >= settled, "id": own})
    # Those that are settled come before others.
    order = pc.sort_indices(alike, [(column, "ascending") for column in alike.column_names]).to_numpy()
    first = order[np.unique(component[order], return_index=True)[1]]  # row of each component
    found = pa.table({"place": places, "like": alike["id"].take(pa.array(first[component]))})
    return found.filter(pc.and_(alike["new"], pc.not_equal(found["like"], alike["id"])))
