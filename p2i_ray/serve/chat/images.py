"""Images of a chat: read from their data URLs, checked, decoded, and encoded again.

No URL is ever fetched. What reaches the engine is a PNG that was encoded here, so that only this module's decoders
(JPEG, PNG, WebP, within limits) read a client's bytes.
"""

from __future__ import annotations

import base64
import binascii
import io
import re

from p2i_ray.config.serve import ClientLimits, LimitsConfig
from p2i_ray.data.images import ImageError, check_size, decode
from p2i_ray.serve.edge.errors import APIError, bad_request

MAX_ASPECT = 100  # vision towers refuse longer strips; Qwen's limit is 200
FORMATS = ("JPEG", "PNG", "WEBP")
HOW = "send the picture in the request, as data:image/png;base64,… (PNG, JPEG or WebP)"
_DATA = re.compile(r"data:image/(?:png|jpeg|jpg|webp);base64,", re.ASCII)


def read(url: str, param: str, limits: LimitsConfig) -> bytes:
    """The encoded image in a data URL, its header checked.

    Raises:
        APIError: the URL is no data URL of a PNG, JPEG or WebP image, or the image is too large.
    """
    head = _DATA.match(url)
    if head is None:
        what = "this data URL is of another kind" if url[:5].lower() == "data:" else "no URL is fetched"
        raise bad_request(f"{param}: {what}; {HOW}", param, "invalid_image_url")
    try:
        content = base64.b64decode(url[head.end() :], validate=True)
    except binascii.Error:
        raise bad_request(f"{param}: what follows base64, is no base64; {HOW}", param, "invalid_image_url") from None
    try:
        width, height = check_size(content, _image_limits(limits), FORMATS)
    except ImageError as error:
        raise _bad(error, param) from None
    if max(width, height) > limits.max_side:
        raise bad_request(f"{param} is {width}x{height} pixels; at most {limits.max_side} a side", param, "bad_image")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise bad_request(f"{param} is {width}x{height} pixels, too narrow a strip; crop it", param, "bad_image")
    return content


def reencode(content: bytes, param: str, limits: LimitsConfig) -> str:
    """The image as a data URL of a new PNG: upright, sRGB, on white where it was transparent. Slow: for a thread.

    Raises:
        APIError: it can't be decoded.
    """
    from PIL import Image

    try:
        image = decode(content, _image_limits(limits))
    except ImageError as error:
        raise _bad(error, param) from None
    if image.mode == "RGBA":
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image).convert("RGB")
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"


def _image_limits(limits: LimitsConfig) -> ClientLimits:
    return ClientLimits(max_bytes=limits.max_bytes, max_pixels=limits.max_pixels)


def _bad(error: ImageError, param: str) -> APIError:
    return bad_request(f"{param}: {error}", param, "bad_image")
