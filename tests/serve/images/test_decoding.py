"""Hostile and unusual pictures: what can be read is read rightly, the rest refused with a line, before any painting."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.generator_parts import RunningService, cutout, encoded, error_of, photo, stub_cutter


def refused(service: RunningService, status: int = 400, **sent: object) -> dict[str, str]:
    error = error_of(service.edit(**sent), status)  # type: ignore[arg-type]
    assert not service.sampler.requests
    return error


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture at all",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><image href='file:///etc/passwd'/></svg>",
        b"\x89PNG\r\n\x1a\n",
        cutout()[:-60],
        cutout()[:40],
        encoded(photo(200, 200), "JPEG")[:-900],
        b"GIF89a" + bytes(50),
        b"II*\0" + bytes(50),
        b"%PDF-1.4",
    ],
    ids=["empty", "text", "svg", "magic", "truncated", "header", "jpeg", "gif", "tiff", "pdf"],
)
def test_what_is_no_image_is_refused(service: RunningService, content: bytes) -> None:
    assert refused(service, image=content)["param"] == "image"
    error = refused(service, mask=content)
    assert error["param"] == "mask" and error["code"] == "bad_image"


def test_the_name_of_a_file_means_nothing(service: RunningService) -> None:
    jpeg = encoded(photo(), "JPEG", quality=95)
    files = {"image": ("photo.png", jpeg, "text/html")}
    assert service.send("POST", "/v1/images/edits", files=files, data={"prompt": "Cup"}).status_code == 200
    files = {"image": ("photo.png", b"GET / HTTP/1.1", "image/png")}
    error_of(service.send("POST", "/v1/images/edits", files=files, data={"prompt": "Cup"}), 400)


def bomb(width: int, height: int) -> bytes:
    """A small PNG that says it is large, its rows there indeed: all zeros."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_by_its_header(service: RunningService) -> None:
    content = bomb(30_000, 30_000)
    assert len(content) < 1_000_000
    begin = time.perf_counter()
    assert "too large" in refused(service, image=content)["message"]
    assert time.perf_counter() - begin < 2
    assert "too large" in refused(service, mask=content)["message"]


def test_a_long_strip(service: RunningService) -> None:
    error = refused(service, image=encoded(np.zeros((3, 30_000, 3), np.uint8)))
    assert error["message"] == "image is 30000x3 pixels; at most 8192 a side"
    strip = np.zeros((6, 8000, 4), np.uint8)
    strip[:, 2000:6000] = (200, 40, 30, 255)
    assert service.edit(encoded(strip), size="256x256").status_code == 200
    mask = service.sampler.requests[0].mask
    assert (mask[128 - 1 : 128, 70:186] == 255).all() and (mask[:120] == 0).all()


def as_16_bit() -> bytes:
    grey = np.asarray(Image.fromarray(photo()).convert("L")).astype(np.uint16) * 257
    return encoded(Image.fromarray(grey))


def rotated() -> tuple[bytes, np.ndarray]:
    """A 64 x 128 photo, stored lying, with the tag that says so; and upright."""
    upright = np.full((128, 64, 3), (90, 110, 130), np.uint8)
    upright[16:64, 16:48] = (220, 30, 20)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise to be seen
    return encoded(np.rot90(upright).copy(), "PNG", exif=exif), upright


def red(order_product: np.ndarray) -> None:
    assert (np.abs(order_product.astype(int) - (220, 30, 20)) <= 12).all()


@pytest.mark.parametrize("kind", ["cmyk", "palette", "jpeg", "webp", "avif", "tiff", "bmp", "gif", "animated"])
def test_unusual_photos_keep_their_colours(service: RunningService, kind: str) -> None:
    image = Image.fromarray(photo())
    content = {
        "cmyk": lambda: encoded(image.convert("CMYK"), "JPEG", quality=95),
        "palette": lambda: encoded(image.quantize(16)),
        "jpeg": lambda: encoded(image, "JPEG", quality=95),
        "webp": lambda: encoded(image, "WEBP", quality=95),
        "avif": lambda: encoded(image, "AVIF", quality=95),
        "tiff": lambda: encoded(image, "TIFF"),
        "bmp": lambda: encoded(image, "BMP"),
        "gif": lambda: encoded(image.quantize(16), "GIF"),
        "animated": lambda: encoded(
            image, "WEBP", save_all=True, append_images=[Image.new("RGB", (64, 64))], lossless=True
        ),
    }[kind]()
    assert service.edit(content).status_code == 200
    request = service.sampler.requests[0]
    red(request.product[20:44, 20:44])
    assert ((request.mask > 127) == (stub_cutter(photo()) > 0)).mean() > 0.99


def test_grey_and_16_bit_are_read_as_they_look(service: RunningService) -> None:
    mask = encoded(255 - stub_cutter(photo()))
    for content in (encoded(Image.fromarray(photo()).convert("L")), as_16_bit()):
        assert service.edit(content, mask=mask, seed=1).status_code == 200
    grey, deep = (request.product[32, 32].astype(int) for request in service.sampler.requests)
    level = int(np.asarray(Image.fromarray(photo()).convert("L"))[32, 32])
    assert (grey == level).all() and (np.abs(deep - level) <= 1).all()


def test_a_palette_with_a_clear_colour_and_grey_with_alpha_are_cutouts(service: RunningService) -> None:
    rgba = Image.open(io.BytesIO(cutout()))
    palette = Image.fromarray(np.asarray(rgba.getchannel("A")) // 255).convert("P")
    palette.putpalette([0, 0, 0, 200, 40, 30])
    assert service.edit(encoded(palette, transparency=0)).status_code == 200
    assert service.edit(encoded(rgba.convert("LA"))).status_code == 200
    for request in service.sampler.requests:
        np.testing.assert_array_equal(request.mask, np.asarray(rgba.getchannel("A")))
    assert (service.sampler.requests[0].product[32, 32] == (200, 40, 30)).all()


def test_a_turned_photo_is_upright(service: RunningService) -> None:
    content, upright = rotated()
    assert service.edit(content, size="64x128").status_code == 200
    np.testing.assert_array_equal(service.sampler.requests[0].mask, stub_cutter(upright))
    mask = encoded(255 - stub_cutter(upright))  # drawn on what one sees
    assert service.edit(content, mask=mask, size="64x128").status_code == 200
    np.testing.assert_array_equal(service.sampler.requests[1].mask, stub_cutter(upright))


def test_a_soft_edge_keeps_no_old_background_and_a_cutouts_shadow_stays_dark(service: RunningService) -> None:
    alpha = np.zeros((64, 64), np.uint8)
    alpha[16:48, 16:48] = 255
    alpha[:, 15] = np.where(alpha[:, 16] > 0, 128, 0)
    share = alpha[..., None] / 255
    mixed = (np.array((200, 40, 30)) * share + np.array((0, 200, 0)) * (1 - share)).round().astype(np.uint8)
    assert service.edit(encoded(mixed), mask=encoded(255 - alpha), size="64x64").status_code == 200
    shadowed = np.dstack([np.full((64, 64, 3), (200, 40, 30), np.uint8), alpha])
    shadowed[50:52, 16:48] = (0, 0, 0, 60)
    assert service.edit(encoded(shadowed), size="64x64").status_code == 200
    edge, shadow = service.sampler.requests
    np.testing.assert_array_equal(edge.mask, alpha)
    assert (np.abs(edge.product.astype(int) - (200, 40, 30)) <= 1).all()
    assert (shadow.product[50:52, 16:48] == 0).all() and (shadow.mask[50:52, 16:48] == 60).all()


@pytest.mark.parametrize("matte", [255, 0])
def test_the_white_or_black_that_a_cutouts_edges_were_blended_with_leaves_no_fringe(
    service: RunningService, matte: int
) -> None:
    y, x = np.mgrid[:64, :64]
    share = ((24 - np.hypot(x - 31.5, y - 31.5)) / 6).clip(0, 1)[..., None]
    colours = share * (200, 40, 30) + (1 - share) * matte
    blended = np.dstack([colours, share * 255]).round().astype(np.uint8)
    assert service.edit(encoded(blended), size="64x64").status_code == 200
    request = service.sampler.requests[0]
    np.testing.assert_array_equal(request.mask, blended[..., 3])
    soft = (request.mask > 24) & (request.mask < 255)
    assert soft.sum() > 100 and np.abs(request.product[soft].astype(int) - (200, 40, 30)).max() <= 11


def test_masks_that_leave_nothing_to_do(service: RunningService) -> None:
    error = refused(service, mask=encoded(np.zeros((32, 32), np.uint8)))
    assert error["message"] == "mask is 32x32 pixels, image 64x64; make them one size" and error["param"] == "mask"
    everything = np.full((64, 64), 255, np.uint8)
    assert "is empty" in refused(service, mask=encoded(everything))["message"]
    whole = refused(service, image=encoded(photo()), mask=encoded(0 * everything))
    assert "covers the whole picture" in whole["message"]
    assert "is empty" in refused(service, image=encoded(np.zeros((64, 64, 4), np.uint8)))["message"]
    dot = np.zeros((2000, 2000, 4), np.uint8)
    dot[1000, 1000] = 255
    assert "too small to be seen" in refused(service, image=encoded(dot))["message"]


@given(content=st.binary(max_size=300), tail=st.binary(max_size=30), cut=st.integers(0, 300))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wild_bytes_never_break_anything(service: RunningService, content: bytes, tail: bytes, cut: int) -> None:
    for image in (content, cutout()[:cut] + tail, cutout()[:30] + content):
        answer = service.edit(image)
        assert answer.status_code == 200 or error_of(answer, 400)
