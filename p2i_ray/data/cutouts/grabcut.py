"""Product cutouts from ordinary photos: without weights, by colour, contrast and place.

A product is near the middle, differs from what lies along the frame, and has a visible outline. OpenCV's GrabCut
starts from four guesses on a small copy (what is salient, what is in focus, a disc and a large disc in the middle).
The mask that looks most like a product is chosen; its gaps are closed, it is cut once more on a larger copy, and
resized to the photo with a soft edge. Where nothing looks like a product, the photo is set aside: a wrong mask
harms training more than a missing row.

All arrays are uint8, height x width (x channels, RGB); masks within this file are 0 or 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from p2i_ray.data.cutouts.cutter import Cut
from p2i_ray.data.cutouts.networks import difference
from p2i_ray.data.cutouts.saliency import saliency_of
from p2i_ray.data.cutouts.settings import CutoutConfig
from p2i_ray.data.images import ImageError, Pixels

CANDIDATE_SIDE = 176  # pixels; guesses are compared on this copy
DETAIL = 2  # channel of the focus view
ITERATIONS = 4  # of GrabCut; more moves the outline by less than a pixel


class GrabCutter:
    """Cut photos without weights, one after another."""

    kind = "grabcut"

    def __init__(self, settings: CutoutConfig) -> None:
        self._settings = settings

    def cut(self, photos: Sequence[Pixels]) -> list[Cut | ImageError]:
        """See Cutter."""
        return [self._cut(photo) for photo in photos]

    def _cut(self, photo: Pixels) -> Cut | ImageError:
        try:
            return find_product(photo, self._settings)
        except ImageError as error:
            return error


def find_product(photo: Pixels, settings: CutoutConfig) -> Cut:
    """Cut a product out of a photo (H, W, 3).

    Returns:
        The mask with a soft edge; how far the two likeliest guesses differ; and the likeness of the likeliest.

    Raises:
        ImageError: nothing in the photo looks like a product.
    """
    cv2.setNumThreads(1)  # as many photos as cores are cut at once already
    working = _shrink(photo, settings.working_side)
    focus = _focus_of(working)
    best, second, *_ = sorted(_candidates(working, focus), key=lambda candidate: -candidate[0])
    confidence, mask, view = best
    if confidence < max(settings.min_confidence, 1e-6):
        found = f"confidence {max(confidence, 0):.2f}, below {settings.min_confidence:g}"
        raise ImageError(f"no product found: the best outline has {found}")
    apart = difference(mask > 0, second[1] > 0)
    return Cut(_soft(_refine(view, _resize(mask, working)), photo.shape[:2]), apart, confidence)


def _candidates(working: Pixels, working_focus: Pixels) -> Iterator[tuple[float, Pixels, Pixels]]:
    """Yield likeness, mask (h, w) of the small copy, and the view of the photo in which it was cut."""
    photo, focus = _shrink(working, CANDIDATE_SIDE), _shrink(working_focus, CANDIDATE_SIDE)
    height, width = photo.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    radius = np.hypot(x, y)  # 1 touches the frame
    mask = _clean(_grabcut(photo, _start(saliency_of(photo), 0.6, 0.25)))
    yield _likeness(photo, focus, mask), mask, working
    in_focus = focus[..., DETAIL] * np.exp(-(np.hypot(x, 0.8 * y) ** 2) / (2 * 0.7**2))
    mask = _clean(_grabcut(focus, _start(in_focus, 0.9, 0.45)))
    yield _likeness(photo, focus, mask), mask, working_focus
    for certain, likely, possible in ((0.0, 0.55, 0.9), (0.3, 0.75, 1.05)):
        start = np.full((height, width), cv2.GC_BGD, np.uint8)
        start[radius < possible] = cv2.GC_PR_BGD
        start[radius < likely] = cv2.GC_PR_FGD
        start[radius < certain] = cv2.GC_FGD
        mask = _clean(_grabcut(photo, start))
        yield _likeness(photo, focus, mask), mask, working


def _start(evidence: NDArray[np.floating], likely: float, possible: float) -> Pixels:
    """The map from which GrabCut starts: evidence (h, w), compared with multiples of its Otsu threshold."""
    evidence = evidence / max(float(evidence.max()), 1e-9)
    threshold = cv2.threshold((evidence * 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)[0] / 255
    start = np.where(evidence > likely * threshold, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    start[evidence < possible * threshold] = cv2.GC_BGD
    return start


def _focus_of(photo: Pixels) -> Pixels:
    """Lightness, one axis of colour, and detail, (h, w, 3): a sharp product before a soft background stays whole."""
    lab = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB).astype(np.float32)
    colour = (1.5 * (lab[..., 1] + lab[..., 2] - 256) + 128).clip(0, 255)
    curvature = np.abs(cv2.Laplacian(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32), cv2.CV_32F))
    detail = np.log1p(cv2.GaussianBlur(np.minimum(curvature, 40), (0, 0), max(photo.shape) * 0.02))  # local, log scale
    detail = (detail - detail.min()) / max(float(detail.max() - detail.min()), 1e-6)
    return np.dstack([lab[..., 0] / 2, colour, detail * 127]).astype(np.uint8)


def _likeness(photo: Pixels, focus: Pixels, mask: Pixels) -> float:
    """The likeness of a mask to a product, 0 to about 2.5; -1 if it covers next to nothing or nearly everything."""
    height, width = mask.shape
    area = float(mask.mean())
    if not 0.004 < area < 0.9:
        return -1.0
    lab = _uint8(cv2.cvtColor(photo, cv2.COLOR_RGB2LAB))
    detail = np.ascontiguousarray(focus[..., DETAIL:] * 2)
    band = _disc(max(5, max(height, width) // 16))
    inside, outside = mask - _erode(mask, band), _dilate(mask, band) - mask  # on both sides of the outline
    background = _uint8(1 - mask)
    apart = _distance(lab, inside, outside)
    apart += 0.5 * _distance(lab, mask, background) + 0.5 * _distance(detail, mask, background)
    pixel = np.ones((3, 3), np.uint8)
    outline = mask - _erode(mask, pixel)
    along = (outline | (_dilate(mask, pixel) - mask)) > 0
    shows = float(np.asarray(cv2.dilate(_edges(lab), pixel))[along].mean())
    # A product may stand on one edge of the photo; along more edges it is more likely wall, floor or sky.
    sides = [float(side.sum()) for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])]
    on_frame = sum(sides) - 0.7 * max(sides)
    whole = 1 - on_frame / (on_frame + outline.sum())
    ys, xs = np.nonzero(mask)
    off_x, off_y = xs.mean() / width - 0.5, max(0.0, abs(ys.mean() / height - 0.5) - 0.08)
    central = np.exp(-(off_x**2 + off_y**2) / (2 * 0.25**2))
    hull = cv2.contourArea(cv2.convexHull(np.column_stack([xs, ys]).astype(np.int32)))
    compact = 0.4 + 0.6 * min(1.0, mask.sum() / max(hull, 1.0))
    size = min(1.0, area / 0.35) ** 0.25
    return float((shows + apart) * whole * central * compact * size)


def _refine(photo: Pixels, guess: Pixels) -> Pixels:
    """Cut again with the gaps in the guess closed: dark or bright parts within a product belong to it."""
    extent = int(np.sqrt(guess.sum()))  # side of a square of the product's area
    closed = _close(guess, max(3, extent // 5))
    start = np.full(guess.shape, cv2.GC_BGD, np.uint8)
    start[_dilate(closed, _disc(max(3, extent // 20))) > 0] = cv2.GC_PR_BGD
    start[closed > 0] = cv2.GC_PR_FGD
    start[_erode(guess, _disc(max(3, extent // 12))) > 0] = cv2.GC_FGD
    refined = _clean(_grabcut(photo, start))
    return refined if refined.any() else guess


def _grabcut(photo: Pixels, start: Pixels) -> Pixels:
    """Iterated graph cut from a map of certain and likely product and background; 0/1."""
    sure_or_likely = (start == cv2.GC_FGD) | (start == cv2.GC_PR_FGD)
    if (
        sure_or_likely.sum() < 10 or (~sure_or_likely).sum() < 10
    ):  # GrabCut's colour model has five components and needs some pixels
        return np.zeros_like(start)
    cv2.setRNGSeed(0)  # same photo, same cut
    background, product = np.zeros((1, 65)), np.zeros((1, 65))
    mask = start.copy()
    no_rect = cast("list[int]", None)  # OpenCV takes None where a mask is given; its stubs don't say so
    cv2.grabCut(photo, mask, no_rect, background, product, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return _uint8((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))


def _clean(mask: Pixels) -> Pixels:
    """Remove small parts (below a quarter of the largest) and small holes (below 2 % of the product)."""
    mask = _uint8(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    mask = np.isin(labels, 1 + np.flatnonzero(areas >= 0.25 * areas.max())).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask)
    small = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] < 0.02 * mask.sum())
    return (mask | np.isin(labels, small[small > 0])).astype(np.uint8)


def _soft(mask: Pixels, size: tuple[int, int]) -> Pixels:
    """The mask at full size, its edge about two working pixels wide; (H, W), 0..255."""
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)
    large = cv2.resize(blurred, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return (((large - 0.5) * 1.6 + 0.5).clip(0, 1) * 255).round().astype(np.uint8)


def _edges(lab: Pixels) -> NDArray[np.float32]:
    """Edge strength, 0..1, one half at a step of about eight levels a pixel."""
    smooth = cv2.GaussianBlur(lab.astype(np.float32), (0, 0), 1)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 8
    strength = np.sqrt((across**2 + down**2).sum(axis=2))
    return np.asarray(strength / (strength + 8), np.float32)


def _distance(values: Pixels, one: Pixels, other: Pixels) -> float:
    """1 minus the overlap (Bhattacharyya) of two regions' histograms."""
    return 1 - float(np.sqrt(_histogram(values, one) * _histogram(values, other)).sum())


def _histogram(values: Pixels, mask: Pixels) -> NDArray[np.float32]:
    channels = values.shape[2]
    counts = cv2.calcHist([values], list(range(channels)), mask, [8, 12, 12][:channels], [0, 256] * channels)
    return np.asarray(counts / max(float(counts.sum()), 1.0), np.float32)


def _erode(mask: Pixels, element: Pixels) -> Pixels:
    # The border counts as product: where a product touches the frame, it has no outline.
    return _uint8(cv2.erode(mask, element, borderType=cv2.BORDER_CONSTANT, borderValue=1))


def _dilate(mask: Pixels, element: Pixels) -> Pixels:
    return _uint8(cv2.dilate(mask, element))


def _close(mask: Pixels, diameter: int) -> Pixels:
    padded = cv2.copyMakeBorder(mask, *(diameter,) * 4, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _disc(diameter))
    return _uint8(closed[diameter:-diameter, diameter:-diameter])


def _disc(diameter: int) -> Pixels:
    return _uint8(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter)))


def _shrink(photo: Pixels, side: int) -> Pixels:
    scale = side / max(photo.shape[:2])
    if scale >= 1:
        return photo
    width, height = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    return _uint8(cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA))


def _resize(mask: Pixels, like: Pixels) -> Pixels:
    return _uint8(cv2.resize(mask, (like.shape[1], like.shape[0]), interpolation=cv2.INTER_NEAREST))


def _uint8(pixels: ArrayLike) -> Pixels:
    return np.asarray(pixels, np.uint8)
