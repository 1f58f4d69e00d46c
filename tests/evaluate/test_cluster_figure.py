"""The figure of clusters, as it is drawn."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from p2i_ray.evaluate import cluster_figure
from p2i_ray.evaluate.clusters import Points


def test_a_png_that_is_the_same_every_time_also_where_centres_nearly_coincide() -> None:
    rng = np.random.default_rng(0)
    names = [f"category {place}" for place in range(8)]
    centres = np.eye(8)
    centres[4:] = centres[:4] + 0.01 * rng.normal(size=(4, 8))
    painted = np.repeat(centres, 5, axis=0) + 0.2 * rng.normal(size=(40, 8))
    of_each = [name for name in names for _ in range(5)]
    found = Points(names, centres, {"/runs/a": (painted, of_each), "/runs/b": (painted + 0.1, of_each)})
    labels = {"/runs/a": "a: category_distance 60 (50 to 70)", "/runs/b": "b: category_distance 61 (51 to 71)"}
    drawn = cluster_figure.draw(found, labels)
    picture = Image.open(io.BytesIO(drawn))
    assert picture.format == "PNG" and picture.size == (1210, 825)
    assert cluster_figure.draw(found, labels) == drawn
