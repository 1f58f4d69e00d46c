"""Of pictures that look alike the first id's is kept, in any order of the rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from PIL import Image

from p2i_ray.data.cleaning.duplicates import superfluous
from p2i_ray.data.near_duplicates import BYTES, fingerprint


def test_the_first_id_is_kept() -> None:
    draw = np.random.default_rng(0)
    photos = [
        np.asarray(Image.fromarray(draw.integers(0, 255, (6, 6, 3), np.uint8)).resize((96, 96))) for _ in range(3)
    ]
    smaller = np.asarray(Image.fromarray(photos[0]).resize((60, 60)))
    found = [fingerprint(one) for one in (photos[0], photos[1], smaller, photos[2])]

    def superfluous_of(ids: list[str], settled: int = 0) -> dict[int, str]:
        prints = np.frombuffer(b"".join(found[: len(ids)]), np.uint8).reshape(-1, BYTES)
        lines = superfluous(pa.chunked_array([ids], pa.string()), prints, settled)
        return dict(zip(lines["place"].to_pylist(), lines["like"].to_pylist(), strict=True))

    assert superfluous_of(["d", "c", "b", "a"]) == {0: "b"}
    assert superfluous_of(["a", "c", "b", "d"]) == {2: "a"}
    assert superfluous_of(["d", "c", "b", "a"], settled=1) == {2: "d"}  # it is there, and its id comes later
    assert superfluous_of([]) == superfluous_of(["x"]) == {}
