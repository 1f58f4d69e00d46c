"""The truth report: whether a picture shows the product as it was sent, measured on every picture."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from p2i_ray.config.flaws import CHANGED_LABEL, CHANGED_PRODUCT, GROWN_PRODUCT
from p2i_ray.config.truth import TruthConfig
from p2i_ray.data.images import Pixels
from p2i_ray.evaluate.metrics import product_truth
from p2i_ray.serve.images.expansion import expansion
from p2i_ray.serve.images.label import LabelReader, same_text

OWN = 128  # alpha from which a pixel is the product's
MOST = 20_000  # pixels whose colours are compared: the mean of so many is as good as that of all, and takes 10 ms
DIGITS = 4


class _Shown(NamedTuple):
    """See product_truth.ShownProduct."""

    picture: Pixels
    cutout: Pixels
    mask: Pixels


@dataclass(frozen=True)
class TruthReport:
    """The report on a picture's truth to its product.

    Attributes:
        unchanged: fraction of the product's pixels that are as they were sent, 0..1, give or take 2 of 255; see
            `as_sent` (none: it has no pixel).
        colour: mean CIEDE2000 difference of its pixels, 0 or more, below 1 not visible; none as above.
        expansion: its growth beyond its outline, as a fraction of its area, 0 or more.
        seam: mean CIEDE2000 difference across its outline, 0..about 100; none: it has no outline.
        label: the text read on the product, before and after; none: it was not read.
        file_unchanged, file_colour: the same as unchanged and colour, of the file, where its format has lost something:
            no fault of the picture; none: it is as it was painted.
    """

    unchanged: float | None
    colour: float | None
    expansion: float
    seam: float | None
    label: tuple[str, str] | None = None
    file_unchanged: float | None = None
    file_colour: float | None = None

    def faults(self, limits: TruthConfig) -> list[str]:
        """The names of what is not true, of config.flaws; none: the product is faultless."""
        found = []
        changed = self.unchanged is not None and self.unchanged < limits.min_unchanged
        if changed or (self.colour is not None and self.colour > limits.max_colour):
            found.append(CHANGED_PRODUCT)
        if self.expansion > limits.max_expansion:
            found.append(GROWN_PRODUCT)
        if self.label is not None and not same_text(*self.label):
            found.append(CHANGED_LABEL)
        return found

    def metadata(self, limits: TruthConfig) -> dict[str, Any]:
        """The report as a response has it."""
        fields: dict[str, Any] = {"faultless": not (faults := self.faults(limits)), "faults": faults}
        for name in ("unchanged", "colour", "expansion", "seam"):
            value = getattr(self, name)
            fields[name] = None if value is None else round(value, DIGITS)
        for name in ("file_unchanged", "file_colour"):
            if (value := getattr(self, name)) is not None:
                fields[name] = round(value, DIGITS)
        if self.label is not None:
            fields |= {"text_before": self.label[0], "text_after": self.label[1]}
        return fields


def report(picture: Pixels, product: Pixels, mask: Pixels, reader: LabelReader | None = None) -> TruthReport:
    """Measure a painted picture.

    Args:
        picture: (H, W, 3) uint8.
        product: the product as it was sent, on the same canvas, (H, W, 3) uint8.
        mask: its alpha, (H, W) uint8.
        reader: reads the label (none: it is not read).
    """
    shown = _Shown(picture, as_sent(picture, product, mask), _own(mask))
    label = None
    if reader is not None:
        label = (reader(_on_white(product, mask)), reader(_on_white(picture, mask)))
    return TruthReport(
        unchanged=_known(product_truth.unchanged(shown)),
        colour=_known(product_truth.colour(_thinned(shown))),
        expansion=expansion(picture, mask),
        seam=_known(product_truth.seam(shown)),
        label=label,
    )


def of_file(found: TruthReport, file: bytes, product: Pixels, mask: Pixels) -> TruthReport:
    """The report of a picture with what its file has lost, as JPEG's and WebP's do.

    Args:
        found: of the picture as it was painted.
        file: its encoded content.
        product: as it would be without loss, (H, W, 3) uint8.
        mask: see `report`.
    """
    with Image.open(io.BytesIO(file)) as decoded:
        shown = _Shown(np.asarray(decoded.convert("RGB")), product, _own(mask))
    unchanged, colour = product_truth.unchanged(shown), product_truth.colour(_thinned(shown))
    return replace(found, file_unchanged=_known(unchanged), file_colour=_known(colour))


def as_sent(picture: Pixels, product: Pixels, mask: Pixels) -> Pixels:
    """A picture (H, W, 3) in which every pixel of the product is as it was sent; the scene's are those of the picture.

    Through a pixel of alpha a < 1 some of the scene is seen, so that it may have any colour from a F to a F + (1 - a)
    white, F being the product's: it becomes the one of them that is nearest to the picture's.

    Args:
        picture: (H, W, 3) uint8.
        product: see `report`.
        mask: see there.
    """
    own = mask >= OWN
    share = mask[own, None].astype(np.float32) / 255
    least = share * product[own]
    sent = picture.copy()
    sent[own] = np.clip(picture[own], least, least + 255 * (1 - share)).round().astype(np.uint8)
    return sent


def _own(mask: Pixels) -> Pixels:
    """The mask (H, W) of the pixels that are compared."""
    return np.where(mask >= OWN, np.uint8(255), np.uint8(0))


def _thinned(shown: _Shown) -> _Shown:
    """The same with about MOST of the product's pixels: of as many equal parts of them, one of each.

    Which one is drawn, the same each time: at even steps, a column of a box or of JPEG's blocks would stand for all.
    """
    own = np.flatnonzero(shown.mask == 255)
    if len(own) <= MOST:
        return shown
    chosen = np.zeros(shown.mask.size, np.uint8)
    drawn = np.arange(MOST) + np.random.default_rng(0).random(MOST)
    chosen[own[(drawn * (len(own) / MOST)).astype(np.intp)]] = 255
    return shown._replace(mask=chosen.reshape(shown.mask.shape))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _on_white(picture: Pixels, mask: Pixels) -> Pixels:
    """The product alone, on white: the scene's own texts don't count."""
    share = mask[..., None].astype(np.float32) / 255  # (H, W, 1)
    return np.round(picture * share + 255 * (1 - share)).astype(np.uint8)
