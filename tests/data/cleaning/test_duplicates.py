"""Of pictures that look alike the first id's is kept, in any order of the rows."""

from __future__ import annotations

import numpy as np
from PIL import Image

from p2i_ray.data.cleaning.duplicates import superfluous
from p2i_ray.data.near_duplicates import fingerprint


def test_the_first_id_is_kept() -> None:
    draw = np.random.default_rng(0)
    photos = [
        np.asarray(Image.fromarray(draw.integers(0, 255, (6, 6, 3), np.uint8)).resize((96, 96))) for _ in range(3)
    ]
    smaller = np.asarray(Image.fromarray(photos[0]).resize((60, 60)))
    found = [fingerprint(one) for one in (photos[0], photos[1], smaller, photos[2])]
    assert superfluous(["d", "c", "b", "a"], found) == {0: "b"}
    assert superfluous(["a", "c", "b", "d"], found) == {2: "a"}
    assert superfluous([], []) == superfluous(["x"], found[:1]) == {}
