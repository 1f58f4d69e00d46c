"""Draw docs/styles.jpg: the toy world's scenes (columns) without a style and in each of its brand styles (rows)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from p2i_ray.mini import styles, world
from p2i_ray.mini.world import CLEAN, RIGHT_SCENE, SCENES

OUT = Path(__file__).resolve().parents[1] / "docs" / "styles.jpg"
SEED = 777


def main() -> None:
    """Draw the first picture of each scene in every style."""
    first: dict[str, int] = {}
    index = 0
    while len(first) < len(SCENES):
        first.setdefault(RIGHT_SCENE[world.render(SEED, index, CLEAN).category], index)
        index += 1
    rows = [[world.render(SEED, first[scene], CLEAN).image for scene in SCENES]]
    rows += [[styles.render(SEED, first[scene], style).image for scene in SCENES] for style in styles.STYLES]
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    Image.fromarray(sheet).save(OUT, quality=70, optimize=True)


if __name__ == "__main__":
    main()
