"""One photo: read it from the source folder, and turn it into a square picture and a product mask."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
from fsspec.implementations.local import LocalFileSystem

from p2i_ray.config import ImageConfig
from p2i_ray.data.cutouts import framing
from p2i_ray.data.cutouts.grabcut import CutoutConfig, find_product
from p2i_ray.data.images import ImageError, Pixels, decode
from p2i_ray.storage import locations

TRANSPARENT = 0.05  # fraction of clear pixels from which a photo counts as cut out; less is a rounded corner or noise


def make_sample(encoded: bytes, cutout: CutoutConfig, image: ImageConfig) -> tuple[Pixels, Pixels]:
    """Turn a photo into a square picture (side, side, 3) and a product mask (side, side), both uint8.

    Where enough of the photo is transparent, its alpha is the mask; else the product is searched for.

    Raises:
        ImageError: not an image within the limits, or no product in it.
    """
    decoded = decode(encoded, image, at_least=2 * image.resolution)
    photo = np.asarray(decoded.convert("RGB"))
    alpha = np.asarray(decoded.getchannel("A")) if decoded.mode == "RGBA" else None
    if alpha is not None and alpha.max() < 128:
        raise ImageError("no product found: the photo is transparent everywhere")
    if alpha is not None and (alpha < 128).mean() >= TRANSPARENT:
        photo, mask = _over_white(photo, alpha), alpha
    else:
        mask = find_product(photo, cutout)
    picture, mask = framing.to_square(photo, mask, image.resolution)
    share = float((mask >= 128).mean())
    if not cutout.min_share <= share <= cutout.max_share:
        limits = f"{cutout.min_share:.0%} to {cutout.max_share:.0%}"
        raise ImageError(f"no product found: the cutout covers {share:.1%} of the picture, outside {limits}")
    return picture, mask


def _over_white(photo: Pixels, alpha: Pixels) -> Pixels:
    """The photo as stored if its transparent pixels have colours (a photo with its mask), else over white."""
    hidden = photo[alpha < 128]
    if hidden.std(axis=0).max() > 8:
        return photo
    weight = alpha[..., None].astype(np.float32) / 255
    return (photo * weight + 255 * (1 - weight)).round().astype(np.uint8)


def read_photo(source: str, file: str, max_bytes: int) -> bytes:
    """Read a regular file within the source folder, at most one byte more than allowed.

    Raises:
        ImageError: no such file, not a regular one, outside the folder (also through a link), or not readable.
    """
    filesystem, root = locations.open_location(source)
    on_disk = isinstance(filesystem, LocalFileSystem)
    try:
        if on_disk:
            return _read_within(Path(root).resolve(), file, max_bytes)
        with filesystem.open(f"{root.rstrip('/')}/{file}", "rb") as opened:
            return bytes(opened.read(max_bytes + 1))
    except FileNotFoundError:
        raise ImageError("file missing: it is not in source") from None
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise ImageError(f"unreadable: {error.strerror or error}") from None
    except OSError as error:
        if not on_disk:
            raise  # the bucket doesn't answer, which says nothing about the photo: stop, don't set the row aside
        raise ImageError(f"unreadable: {error.strerror or error}") from None


def _read_within(root: Path, file: str, max_bytes: int) -> bytes:
    try:
        path = (root / file).resolve()
    except RuntimeError:  # links in a circle
        raise ImageError("unreadable: its link leads nowhere") from None
    if not path.is_relative_to(root):
        raise ImageError("outside the folder: a link leads out of source")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe would wait for a writer
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ImageError("unreadable: not an ordinary file")
        return opened.read(max_bytes + 1)
