"""Turn the pictures of one product into a sample: its cutout, and its photo where there is one.

What comes along wins, in this order: a cutout or a mask file, the alpha channel, the cutter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.config.shapes import Size
from p2i_ray.data.cutouts import agreement, colours, framing, given_masks, hidden, outlines
from p2i_ray.data.cutouts.cutter import Cut, Cutter
from p2i_ray.data.cutouts.grabcut import GrabCutter
from p2i_ray.data.cutouts.hidden import CLEAR
from p2i_ray.data.cutouts.quality import Quality, measure
from p2i_ray.data.cutouts.quality import check as check_quality
from p2i_ray.data.cutouts.settings import CutoutConfig
from p2i_ray.data.images import ImageError, Pixels, check_size, decode, turn_of, upright_size

Given = TypeVar("Given")
Done = TypeVar("Done")
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
    quality: Quality


class _Opened(NamedTuple):
    """A product's pictures, decoded."""

    photo: Pixels  # (H, W, 3), or (H, W, 4) where its file has transparency
    cut_out: bool  # some of it is clear
    scene: bool  # it shows more than the product
    source: str | None  # where its mask is from; None: it has none, and a cutter is needed
    mask: Pixels | None  # (H, W)
    own: Pixels | None  # (H, W, 4), the product where a cutout file shows it


def make_samples(
    batch: Sequence[Files | ImageError], cutter: Cutter, *, settings: CutoutConfig, image: ImageConfig
) -> list[Sample | ImageError]:
    """Turn each product's pictures into a sample; the cutter gets all photos of the batch that need it at once.

    Args:
        batch: the files of each product, or why they can't be read.
        cutter: for photos that bring no mask.
        settings: of the cutouts.
        image: limits, and the side of the pictures.

    Returns:
        The samples in order; in place of one, why there is none: a picture is none within the limits, they don't fit
        each other, there is no product in them, or the cutter's cutout is too poor.
    """
    opening = functools.partial(_open_all, settings=settings, image=image)
    opened = [_attempt(files, opening) for files in batch]
    photos = [one.photo[..., :3] for one in opened if not isinstance(one, ImageError) and one.source is None]
    cuts = iter(cutter.cut(photos))
    made: list[Sample | ImageError] = []
    for one in opened:
        cut = next(cuts) if not isinstance(one, ImageError) and one.source is None else None
        if isinstance(cut, ImageError):
            made.append(cut)
            continue
        finishing = functools.partial(_finish, cut=cut, by=cutter.kind, settings=settings, image=image)
        made.append(_attempt(one, finishing))
    return made


def make_sample(files: Files, settings: CutoutConfig, image: ImageConfig, cutter: Cutter | None = None) -> Sample:
    """Turn one product's pictures into a sample; GrabCut is the cutter if none is given.

    Raises:
        ImageError: see make_samples.
    """
    (made,) = make_samples([files], cutter or GrabCutter(settings), settings=settings, image=image)
    if isinstance(made, ImageError):
        raise made
    return made


def _attempt(given: Given | ImageError, do: Callable[[Given], Done]) -> Done | ImageError:
    """Do something, unless it was impossible before; what makes it impossible is handed on."""
    try:
        return given if isinstance(given, ImageError) else do(given)
    except ImageError as error:
        return error


def _open_all(files: Files, *, settings: CutoutConfig, image: ImageConfig) -> _Opened:
    photo = np.asarray(decode(files.photo, image, at_least=_least(image)))
    if max(photo.shape[:2]) > MAX_ASPECT * min(photo.shape[:2]):
        width, height = check_size(files.photo, image)  # it may have been decoded smaller
        raise ImageError(f"no product found: {width}x{height} pixels are a strip")
    cut_out = photo.shape[2] == 4 and bool((photo[..., 3] < CLEAR).any())
    scene = not cut_out or settings.clear_pixels == "photo"
    if scene and cut_out:
        _check_hidden(photo)
    source, mask, own = _product(files, photo, cut_out, hollow=not scene, image=image)
    return _Opened(photo, cut_out, scene, source=source, mask=mask, own=own)


def _finish(opened: _Opened, *, cut: Cut | None, by: str, settings: CutoutConfig, image: ImageConfig) -> Sample:
    photo, own = opened.photo, opened.own
    mask = cut.mask if cut else opened.mask
    assert mask is not None
    if mask.max() < 128:
        raise ImageError("no product found: its mask is below one half everywhere")
    quality = measure(mask, opened.source or by, settings, cut)
    if cut:
        check_quality(quality, settings)
    sizes = image.nearest(photo.shape[1], photo.shape[0])
    found = _with_scene(photo[..., :3], mask, own, sizes=sizes) if opened.scene else None
    cutout, picture = found or (None, None)
    if cutout is None:
        if own is None:  # the photo's own colours
            own = (
                np.dstack([colours.fill_clear(colours.unmatte(photo))[..., :3], mask])
                if opened.cut_out and not opened.scene
                else colours.decontaminate(photo[..., :3], mask)
            )
        cutout = framing.crop_cutout(own, framing.cutout_window(mask, sizes[0].aspect), sizes[0])
    _check_share(cutout[..., 3], settings)
    return Sample(cutout, picture, quality)


def _with_scene(
    photo: Pixels, mask: Pixels, own: Pixels | None, *, sizes: Sequence[Size]
) -> tuple[Pixels, Pixels] | None:
    """Cutout and picture of a photo (H, W, 3) in the first size that can hold the product; none where none can."""
    found = ((size, framing.scene_window(mask, size.aspect)) for size in sizes)
    size, window = next(((size, window) for size, window in found if window), (sizes[0], None))
    if window is None:
        return None
    picture = framing.crop_scene(photo, window, size)
    if own is None:
        return colours.decontaminate(picture, framing.crop_mask(mask, window, size)), picture
    return framing.crop_cutout(own, window, size), picture


def _product(
    files: Files, photo: Pixels, cut_out: bool, *, hollow: bool, image: ImageConfig
) -> tuple[str | None, Pixels | None, Pixels | None]:
    """The origin of the product's mask, if it has one; the mask (H, W); the product (H, W, 4) of a cutout file.

    Args:
        files: of the product.
        photo: decoded, (H, W, 3 or 4).
        cut_out: some of it is clear.
        hollow: and nothing is under what is clear.
        image: limits.
    """
    height, width = photo.shape[:2]
    if files.cutout is not None:
        own = _open(files.cutout, "cutout", image)
        _check_shape(own, photo, "cutout", files=files, image=image)
        own = colours.resize(own, width, height)
        alpha = np.ascontiguousarray(own[..., 3])
        if alpha.min() >= CLEAR:
            raise ImageError("bad cutout: nothing of the file is transparent")
        if not agreement.agrees(own, photo):  # trimmed around the product, and of the photo's shape by chance
            raise ImageError(
                "bad cutout: it shows something else than the photo at this place; export it untrimmed, or leave the "
                "column out"
            )
        return "cutout", alpha, colours.unmatte(own)
    if files.mask is not None:
        mask = given_masks.product_of(_open(files.mask, "mask", image))
        _check_shape(mask, photo, "mask", files=files, image=image)
        mask = colours.resize_mask(mask, width, height)
        _check_turn(mask, photo, files, image=image)
        if hollow:  # there is nothing that the mask could call product
            mask = np.minimum(mask, photo[..., 3])
        return "mask", mask, None
    if cut_out:
        return "alpha", np.ascontiguousarray(photo[..., 3]), None
    return None, None, None


def _check_turn(mask: Pixels, photo: Pixels, files: Files, *, image: ImageConfig) -> None:
    """Raise an ImageError if a mask (H, W) was plainly made of the photo as it is stored, before it was turned."""
    turn = turn_of(files.photo, image)
    if turn is None or turn_of(files.mask, image) is not None:
        return
    turned = np.asarray(Image.fromarray(mask).transpose(turn))
    if turned.shape == mask.shape and outlines.is_plainly_better(turned, mask, photo):
        raise ImageError(
            "bad mask: it fits the photo as it is stored, before EXIF turns it upright; turn the mask, too"
        )


def _open(encoded: bytes, kind: str, image: ImageConfig) -> Pixels:
    try:
        return _rgba(decode(encoded, image, at_least=_least(image), levels=kind == "mask"))
    except ImageError as error:
        raise ImageError(f"bad {kind}: {error}") from None


def _check_shape(
    pixels: Pixels, photo: Pixels, kind: Literal["mask", "cutout"], *, files: Files, image: ImageConfig
) -> None:
    """Raise an ImageError if a mask or cutout (h, w, …) has another shape than its photo."""
    (height, width), (own_height, own_width) = photo.shape[:2], pixels.shape[:2]
    rounding = max(own_height + width, own_width + height)  # a pixel of each side; both may have been decoded smaller
    if abs(own_height * width - own_width * height) > rounding:
        other = files.mask if kind == "mask" else files.cutout
        own, whole = ("{}x{}".format(*upright_size(one, image)) for one in (other, files.photo))
        raise ImageError(f"bad {kind}: it has another shape than its photo ({own} pixels, the photo {whole})")


def _rgba(picture: Image.Image) -> Pixels:
    return np.asarray(picture if picture.mode == "RGBA" else picture.convert("RGBA"))


def _least(image: ImageConfig) -> int:
    """A large picture is decoded smaller, to no fewer pixels a side: its frame is still to be cropped from it."""
    return 2 * image.longest


def _check_hidden(photo: Pixels) -> None:
    """Raise an ImageError if one colour fills the clear pixels: what is declared to be the photo was wiped out."""
    if (found := hidden.filling(photo)) is not None:
        colour = ", ".join(map(str, found))
        raise ImageError(
            f"no scene: the clear pixels have one colour ({colour}), and ingest.cutout.clear_pixels=photo says that "
            "the photo is there"
        )


def _check_share(mask: Pixels, settings: CutoutConfig) -> None:
    share = float((mask >= 128).mean())
    if not settings.min_share <= share <= settings.max_share:
        limits = f"{settings.min_share:.0%} to {settings.max_share:.0%}"
        raise ImageError(f"no product found: the cutout covers {share:.1%} of the picture, outside {limits}")
