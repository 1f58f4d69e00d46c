"""The quality of a cutout in figures, and whether it is too poor to use."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from p2i_ray.data.cutouts.cutter import Cut
from p2i_ray.data.cutouts.settings import CutoutConfig
from p2i_ray.data.errors import ImageError
from p2i_ray.data.images import Pixels

SIDE = 384  # of the copy that is measured, pixels
THIN = 0.02  # parts narrower than this fraction of the product's longer side are thin


class Quality(NamedTuple):
    """Figures of a cutout, 0..1 but for `confidence` and `doubt`; rows of EPBD have them as `quality`."""

    source: str  # where the mask is from: cutout, mask, alpha, or the cutter
    coverage: float  # share of the photo that is product
    border: float  # share of the photo's border that is product
    holes: float  # share of the product's area, holes included, that is holes
    thin: float  # share of the product that lies in thin parts
    disagreement: float | None  # of two cuts: share of what either calls product that the other does not
    confidence: float | None  # GrabCut's likeness of the mask to a product, 0 to about 2.5
    doubt: float  # the largest of the figures as a multiple of its limit; a cutter's is set aside above 1


def measure(mask: Pixels, source: str, settings: CutoutConfig, cut: Cut | None = None) -> Quality:
    """Measure a mask (H, W) that is not empty.

    Args:
        mask: at its photo's size.
        source: where it is from.
        settings: the limits.
        cut: the cutter's result, where it is from there.
    """
    scale = min(1.0, SIDE / max(mask.shape))
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    product = (cv2.resize(mask, size, interpolation=cv2.INTER_AREA) >= 128).astype(np.uint8)
    border = np.concatenate([product[0], product[-1], product[1:-1, 0], product[1:-1, -1]])
    figures = Quality(
        source=source,
        coverage=cv2.countNonZero(product) / product.size,
        border=cv2.countNonZero(border) / border.size,
        holes=_holes(product),
        thin=_thin(product),
        disagreement=cut.disagreement if cut else None,
        confidence=cut.confidence if cut else None,
        doubt=0.0,
    )
    return figures._replace(doubt=max(_shares_of_limits(figures, settings).values()))


def check(quality: Quality, settings: CutoutConfig) -> None:
    """Raise an ImageError if a cutter's cutout is too poor to use."""
    shares = _shares_of_limits(quality, settings)
    worst = max(shares, key=lambda name: shares[name])
    if shares[worst] <= 1:
        return
    found = {
        "border": f"the product touches {quality.border:.0%} of the photo's border",
        "holes": f"{quality.holes:.0%} of the product is holes",
        "thin": f"{quality.thin:.0%} of the product lies in thin parts",
        "disagreement": f"two cuts of the photo differ by {quality.disagreement or 0:.0%}",
    }[worst]
    limit = getattr(settings, f"max_{worst}")
    raise ImageError(f"poor cutout: {found}, more than ingest.cutout.max_{worst}={limit:g} allows")


def _shares_of_limits(quality: Quality, settings: CutoutConfig) -> dict[str, float]:
    figures = {name: getattr(quality, name) for name in ("border", "holes", "thin", "disagreement")}
    return {name: value / getattr(settings, f"max_{name}") for name, value in figures.items() if value is not None}


def _holes(product: Pixels) -> float:
    """The share of the product's area, with what it encloses, that is holes."""
    around = cv2.copyMakeBorder(1 - product, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels = cv2.connectedComponents(around, connectivity=4)
    holes = int(np.count_nonzero(labels) - np.count_nonzero(labels == labels[0, 0]))  # 0 is the product
    return holes / max(holes + cv2.countNonZero(product), 1)


def _thin(product: Pixels) -> float:
    """The share of the product that a disc does not fit into."""
    area = cv2.countNonZero(product)
    if not area:
        return 0.0
    _, _, width, height = cv2.boundingRect(product)
    diameter = max(3, round(THIN * max(width, height)) | 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    padded = cv2.copyMakeBorder(product, *(diameter,) * 4, cv2.BORDER_REPLICATE)  # at the border nothing is thin
    opened = np.asarray(cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc), np.uint8)
    return 1 - cv2.countNonZero(opened[diameter:-diameter, diameter:-diameter] & product) / area
