"""Colours by profile, against LittleCMS on the plain pixels and against values worked out by hand."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from p2i_ray.config import ImageConfig
from p2i_ray.data.colour import to_srgb
from p2i_ray.data.images import ImageError, decode

LIMITS = ImageConfig()
# Display P3 as XYZ under D50 (ICC's white), by columns red, green, blue; and sRGB, both as published.
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
COLOUR = (185, 71, 50)


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def point(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def profile(primaries: tuple[tuple[float, ...], ...] | None, gamma: float = 2.2, name: str = "a profile") -> bytes:
    """A matrix profile of RGB, or without primaries one of grey."""
    text = name.encode() + b"\0"
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)}
    tags |= {b"wtpt": point((0.9642, 1.0, 0.8249))}
    if primaries:
        tags |= {letter + b"XYZ": point(xyz) for letter, xyz in zip((b"r", b"g", b"b"), primaries, strict=True)}
        tags |= {letter + b"TRC": curve(gamma) for letter in (b"r", b"g", b"b")}
    else:
        tags |= {b"kTRC": curve(gamma)}
    table, body, offset = b"", b"", 132 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    space = b"RGB " if primaries else b"GRAY"
    head = bytes(4) + bytes(4) + struct.pack(">I", 0x02100000) + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp"
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    head += bytes(128 - len(head))
    size = struct.pack(">I", 132 + len(table) + len(body))
    return size + head[4:] + struct.pack(">I", len(tags)) + table + body


def by_lcms(image: Image.Image, icc: bytes) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    seen = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert seen
    return np.asarray(seen, int)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def linear(level: float) -> float:
    return float(level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4)


def coded(light: float) -> int:
    return round(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


P3_ICC = profile(P3)
BY_HAND = [
    coded(light) for light in np.linalg.solve(np.array(SRGB).T, np.array(P3).T @ (np.array(COLOUR) / 255) ** 2.2)
]


def test_the_values_by_hand_and_by_littlecms_agree() -> None:
    seen = by_lcms(Image.new("RGB", (1, 1), COLOUR), P3_ICC)[0, 0]
    assert np.abs(seen - BY_HAND).max() <= 1 and seen[0] > COLOUR[0] + 10  # a colour that a dropped profile would lose


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_every_format_keeps_its_profile_with_and_without_alpha(kind: str, mode: str) -> None:
    image = Image.new(mode, (16, 16), (*COLOUR, 128)[: len(mode)])
    options = {"quality": 100} if kind == "AVIF" else {"lossless": True} if kind == "WEBP" else {}
    seen = decode(saved(image, kind, icc_profile=P3_ICC, **options), LIMITS)
    assert seen.mode == mode
    assert np.abs(np.asarray(seen, int)[8, 8, :3] - BY_HAND).max() <= 2
    assert mode == "RGB" or np.asarray(seen)[8, 8, 3] == 128


@pytest.mark.parametrize("clear", [False, True])
def test_a_palettes_colours_follow_its_profile(clear: bool) -> None:
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, *COLOUR])
    palette.putpixel((0, 0), 0)
    seen = decode(saved(palette, "PNG", icc_profile=P3_ICC, **({"transparency": 0} if clear else {})), LIMITS)
    assert seen.mode == ("RGBA" if clear else "RGB")
    assert np.abs(np.asarray(seen, int)[4, 4, :3] - BY_HAND).max() <= 1
    assert not clear or np.asarray(seen)[..., 3].tolist()[0][:2] == [0, 255]


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_follows_a_grey_profile(mode: str) -> None:
    icc = profile(None, gamma=1.0)  # linear light: 55 of 255 is 128 in sRGB's curve
    image = Image.fromarray(np.full((4, 4), 55 * 257, np.uint16)) if mode == "I;16" else Image.new("L", (4, 4), 55)
    if mode == "LA":
        image.putalpha(Image.new("L", (4, 4), 90))
    seen = decode(saved(image, "PNG", icc_profile=icc), LIMITS)
    assert np.abs(np.asarray(seen, int)[0, 0, :3] - coded(55 / 255)).max() <= 1
    assert mode != "LA" or np.asarray(seen)[0, 0, 3] == 90


@pytest.mark.parametrize(("depth", "row"), [(1, b"\x40"), (2, b"\x10"), (4, b"\x06"), (8, b"\0\x66")])
def test_grey_with_a_clear_level_follows_a_grey_profile(depth: int, row: bytes) -> None:
    """Two pixels: level 0, which is clear, and another."""
    level = row[-1] >> (8 - 2 * depth) if depth < 8 else row[-1]
    seen = np.asarray(decode(png(2, depth, row, kind=0, chunks=chunk(b"tRNS", bytes(2))), LIMITS), int)[0]
    assert np.abs(seen[1, :3] - coded(level / (2**depth - 1))).max() <= 1 and seen[:, 3].tolist() == [0, 255]


def test_sixteen_bits_of_grey_with_alpha_follow_a_grey_profile() -> None:
    seen = np.asarray(decode(png(1, 16, bytes([55, 55, 90, 90]), kind=4), LIMITS), int)[0, 0]
    assert np.abs(seen[:3] - coded(55 / 255)).max() <= 1 and seen[3] == 90


def test_grey_that_a_tiff_multiplied_by_its_alpha() -> None:
    stored = Image.new("LA", (4, 4), (120, 128)).convert("La")  # as Pillow opens such a TIFF
    seen = to_srgb(stored, None)
    assert seen.mode == "RGBA" and np.abs(np.asarray(seen, int)[0, 0] - (120, 120, 120, 128)).max() <= 1


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, depth: int, row: bytes, *, kind: int, chunks: bytes = b"") -> bytes:
    """A PNG of one row, with a profile of linear light; `kind` of colours: 0 is grey, 4 grey and alpha."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0))
    icc = chunk(b"iCCP", b"grey\0\0" + zlib.compress(profile(None, gamma=1.0)))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + head + icc + chunks + pixels + chunk(b"IEND", b"")


def test_sixteen_bits_keep_the_steps_between_dark_levels() -> None:
    levels = np.arange(0, 2 * 257, 64, dtype=np.uint16)[None]
    seen = np.asarray(decode(saved(Image.fromarray(levels), "PNG", icc_profile=profile(None, gamma=1.0)), LIMITS))
    assert len(set(seen[0, :, 0].tolist())) == levels.size  # 8 bits first would leave three


def test_grey_with_a_profile_of_rgb() -> None:
    seen = decode(saved(Image.new("L", (4, 4), 55), "PNG", icc_profile=profile(SRGB, gamma=1.0)), LIMITS)
    assert np.abs(np.asarray(seen, int)[0, 0] - coded(55 / 255)).max() <= 1


def test_a_profile_counts_by_its_content() -> None:
    image = Image.new("RGB", (1, 1), COLOUR)
    named = decode(saved(image, "PNG", icc_profile=profile(P3, name="sRGB IEC61966-2.1")), LIMITS)
    assert np.abs(np.asarray(named, int)[0, 0] - BY_HAND).max() <= 1
    srgb = (
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        .tobytes()
        .replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    )
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    assert np.array_equal(np.asarray(decode(saved(noise, "PNG", icc_profile=srgb), LIMITS)), np.asarray(noise))


@pytest.mark.parametrize("icc", [b"not a profile", b"x" * 200, profile(None, gamma=1.0), P3_ICC[:150]])
def test_a_profile_that_cannot_be_used_is_passed_over(icc: bytes) -> None:
    assert decode(saved(Image.new("RGB", (4, 4), COLOUR), "PNG", icc_profile=icc), LIMITS).getpixel((0, 0)) == COLOUR


def test_lab_is_read_and_numbers_without_a_range_are_not() -> None:
    lab = Image.new("LAB", (4, 4), (136, 128, 128))  # neutral, L* = 53.3 of 100, the grey 127 of sRGB
    assert np.abs(np.asarray(to_srgb(lab, None), int)[0, 0] - 127).max() <= 2
    for image in (Image.new("F", (4, 4), 0.5), *(Image.new("I", (4, 4), level) for level in (1 << 20, 200))):
        with pytest.raises(ImageError, match=r"unreadable: .*save it with 8 or 16 bits"):
            decode(saved(image, "TIFF"), LIMITS)


def test_twelve_bit_tiffs_reach_from_black_to_white() -> None:
    packed = (4095 << 24 | 2048 << 12 | 1024).to_bytes(6, "big")  # and 0 in front
    tags = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (279, 6)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    encoded = struct.pack("<2sHI", b"II", 42, 14) + packed + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert np.abs(np.asarray(decode(encoded, LIMITS), int)[0, :, 0] - (0, 255, 128, 64)).max() <= 1


def test_sixteen_bit_tiffs_with_white_as_zero_and_transparent_levels() -> None:
    levels = Image.fromarray(np.full((4, 4), 60000, np.uint16))
    assert decode(saved(levels, "TIFF"), LIMITS).getpixel((0, 0)) == (233, 233, 233)
    assert decode(saved(levels, "TIFF", tiffinfo={262: 0}), LIMITS).getpixel((0, 0)) == (22, 22, 22)
    assert decode(saved(levels, "PNG", transparency=60000), LIMITS).getpixel((0, 0)) == (233, 233, 233, 0)
