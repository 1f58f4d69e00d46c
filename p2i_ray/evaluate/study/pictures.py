"""A study's pictures: small ones for the page, and the whole ones as data, for the judge and its calibration."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import ImageError, decode, encoded
from p2i_ray.data.schema import SCHEMA
from p2i_ray.errors import UserError
from p2i_ray.evaluate.study import evaluations
from p2i_ray.evaluate.study.evaluations import Evaluated
from p2i_ray.evaluate.study.study import PICTURES, SPLIT, Study
from p2i_ray.storage import locations, parquet

QUALITY = 90  # of WebP; small pictures are kept as they are
LOSSLESS_SIDE = 128  # pixels
CUTOUT_SIDE = 256  # longest side of a cutout on the page, pixels
ROW_GROUP = 16  # rows with pictures

log = logging.getLogger(__name__)


class Shown(NamedTuple):
    """A product on the page."""

    name: str
    cutout: bytes  # WebP
    painted: dict[str, bytes]  # method -> WebP


class _Look(NamedTuple):
    name: str
    product: str  # digest of the cutout's pixels
    shape: float  # width by height of the picture
    webp: bytes
    cutout: bytes


def encode(evaluated: Sequence[Evaluated], ids: Sequence[str], *, image: ImageConfig, side: int) -> dict[str, Shown]:
    """The pictures of these products, all encoded alike and without metadata; products in the order of `ids`.

    A product with a picture that can't be read is left out, and a warning says so.

    Args:
        evaluated: the methods.
        ids: products that all have painted.
        image: limits of pictures.
        side: longest side on the page, pixels.

    Raises:
        UserError: methods have painted different products under one id, or no picture can be read.
    """
    looks: dict[str, dict[str, _Look]] = {product: {} for product in ids}
    broken: dict[str, str] = {}
    for one in evaluated:
        for row in evaluations.rows(one, ids):
            try:
                looks[row["id"]][one.name] = _look(row, image, side)
            except ImageError as error:
                broken.setdefault(row["id"], f"{one.folder}, {row['id']}: {error}")
    if broken:
        log.warning("%d of %d products are left out; %s", len(broken), len(ids), next(iter(broken.values())))
    good = {product: looks[product] for product in ids if product not in broken}
    if not good:
        raise UserError(f"no product has pictures that can be read; {next(iter(broken.values()))}")
    _compare(evaluated, good)
    first = evaluated[0].name
    return {
        product: Shown(of[first].name, of[first].cutout, {method: look.webp for method, look in of.items()})
        for product, of in good.items()
    }


def _look(row: dict[str, Any], image: ImageConfig, side: int) -> _Look:
    painted = decode(encoded(row["image"]), image).convert("RGB")
    cutout = decode(encoded(row["cutout"]), image).convert("RGBA")
    pixels = hashlib.sha256(repr(cutout.size).encode() + cutout.tobytes()).hexdigest()
    return _Look(
        name=row["name"],
        product=pixels,
        shape=painted.width / painted.height,
        webp=_webp(painted, side),
        cutout=_webp(cutout, CUTOUT_SIDE),
    )


def _webp(picture: Image.Image, side: int) -> bytes:
    """The pixels, no side longer than `side`, and nothing else of the file: metadata could name a method."""
    bare = Image.fromarray(np.asarray(picture))
    bare.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    bare.save(out, "WEBP", lossless=max(bare.size) <= LOSSLESS_SIDE, quality=QUALITY)
    return out.getvalue()


def _compare(evaluated: Sequence[Evaluated], looks: dict[str, dict[str, _Look]]) -> None:
    """Check that the methods have painted the same products, and warn where shapes tell them apart."""
    odd = 0
    for product, of in looks.items():
        first, *others = evaluated
        for other in others:
            for what in ("name", "product"):
                if getattr(of[first.name], what) != getattr(of[other.name], what):
                    called = "name" if what == "name" else "cutout"
                    raise UserError(
                        f"{first.folder} and {other.folder} have different {called}s of {product}; paint the same data"
                    )
        odd += len({round(look.shape, 2) for look in of.values()}) > 1
    if odd:
        log.warning(
            "%d of %d products have pictures of different shapes, by which raters could tell methods apart; "
            "paint them with the same image.resolution and image.aspect_ratios",
            *(odd, len(looks)),
        )


def write(evaluated: Sequence[Evaluated], made: Study, out: str) -> None:
    """Write the studied pictures as they were painted, as data with the split `SPLIT`; ids are the pictures' keys."""
    import pyarrow as pa

    keys = {(one.product, one.method): key for key, one in made.pictures.items()}
    for number, one in enumerate(evaluated):
        found = list(evaluations.rows(one, list(made.products)))
        table = pa.Table.from_pylist([{**row, "id": keys[row["id"], one.name]} for row in found], schema=SCHEMA)
        file = locations.join(out, PICTURES, SPLIT, f"part-{number}.parquet")
        parquet.write_table(table, file, ROW_GROUP)
