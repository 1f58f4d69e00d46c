"""Measure whether painted backgrounds have their reference's style: `python -m p2i_ray.mini.style_share`.

    python -m p2i_ray.mini.style_share --data data/mini-styles --split test --painted runs/by-style

`style_share` is the share of pictures whose style, as the held-out classifier sees it, is that of the reference; the
prefix same_ or other_ says that reference and product are of one category, or of two. `scene_share` is the share whose
scene suits the category. `patch_distance` is that to the picture's own reference, `patch_distance_other` to another
row's reference of the same style and scene: if the first is far smaller, the reference was copied (see
evaluate/metrics/patch_distance.py); `patch_distance_gap` is the second less the first. All are means over the
`patch_distance_pictures` for which there is such another row. Without --painted the split's own pictures are measured:
what is wanted, and so how high a share can be. The truth is read, so this is for measuring alone.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from p2i_ray.data.images import Pixels, has_picture, product_mask
from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics import bootstrap
from p2i_ray.evaluate.metrics.metric import Figures, enough
from p2i_ray.evaluate.metrics.patch_distance import patch_distance
from p2i_ray.mini import style_classifier
from p2i_ray.mini.style_classifier import StyleClassifier
from p2i_ray.mini.style_data import TRUTH_FILE
from p2i_ray.mini.world import RIGHT_SCENE


@dataclass(frozen=True)
class Painted:
    """One painted picture, and what is known of it."""

    picture: Pixels  # (64, 64, 3)
    mask: Pixels  # (64, 64), 255 = product
    category: str
    style: str  # of the reference
    same_category: bool  # the reference shows a product of the same category
    reference_scene: str
    reference: Pixels  # (64, 64, 3)
    reference_mask: Pixels


def share(found: Sequence[str], wanted: Sequence[str], name: str = "style_share") -> Figures:
    """The share of places where two lists agree, 0..1, and the ends of its 95 % interval: NAME_low and NAME_high.

    Raises:
        UserError: there are fewer than two.
    """
    enough(name, 2, generated=len(found))
    return bootstrap.of_mean(name, np.array([a == b for a, b in zip(found, wanted, strict=True)], np.float64))


def figures(rows: Sequence[Painted], classifier: StyleClassifier) -> Figures:
    """All figures of the module's head; a share of fewer than two pictures is left out, but for the first.

    Args:
        rows: painted pictures.
        classifier: of styles and scenes.

    Raises:
        UserError: there are fewer than two rows.
    """
    enough("style_share", 2, generated=len(rows))
    images, masks = np.stack([row.picture for row in rows]), np.stack([row.mask for row in rows])
    found, wanted = classifier.styles_of(images, masks), [row.style for row in rows]
    measured = share(found, wanted)
    for prefix, same in (("same_", True), ("other_", False)):
        part = [place for place, row in enumerate(rows) if row.same_category == same]
        if len(part) > 1:
            measured |= share([found[i] for i in part], [wanted[i] for i in part], f"{prefix}style_share")
    scenes = [RIGHT_SCENE[row.category] for row in rows]
    measured |= share(classifier.scenes_of(images, masks), scenes, "scene_share")
    return measured | _distances(rows)


def _distances(rows: Sequence[Painted]) -> Figures:
    own, other = [], []
    for row, second in zip(rows, partners(rows), strict=True):
        if second is not None:
            own.append(patch_distance(row.picture, row.mask, row.reference, row.reference_mask))
            other.append(patch_distance(row.picture, row.mask, second.reference, second.reference_mask))
    values = np.array([own, other], np.float64).reshape(2, -1)
    values = values[:, ~np.isnan(values).any(0)]
    if values.shape[1] < 2:
        return {}
    names = ("patch_distance", "patch_distance_other")
    found = {k: v for name, one in zip(names, values, strict=True) for k, v in bootstrap.of_mean(name, one).items()}
    found |= bootstrap.of_mean("patch_distance_gap", values[1] - values[0])
    return found | {"patch_distance_pictures": float(values.shape[1])}


def partners(rows: Sequence[Painted]) -> list[Painted | None]:
    """For each row the next one, in a circle, whose reference has the same style and scene; none if there is no other.

    A reference of another style or scene would be further away in any case, copied or not.
    """
    alike: dict[tuple[str, str], list[int]] = {}
    for place, row in enumerate(rows):
        alike.setdefault((row.style, row.reference_scene), []).append(place)
    found: list[Painted | None] = [None] * len(rows)
    for places in alike.values():
        if len(places) > 1:
            for at, after in zip(places, [*places[1:], places[0]], strict=True):
                found[at] = rows[after]
    return found


def read(data: Path, split: str, painted: Path | None = None) -> tuple[list[Painted], list[str]]:
    """The painted pictures of a split, in the split's order, with the truth about them.

    Args:
        data: a folder that p2i_ray.mini.style_data made.
        split: one that has references.
        painted: Parquet files as jobs/generate.py writes them; none: the split's own pictures.

    Returns:
        The pictures, and a line for each row that has none: its id and why.

    Raises:
        UserError: a folder lacks what is to be read.
    """
    if not (data / TRUTH_FILE).is_file():
        raise UserError(f"{data} has no {TRUTH_FILE}; make it with python -m p2i_ray.mini.style_data --out {data}")
    truth = {row["id"]: row for row in pq.read_table(data / TRUTH_FILE).to_pylist()}
    rows = _rows(data / split)
    if "reference" not in rows[0]:
        raise UserError(f"{data / split} has no references; measure a split that has, such as test")
    pictures = {row["id"]: row for row in (rows if painted is None else _rows(painted))}
    found, missing = [], []
    for row in rows:
        picture = pictures.get(row["id"])
        if picture is None or not has_picture(picture["image"]):
            missing.append(f"{row['id']}: {'not painted' if picture is None else picture.get('error') or 'no picture'}")
            continue
        one = _painted(row, picture["image"], truth[row["id"]])
        if one.picture.shape[:2] == one.mask.shape:
            found.append(one)
        else:
            missing.append(f"{row['id']}: {one.picture.shape[1]}x{one.picture.shape[0]} pixels, its cutout has others")
    return found, missing


def _rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.parquet"))
    rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    if not rows:
        raise UserError(f"{folder} has no rows in Parquet files; is it the right folder?")
    return rows


def _painted(row: Mapping[str, Any], image: Mapping[str, Any], truth: Mapping[str, Any]) -> Painted:
    return Painted(
        picture=np.asarray(_open(image).convert("RGB")),
        mask=product_mask(_open(row["cutout"])),
        category=row["category"],
        style=truth["style"],
        same_category=truth["same_category"],
        reference_scene=RIGHT_SCENE[truth["reference_category"]],
        reference=np.asarray(_open(row["reference"])),
        reference_mask=product_mask(_open(row["reference_cutout"])),
    )


def _open(image: Mapping[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(image["bytes"]))


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/mini-styles"), help="what style_data made")
    parser.add_argument("--split", default="test", help="validation, test or test_unseen")
    parser.add_argument("--painted", type=Path, help="a folder that jobs/generate.py wrote")
    arguments = parser.parse_args()
    try:
        rows, missing = read(arguments.data, arguments.split, arguments.painted)
        measured = figures(rows, style_classifier.load())
    except UserError as error:
        parser.error(str(error))
    print(json.dumps({"pictures": len(rows), "missing": len(missing)} | measured, indent=2))
    for line in missing[:5]:
        print(f"left out {line}", file=sys.stderr)


if __name__ == "__main__":
    main()
