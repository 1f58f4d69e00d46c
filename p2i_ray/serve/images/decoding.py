"""Decoding of a client's images into the product and its mask, on a canvas of the output size.

The product is given by a cutout (its alpha), by a photo and a mask, or by a photo alone (segmented here).
A mask with transparent pixels is read as OpenAI's: transparent is where to paint. Any other mask is grey, as inpainting
tools draw it: white is where to paint, black is the product. A mask goes before the image's own alpha, unless one
colour fills the image's clear pixels: they show no product, whatever the mask says.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops

from p2i_ray.config import ImageConfig
from p2i_ray.config.serve import ClientLimits, LimitsConfig
from p2i_ray.config.shapes import Size
from p2i_ray.data.cutouts import hidden
from p2i_ray.data.cutouts.colours import fill_clear, unmatte
from p2i_ray.data.images import ImageError, Pixels, check_size, decode, encode_png, product_mask, upright_size
from p2i_ray.errors import UserError
from p2i_ray.generators.request import Reference, fitted
from p2i_ray.serve.edge.errors import APIError, bad_request
from p2i_ray.serve.images.composing import composed, product_box
from p2i_ray.serve.images.framing import Shape
from p2i_ray.serve.images.placement import Box

SPARE = 2  # sides of the canvas that a photo keeps when it is decoded
SPARE_TRIMMED = 4  # the same where its product alone is placed, which may be a small part of it

Cutter = Callable[[Pixels], Pixels]  # photo (H, W, 3) to product mask (H, W); raises ImageError where it finds none


class ImageDecoder:
    """Decodes what clients send, within limits. Slow: for a thread."""

    def __init__(self, limits: LimitsConfig, image: ImageConfig, cutter: Cutter | None) -> None:
        self._max_side = limits.max_side
        self._largest = max(limits.max_size, image.longest)
        self._limits = ClientLimits(
            resolution=image.resolution, max_bytes=limits.max_bytes, max_pixels=limits.max_pixels
        )
        self._cutter = cutter

    def check(self, content: bytes, param: str) -> None:
        """Refuse what the header shows to be no image, or too large."""
        try:
            width, height = check_size(content, self._limits)
        except ImageError as error:
            raise bad_request(f"{param}: {error}", param, "bad_image") from None
        if max(width, height) > self._max_side:
            raise bad_request(
                f"{param} is {width}x{height} pixels; at most {self._max_side} a side", param, "bad_image"
            )

    def size(self, content: bytes, param: str) -> Size:
        """The size of an image as it is seen, upright.

        Raises:
            APIError: it can't be read, or is beyond the limits.
        """
        self.check(content, param)
        try:
            return Size(*upright_size(content, self._limits))
        except ImageError as error:
            raise bad_request(f"{param}: {error}", param, "bad_image") from None

    def product(self, image: bytes, mask: bytes | None, shape: Shape) -> tuple[Pixels, Pixels]:
        """The product (H, W, 3) and its mask (H, W) on the canvas, placed with its aspect kept.

        Raises:
            APIError: an image can't be used, there is no product in it, or it can't be placed as asked.
        """
        self.check(image, "image")
        if mask is not None:
            self.check(mask, "mask")
        trimmed = shape.placement.product
        enough = (SPARE_TRIMMED if trimmed else SPARE) * max(shape.canvas)
        photo = self._decode(image, "image", None if mask or trimmed else enough)
        is_cutout = _has_clear_pixels(photo)
        if is_cutout and mask is not None:
            is_cutout = hidden.filling(np.asarray(photo)) is not None
        mixed = not is_cutout  # a photo's edges hold the background, too
        if mask is not None:
            kept = _product_mask(self._decode(mask, "mask"), photo)
            photo.putalpha(ImageChops.darker(kept, photo.getchannel("A")) if is_cutout else kept)
        elif mixed:
            photo = self._cut(_within(photo.convert("RGB"), enough))
        if mask is None and photo.getchannel("A").getextrema()[1] in range(1, 128):
            raise _too_small()  # it was decoded smaller, and a few pixels are gone
        _check_mask(photo, "mask" if mask else "image")
        return _on_canvas(photo, shape, mixed=mixed)

    def reference(self, picture: bytes, width: int, height: int) -> Reference:
        """A reference for the style, in the canvas's size.

        Raises:
            APIError: the picture can't be used, is a cutout, has another shape than the canvas, or shows no scene.
        """
        self.check(picture, "reference")
        whole = self._decode(picture, "reference", max(width, height))
        if _has_clear_pixels(whole):
            raise bad_request(
                "reference has transparent pixels: a cutout has no background to take a style from; send the whole "
                "picture, and the product first",
                "reference",
                "bad_image",
            )
        try:
            return fitted((Reference(np.asarray(whole.convert("RGB"))),), (height, width))
        except UserError as error:
            raise bad_request(f"reference: {error}", "reference", "bad_image") from None

    def cutout(self, image: bytes) -> bytes:
        """A photo's product as an RGBA PNG, upright, no larger than the largest output; a cutout's own alpha is kept.

        Raises:
            APIError: the photo can't be used, or there is no product in it.
        """
        self.check(image, "image")
        photo = _within(self._decode(image, "image", 2 * self._largest), self._largest)
        if not _has_clear_pixels(photo):
            photo = self._cut(photo.convert("RGB"))
        _check_mask(photo, "image")
        return encode_png(np.asarray(photo))

    def _decode(self, content: bytes, param: str, at_least: int | None = None) -> Image.Image:
        try:
            return decode(content, self._limits, at_least)
        except ImageError as error:
            raise bad_request(f"{param}: {error}", param, "bad_image") from None

    def _cut(self, photo: Image.Image) -> Image.Image:
        """The photo with the mask that the cutter finds as its alpha."""
        if self._cutter is None:
            raise bad_request(
                "image has no transparent pixels and this server cuts nothing out; send a cutout, or a mask", "image"
            )
        try:
            mask = self._cutter(np.asarray(photo))
        except ImageError as error:
            raise bad_request(f"image: {error}; send a cutout, or a mask", "image", "no_product") from None
        photo.putalpha(Image.fromarray(mask))
        return photo


def _product_mask(mask: Image.Image, photo: Image.Image) -> Image.Image:
    """The product mask of a client's mask: where not to paint, 8-bit grey."""
    if mask.size != photo.size:
        raise bad_request(
            f"mask is {mask.width}x{mask.height} pixels, image {photo.width}x{photo.height}; make them one size", "mask"
        )
    if _has_clear_pixels(mask):
        return mask.getchannel("A")
    return mask.convert("L").point([255 - level for level in range(256)])


def _has_clear_pixels(image: Image.Image) -> bool:
    return image.mode == "RGBA" and bool((np.asarray(image.getchannel("A")) < 128).any())


def _check_mask(cutout: Image.Image, param: str) -> None:
    try:
        product_mask(cutout)
    except ImageError as error:
        raise _no_product(str(error), param) from None


def _no_product(text: str, param: str) -> APIError:
    return bad_request(
        f"{param}: {text}; clear (alpha 0), or white in a grey mask, is what is painted, the rest is the product",
        param,
        "no_product",
    )


def _too_small() -> APIError:
    return bad_request("the product is too small to be seen; crop the picture around it", "image", "no_product")


def _within(image: Image.Image, side: int) -> Image.Image:
    """The image scaled down so that no side is longer than so many pixels."""
    scale = side / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _on_canvas(cutout: Image.Image, shape: Shape, *, mixed: bool) -> tuple[Pixels, Pixels]:
    """The cutout on the canvas, the whole or its product alone; the rest is transparent, to be painted.

    `mixed` says that soft edges show the old background too, which is then taken out of them. So is the white or black
    that a cutout's own edges were blended with, where they show it.
    """
    if not mixed:
        cutout = Image.fromarray(unmatte(np.asarray(cutout)))
    source = product_box(cutout) if shape.placement.product else Box(0, 0, *cutout.size)
    target = shape.place(source.size)
    pixels = fill_clear(composed(cutout, source, target, canvas=shape.canvas, mixed=mixed))  # (H, W, 4)
    mask = pixels[..., 3]
    if mask.max() < 128:
        raise _too_small()
    if mask.min() >= 128:
        raise _no_product("no background is left to paint", "image")
    return np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(mask)
