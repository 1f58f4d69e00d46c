"""Colours that a file states without a profile: PNG's chunks, H.273's numbers in AVIF, EXIF's Adobe RGB."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from p2i_ray.config import ImageConfig
from p2i_ray.data import isobmff
from p2i_ray.data.errors import ImageError
from p2i_ray.data.images import decode
from p2i_ray.data.isobmff import Code

COLOUR = (185, 71, 50)
AS_P3 = (200, 60, 39)  # COLOUR as Display P3, in sRGB: by the published matrix, see test_matrix_profile
SRGB_POINTS = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3_POINTS = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def points(values: tuple[float, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


def code(*numbers: int) -> bytes:
    return chunk(b"cICP", bytes(numbers))


def png(*chunks: bytes, mode: str = "RGB", profile: bytes | None = None, colour: tuple[int, ...] = COLOUR) -> bytes:
    out = io.BytesIO()
    image = Image.new("RGB", (4, 4), colour)
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    image.save(out, "PNG", icc_profile=profile)
    whole = out.getvalue()
    return whole[:33] + b"".join(chunks) + whole[33:]


def seen(encoded: bytes) -> np.ndarray:
    return np.asarray(decode(encoded, ImageConfig()), int)[2, 2, :3]


def by_gamma(exponent: float) -> np.ndarray:
    light = (np.array(COLOUR) / 255) ** exponent
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (gamma(0.45455),),
        (gamma(0.45455), points(SRGB_POINTS)),
        (points(SRGB_POINTS),),
        (chunk(b"sRGB", b"\0"), gamma(1.0), points(P3_POINTS)),  # sRGB goes before both
        (gamma(0),),
        (gamma(0.00001),),
        (points((0.3127, 0.3290, 0.3, 0.3, 0.3, 0.3, 0.15, 0.06)),),  # of no colours
        (code(1, 13, 0, 1),),
        (code(1, 1, 0, 1), gamma(1.0)),  # cICP goes before all
        (code(2, 2, 0, 1),),
    ],
)
def test_what_is_srgb_or_says_nothing_passes_as_it_is(chunks: tuple[bytes, ...]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    out = io.BytesIO()
    noise.save(out, "PNG")
    whole = out.getvalue()
    encoded = whole[:33] + b"".join(chunks) + whole[33:]
    assert np.array_equal(np.asarray(decode(encoded, ImageConfig())), np.asarray(noise))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("chunks", [(points(P3_POINTS),), (gamma(0.45455), points(P3_POINTS)), (code(12, 13, 0, 1),)])
def test_display_p3_by_chunks_in_every_mode(mode: str, chunks: tuple[bytes, ...]) -> None:
    assert np.abs(seen(png(*chunks, mode=mode)) - AS_P3).max() <= 1


@pytest.mark.parametrize("value", [1.0, 0.55556])
@pytest.mark.parametrize("more", [(), (points(SRGB_POINTS),)])
def test_a_gamma_chunk(value: float, more: tuple[bytes, ...]) -> None:
    assert np.abs(seen(png(gamma(value), *more)) - by_gamma(1 / value)).max() <= 1


def test_a_gamma_chunk_of_a_grey_picture() -> None:
    grey = png(gamma(1.0), mode="L", colour=(55, 55, 55))
    assert np.abs(seen(grey) - 128).max() <= 1  # linear light: 55 of 255 is 128 in sRGB's curve


def test_a_profile_goes_before_gamma_and_after_the_code() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert seen(png(gamma(1.0), profile=srgb)).tolist() == list(COLOUR)
    assert np.abs(seen(png(code(12, 13, 0, 1), profile=srgb)) - AS_P3).max() <= 1


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ((9, 16, 0, 1), r"HDR colours \(PQ\); save it with those of sRGB"),
        ((9, 18, 0, 1), r"HDR colours \(HLG\)"),
        ((3, 13, 0, 1), r"colours of a kind that is not known \(primaries 3, transfer 13\)"),
        ((1, 9, 0, 1), "colours of a kind that is not known"),
        ((1, 13, 1, 1), "its levels are those of video"),
        ((1, 13, 0, 0), "its levels are those of video"),
    ],
)
def test_other_codes_are_set_aside(numbers: tuple[int, ...], says: str) -> None:
    with pytest.raises(ImageError, match=f"^unreadable: {says}"):
        decode(png(code(*numbers)), ImageConfig())


def avif(primaries: int, transfer: int) -> bytes:
    """An AVIF whose colr box has these numbers, in place of those that the encoder writes."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16), COLOUR).save(out, "AVIF", quality=100)
    whole = out.getvalue()
    place = whole.index(b"colrnclx") + 8
    return whole[:place] + struct.pack(">HH", primaries, transfer) + whole[place + 4 :]


def test_an_avif_states_its_colours_by_numbers() -> None:
    assert isobmff.colour_code(avif(1, 13)) == Code(1, 13)
    assert np.abs(seen(avif(1, 13)) - COLOUR).max() <= 2
    assert np.abs(seen(avif(12, 13)) - AS_P3).max() <= 3
    with pytest.raises(ImageError, match=r"HDR colours \(PQ\)"):
        decode(avif(9, 16), ImageConfig())


def test_boxes_that_are_broken_or_of_other_files_have_no_code() -> None:
    whole = avif(12, 13)
    assert isobmff.colour_code(b"") is None and isobmff.colour_code(png()) is None
    for end in range(0, whole.index(b"colrnclx") + 12, 7):
        assert isobmff.colour_code(whole[:end]) is None


def test_cameras_mark_adobe_rgb_in_exif() -> None:
    """Adobe RGB by EXIF's mark looks the same as with its profile."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03", 2: b"0100"}
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (100, 180, 90)).save(out, "JPEG", quality=100, subsampling=0, exif=exif)
    found = seen(out.getvalue())
    light = (np.array((100, 180, 90)) / 255) ** (563 / 256)
    # Linear Adobe RGB to linear sRGB, as published; green alone is narrower there.
    matrix = np.array(((1.3984, -0.3984, 0.0), (0.0, 1.0, 0.0), (0.0, -0.0429, 1.0429)))
    wanted = matrix @ light
    coded = np.where(wanted <= 0.0031308, 12.92 * wanted, 1.055 * wanted.clip(0.0001) ** (1 / 2.4) - 0.055) * 255
    assert np.abs(found - coded.clip(0)).max() <= 3 and found[0] < 70
