"""Turn the pictures of one product into a sample: its cutout, and its photo where there is one.

What comes along wins, in this order: a cutout or a mask file, the alpha channel, the cutter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.cutouts import colours, framing
from p2i_ray.data.cutouts.grabcut import CutoutConfig, find_product
from p2i_ray.data.images import ImageError, Pixels, check_size, decode

CLEAR = 8  # alpha below which a pixel is clear; a picture without such pixels is a photo, whatever its file allows
MAX_ASPECT = 50  # of a picture; a longer strip leaves less of a square than the smallest product


class Files(NamedTuple):
    """The encoded pictures of one product."""

    photo: bytes
    mask: bytes | None = None  # white, or opaque, where the product is
    cutout: bytes | None = None  # the product, its surroundings clear


class Sample(NamedTuple):
    """A product as EPBD has it."""

    cutout: Pixels  # C, (side, side, 4): the product's own colours, also under clear pixels; alpha is the mask m
    picture: Pixels | None  # I, (side, side, 3); None: the cutout came without a scene


def make_sample(files: Files, settings: CutoutConfig, image: ImageConfig) -> Sample:
    """Turn a product's pictures into a sample.

    Raises:
        ImageError: a picture is none within the limits, they don't fit each other, or there is no product in them.
    """
    photo = _rgba(decode(files.photo, image, at_least=_least(image)))
    _check_shape(photo, *check_size(files.photo, image))
    cut_out = bool((photo[..., 3] < CLEAR).any())
    scene = not cut_out or settings.clear_pixels == "photo"
    if scene and cut_out:
        _check_hidden(photo)
    mask, own = _product(files, photo, cut_out, settings=settings, image=image)
    if mask.max() < 128:
        raise ImageError("no product found: its mask is below one half everywhere")
    sample = _with_scene(photo[..., :3], mask, own, side=image.resolution) if scene else None
    if sample is None:
        if own is None:  # the photo's own colours
            own = (
                np.dstack([colours.fill_clear(photo)[..., :3], mask])
                if cut_out and not scene
                else colours.decontaminate(photo[..., :3], mask)
            )
        sample = Sample(framing.crop_cutout(own, framing.cutout_window(mask), image.resolution), None)
    _check_share(sample.cutout[..., 3], settings)
    return sample


def _with_scene(photo: Pixels, mask: Pixels, own: Pixels | None, side: int) -> Sample | None:
    """The sample of a photo (H, W, 3); none where no square of it holds the product."""
    window = framing.scene_window(mask)
    if window is None:
        return None
    picture, framed = framing.crop_scene(photo, mask, window, side)
    cutout = colours.decontaminate(picture, framed) if own is None else framing.crop_cutout(own, window, side)
    return Sample(cutout, picture)


def _product(
    files: Files, photo: Pixels, cut_out: bool, *, settings: CutoutConfig, image: ImageConfig
) -> tuple[Pixels, Pixels | None]:
    """The mask (H, W) at the photo's size; and the product (H, W, 4) where a cutout file shows it."""
    if files.cutout is not None:
        own = _fit(_open(files.cutout, "cutout", image), photo, "cutout")
        if own[..., 3].min() >= CLEAR:
            raise ImageError("bad cutout: nothing of the file is transparent")
        return own[..., 3], own
    if files.mask is not None:
        mask = _open(files.mask, "mask", image)
        if mask[..., 3].min() == 255:  # no transparency: white is the product
            grey = np.asarray(Image.fromarray(mask[..., :3]).convert("L"))
            mask = np.dstack([mask[..., :3], grey])
            if (grey[[0, 0, -1, -1], [0, -1, 0, -1]] >= 128).all():
                raise ImageError("bad mask: its corners are white, and white is the product; invert it")
        return _fit(mask, photo, "mask")[..., 3], None
    if cut_out:
        return photo[..., 3], None
    return find_product(photo[..., :3], settings), None


def _open(encoded: bytes, kind: str, image: ImageConfig) -> Pixels:
    try:
        return _rgba(decode(encoded, image, at_least=_least(image)))
    except ImageError as error:
        raise ImageError(f"bad {kind}: {error}") from None


def _fit(pixels: Pixels, photo: Pixels, kind: str) -> Pixels:
    """A mask's or cutout's pixels (h, w, 4) at the photo's size."""
    (height, width), (own_height, own_width) = photo.shape[:2], pixels.shape[:2]
    if abs(own_height * width - own_width * height) > max(height, width, own_height, own_width):  # a pixel of rounding
        sizes = f"{own_width}x{own_height} pixels, the photo {width}x{height}"
        raise ImageError(f"bad {kind}: it has another shape than its photo ({sizes})")
    return colours.resize(pixels, width, height)


def _rgba(picture: Image.Image) -> Pixels:
    return np.asarray(picture.convert("RGBA"))


def _least(image: ImageConfig) -> int:
    """A large picture is decoded smaller, to no fewer pixels a side: a square is still to be cropped from it."""
    return 2 * image.resolution


def _check_shape(photo: Pixels, width: int, height: int) -> None:
    """Raise an ImageError if a photo, as its header states it, is too long; it was decoded smaller."""
    if max(photo.shape[:2]) > MAX_ASPECT * min(photo.shape[:2]):
        raise ImageError(f"no product found: {width}x{height} pixels are a strip")


def _check_hidden(photo: Pixels) -> None:
    """Raise an ImageError if one colour fills all clear pixels: what is declared to be the photo was wiped out."""
    hidden = photo[photo[..., 3] < CLEAR][:, :3]
    if (hidden == hidden[0]).all():
        colour = ", ".join(str(level) for level in hidden[0])
        raise ImageError(
            f"no scene: all clear pixels have one colour ({colour}), and ingest.cutout.clear_pixels=photo says that "
            "the photo is there"
        )


def _check_share(mask: Pixels, settings: CutoutConfig) -> None:
    share = float((mask >= 128).mean())
    if not settings.min_share <= share <= settings.max_share:
        limits = f"{settings.min_share:.0%} to {settings.max_share:.0%}"
        raise ImageError(f"no product found: the cutout covers {share:.1%} of the picture, outside {limits}")
