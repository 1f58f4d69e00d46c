"""Decoding: every kind of picture that retailers send, and every kind of broken one."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import (
    GREY,
    ImageError,
    background_of,
    decode,
    encode_cutout,
    encode_jpeg,
    encode_png,
    paste_product,
    product_mask,
    product_of,
)

LIMITS = ImageConfig()
COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8).repeat(16, 0).repeat(16, 1)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def corner(image: Image.Image) -> tuple[int, ...]:
    return tuple(np.asarray(image)[2, 2])


def test_a_photo_turned_by_its_exif_tag_comes_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    upright = decode(saved(Image.fromarray(COLOURS[:, :20]), "PNG", exif=exif), LIMITS)
    assert upright.size == (32, 20)
    assert corner(upright) == (0, 0, 255)  # the lower left went to the upper left


def test_cmyk_becomes_rgb() -> None:
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, full magenta and yellow: red
    red = decode(saved(ink, "JPEG"), LIMITS)
    assert red.mode == "RGB"
    assert np.abs(np.asarray(red).astype(int) - [255, 0, 0]).max() < 8


def test_sixteen_bit_grey_keeps_its_middle() -> None:
    ramp = np.array([[0, 32896, 65535]], np.uint16)  # 32896 = 128 * 257
    levels = np.asarray(decode(saved(Image.fromarray(ramp), "PNG"), LIMITS))
    assert levels[0, :, 0].tolist() == [0, 128, 255]


def test_a_palette_with_transparency_becomes_rgba() -> None:
    palette = Image.fromarray(COLOURS).quantize(4)
    clear = palette.getpixel((2, 2))
    image = decode(saved(palette, "PNG", transparency=clear), LIMITS)
    assert image.mode == "RGBA" and corner(image)[3] == 0
    assert np.asarray(image)[20, 20].tolist() == [255, 255, 255, 255]


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "RGB", "RGBA"])
def test_every_mode_comes_as_rgb_or_rgba(mode: str) -> None:
    image = decode(saved(Image.fromarray(COLOURS).convert(mode), "PNG"), LIMITS)
    assert image.mode == ("RGBA" if "A" in mode else "RGB") and image.size == (32, 32)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_picture_counts(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    first = decode(saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True), LIMITS)
    assert corner(first)[:3] == (255, 0, 0)


def test_a_phone_picture_with_a_second_one_inside_counts_as_jpeg() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    first = decode(saved(frames[0], "MPO", save_all=True, append_images=frames[1:]), LIMITS)
    assert np.abs(np.asarray(first).astype(int) - [255, 0, 0]).max() < 8


def test_colours_follow_the_embedded_profile() -> None:
    lab = saved(Image.new("RGB", (8, 8), (200, 100, 50)), "PNG", icc_profile=_gamma_one_profile())
    seen = np.asarray(decode(lab, LIMITS))[0, 0].astype(int)
    # Linear light 100/255 is about 168 in sRGB's curve; without the profile it would stay 100.
    assert abs(seen[1] - 168) <= 4


def test_a_broken_profile_is_taken_for_srgb() -> None:
    image = decode(saved(Image.new("RGB", (8, 8), (200, 100, 50)), "PNG", icc_profile=b"not a profile"), LIMITS)
    assert corner(image) == (200, 100, 50)


def test_a_large_jpeg_can_come_smaller() -> None:
    photo = saved(Image.new("RGB", (1600, 1200), "red"), "JPEG")
    assert decode(photo, LIMITS, at_least=256).size == (400, 300)
    assert decode(photo, LIMITS).size == (1600, 1200)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_unreadable(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = saved(Image.fromarray(noise), kind)
    with pytest.raises(ImageError, match=r"^unreadable: "):
        decode(whole[: int(len(whole) * share)], LIMITS)


def test_what_is_too_large_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ImageError, match=r"too large: 101 bytes, more than image\.max_bytes=100 allows"):
        decode(b"x" * 101, ImageConfig(max_bytes=100))
    with pytest.raises(ImageError, match=r"too large: 32x32 pixels, more than image\.max_pixels=1000 allows"):
        decode(saved(Image.fromarray(COLOURS), "PNG"), ImageConfig(max_pixels=1000))
    for side in (12_000, 60_000, 2**31 - 1):  # a bomb: a header that promises gigabytes
        with pytest.raises(ImageError, match=r"too large|unreadable"):
            decode(_png_header(side), LIMITS)


@pytest.mark.parametrize("encoded", [None, b"", b"GIF89a" + bytes(50), b"<svg/>", b"%PDF-1.7"])
def test_other_formats_are_refused(encoded: bytes | None) -> None:
    with pytest.raises(ImageError, match=r"^unreadable: "):
        decode(encoded, LIMITS)


SEEDS = [saved(Image.fromarray(COLOURS), kind) for kind in ("JPEG", "PNG", "WEBP")] + [
    saved(Image.fromarray(COLOURS).quantize(4), "PNG", transparency=0),
    saved(Image.fromarray(COLOURS).convert("CMYK"), "JPEG", exif=Image.Exif().tobytes()),
]


def decodes_or_says_why(encoded: bytes) -> None:
    try:
        image = decode(encoded, ImageConfig(max_pixels=4_000_000))
    except ImageError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert image.mode in ("RGB", "RGBA")


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x20\0\0\0WEBPVP8 "]),
)
@settings(max_examples=150, deadline=None)
def test_wild_bytes_raise_nothing_but_image_errors(noise: bytes, start: bytes) -> None:
    decodes_or_says_why(start + noise)


@given(
    st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=12)
)
@settings(max_examples=250, deadline=None)
def test_damaged_images_raise_nothing_but_image_errors(whole: bytes, damages: list[tuple[int, int]]) -> None:
    damaged = bytearray(whole)
    for place, value in damages:
        damaged[place % len(damaged)] = value
    decodes_or_says_why(bytes(damaged))


def test_the_halves_of_a_picture() -> None:
    image = np.full((1, 3, 3), 200, np.uint8)
    mask = np.array([[0, 255, 128]], np.uint8)
    half = round((200 * 128 + GREY * 127) / 255), round((200 * 127 + GREY * 128) / 255)
    assert product_of(image, mask)[0, :, 0].tolist() == [GREY, 200, half[0]]
    assert background_of(image, mask)[0, :, 0].tolist() == [200, GREY, half[1]]
    assert paste_product(np.zeros_like(image), image, mask)[0, :, 0].tolist() == [0, 200, round(200 * 128 / 255)]


def test_a_cutout_has_a_product_and_a_background() -> None:
    alpha = np.zeros((4, 4), np.uint8)
    for broken, reason in ((alpha, "empty"), (alpha + 255, "whole picture")):
        with pytest.raises(ImageError, match=reason):
            product_mask(Image.fromarray(np.dstack([np.zeros((4, 4, 3), np.uint8), broken])))
    with pytest.raises(ImageError, match="no alpha"):
        product_mask(Image.new("RGB", (4, 4)))


def test_encoding_keeps_pixels() -> None:
    assert np.array_equal(np.asarray(decode(encode_png(COLOURS), LIMITS)), COLOURS)
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    assert np.array_equal(np.asarray(decode(encode_cutout(noise), LIMITS)), noise)
    smooth = np.full((32, 32, 3), (120, 90, 60), np.uint8)
    assert np.abs(np.asarray(decode(encode_jpeg(smooth), LIMITS)).astype(int) - smooth).max() <= 2


def _png_header(side: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + bytes(40)


def _gamma_one_profile() -> bytes:
    """The primaries of sRGB with a straight curve: the tone tables of Pillow's own sRGB profile, replaced."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for number in range(struct.unpack(">I", profile[128:132])[0]):
        tag, offset, size = struct.unpack(">4sII", profile[132 + 12 * number : 144 + 12 * number])
        if tag in (b"rTRC", b"gTRC", b"bTRC"):
            profile[offset : offset + 12] = b"curv" + bytes(8)  # a curve without entries is the identity
        if tag == b"desc":
            at = bytes(profile).find("sRGB".encode("utf-16-be"), offset, offset + size)
            if at >= 0:
                profile[at : at + 8] = "line".encode("utf-16-be")
    return bytes(profile)
