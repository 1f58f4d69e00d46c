"""Formats, sizes and memory; files that say they are what they are not."""

from __future__ import annotations

import base64
import importlib.util
import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.decoding import HEIF_PLUGINS, check_size, decode, upright_size
from p2i_ray.data.errors import ImageError
from p2i_ray.data.sources.file_index import PICTURE

LIMITS = ImageConfig()
HALVES = np.zeros((32, 64, 3), np.uint8)
HALVES[:, :32], HALVES[:, 32:] = (200, 60, 40), (20, 90, 180)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG"])
def test_formats(kind: str) -> None:
    encoded = saved(Image.fromarray(HALVES), kind)
    assert check_size(encoded, LIMITS) == (64, 32)
    assert np.abs(np.asarray(decode(encoded, LIMITS), int)[16, [16, 48]] - HALVES[16, [16, 48]]).max() <= 12


def test_a_clear_colour_of_a_gif_is_transparent_and_its_first_picture_counts() -> None:
    frames = [Image.new("P", (8, 8), 1), Image.new("P", (8, 8), 2)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 200, 60, 40, 0, 0, 250])
        frame.putpixel((0, 0), 0)
    seen = decode(saved(frames[0], "GIF", save_all=True, append_images=frames[1:], transparency=0), LIMITS)
    assert seen.mode == "RGBA" and seen.getpixel((0, 0))[3] == 0 and seen.getpixel((4, 4)) == (200, 60, 40, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_all_eight_ways_up(kind: str, turn: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = turn
    marked = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3).repeat(8, 0).repeat(8, 1) * 40)
    encoded = saved(marked, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(io.BytesIO(encoded)) as opened:  # which turns a TIFF by itself
        pillow = ImageOps.exif_transpose(opened).convert("L")
    assert np.array_equal(np.asarray(decode(encoded, LIMITS))[..., 0], np.asarray(pillow))
    assert upright_size(encoded, LIMITS) == pillow.size


@pytest.mark.parametrize(
    ("depth", "colour", "row", "clear"),
    [
        (
            16,
            2,
            struct.pack(">6H", 1000, 2000, 3000, 0x1234, 0x5678, 0x9ABC),
            struct.pack(">3H", 0x1234, 0x5678, 0x9ABC),
        ),
        (8, 2, bytes([1, 2, 3, 9, 8, 7]), struct.pack(">3H", 9, 8, 7)),
        (16, 0, struct.pack(">2H", 1000, 0x1234), struct.pack(">H", 0x1234)),
        (8, 0, bytes([1, 9]), struct.pack(">H", 9)),
        (4, 0, bytes([0x1F]), struct.pack(">H", 15)),
        (2, 0, bytes([0b00100000]), struct.pack(">H", 2)),
        (1, 0, bytes([0b01000000]), struct.pack(">H", 1)),
    ],
)
def test_the_clear_colour_of_a_png_at_every_depth(depth: int, colour: int, row: bytes, clear: bytes) -> None:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)) + chunk(b"tRNS", clear)
    encoded = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    assert np.asarray(decode(encoded, LIMITS))[0, :, 3].tolist() == [255, 0]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16", "L"])
def test_a_large_picture_comes_smaller_by_a_whole_factor(mode: str) -> None:
    ramp = np.linspace(0, 255, 700).astype(np.uint8)[None].repeat(900, 0)
    image = Image.fromarray(ramp.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(ramp).convert(mode)
    seen = decode(saved(image, "PNG"), LIMITS, at_least=100)
    assert seen.size == (100, 129)  # of 700 x 900, by 7; the last row of blocks is not full
    assert np.abs(np.asarray(seen, int)[:, :, 0] - ramp[:1].reshape(100, 7).mean(axis=1).round()).max() <= 1


def test_clear_pixels_have_no_weight_where_a_picture_comes_smaller() -> None:
    image = np.zeros((400, 400, 4), np.uint8)
    image[:, 201:] = (200, 60, 40, 255)
    seen = np.asarray(decode(saved(Image.fromarray(image), "PNG"), LIMITS, at_least=100))
    assert seen[50, 50].tolist() == [200, 60, 40, 191] and seen[50, 49, 3] == 0


HOLE = b"".join(struct.pack(">I", 0) for _ in range(2))


@pytest.mark.parametrize(
    ("encoded", "says"),
    [
        (b"", "empty"),
        (bytes(5000), "nothing but zeros"),
        (b"<?xml version='1.0'?>\n<svg width='9' height='9'/>", "an SVG drawing; export it as PNG"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        ("Bücher, Tassen\n".encode() * 300, "text, not a JPEG"),
        (b"%PDF-1.7\n\xe2\xe3\xcf\xd3", "not a JPEG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + HOLE, "a HEIC picture; install pi-heif|cannot identify"),
    ],
)
def test_what_is_no_picture_is_named(encoded: bytes, says: str) -> None:
    with pytest.raises(ImageError, match=f"^unreadable: .*({says})"):
        decode(encoded, LIMITS)


def test_a_mislabelled_file_is_read_by_its_content() -> None:
    assert decode(saved(Image.fromarray(HALVES), "WEBP", lossless=True), LIMITS).getpixel((4, 4)) == (200, 60, 40)


def webp_header(width: int, height: int) -> bytes:
    body = b"WEBPVP8L" + struct.pack("<IB", 20, 0x2F) + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(15)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize(("bomb", "head"), [("iCCP", b"name\0\0"), ("zTXt", b"name\0\0"), ("iTXt", b"name\0\1\0\0\0")])
def test_chunks_that_unpack_to_gigabytes(bomb: str, head: bytes) -> None:
    packed = zlib.compress(bytes(80_000_000), 9)
    whole = saved(Image.fromarray(HALVES), "PNG")
    bombed = whole[:33] + chunk(bomb.encode(), head + packed) + whole[33:]
    assert len(bombed) < 200_000
    with pytest.raises(ImageError, match=r"^unreadable: .*[Tt]oo large"):
        decode(bombed, LIMITS)


def resized(kind: str, width: int, height: int) -> bytes:
    """A picture of 64 x 32 pixels whose header says that it is larger."""
    whole = saved(Image.fromarray(HALVES), kind, **({"lossless": True} if kind == "WEBP" else {}))
    if kind == "PNG":
        header = struct.pack(">II", width, height) + whole[24:29]
        return whole[:8] + chunk(b"IHDR", header) + whole[33:]
    if kind == "WEBP":
        bits = int.from_bytes(whole[21:25], "little") & ~0xFFFFFFF | (width - 1) | (height - 1) << 14
        return whole[:21] + struct.pack("<I", bits) + whole[25:]
    if kind == "TIFF":
        for tag, size in ((256, width), (257, height)):  # entries of its directory, of 32 or of 16 bits
            place = next(at for kept in (3, 4) if (at := whole.find(struct.pack("<HHI", tag, kept, 1))) >= 0)
            whole = whole[: place + 2] + struct.pack("<HII", 4, 1, size) + whole[place + 12 :]
        return whole
    places = {"GIF": (6, "<HH"), "BMP": (18, "<ii"), "AVIF": (whole.find(b"ispe") + 8, ">II")}
    if kind == "JPEG":
        start = whole.index(b"\xff\xc0") + 5
        return whole[:start] + struct.pack(">HH", height, width) + whole[start + 4 :]
    start, form = places[kind]
    packed = struct.pack(form, width, height)
    return whole[:start] + packed + whole[start + len(packed) :]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG"])
def test_a_header_that_claims_too_many_pixels_is_believed(kind: str) -> None:
    """Nothing is unpacked to find out whether it is true."""
    bomb = resized(kind, 16_000, 12_000)
    for read in (check_size, decode):
        with pytest.raises(
            ImageError, match=r"^too large: (16000x12000|more) pixels.* image\.max_pixels=50000000 allows"
        ):
            read(bomb, LIMITS)


def test_a_strip_of_30000_pixels_is_read_small() -> None:
    strip = np.zeros((300, 30_000, 3), np.uint8)
    strip[:, 15_000:] = (200, 60, 40)
    seen = decode(saved(Image.fromarray(strip), "PNG"), LIMITS, at_least=128)
    assert seen.width <= 5 * 128 and seen.getpixel((seen.width - 1, 0)) == (200, 60, 40)


def test_a_webp_is_refused_before_memory_is_taken_for_it() -> None:
    with pytest.raises(ImageError, match=r"too large: 16383x16383 pixels, more than image\.max_pixels=50000000 allows"):
        decode(webp_header(16383, 16383), LIMITS)


def test_the_advice_can_be_followed_up_to_what_pillow_opens() -> None:
    with pytest.raises(ValueError, match="178956970"):
        ImageConfig(max_pixels=200_000_000)
    assert decode(_flat_png(7000, 7000), ImageConfig(), at_least=128).size == (130, 130)  # by 54


MEASURE = """
import resource, sys
from p2i_ray.config import ImageConfig
from p2i_ray.data.decoding import decode
encoded = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode(encoded, ImageConfig(), at_least=1024)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.heavy
@pytest.mark.parametrize("colours", [2, 6])
def test_a_picture_of_49_megapixels_takes_its_own_pixels_and_little_more(colours: int) -> None:
    encoded = _flat_png(7000, 7000, colours)
    done = subprocess.run([sys.executable, "-c", MEASURE], input=encoded, capture_output=True, check=True)
    assert float(done.stdout) < 4 * 49e6 / 2**20 + 60


def _flat_png(width: int, height: int, colours: int = 2) -> bytes:
    """A PNG of zeros, RGB (2) or RGBA (6), without ever holding its pixels."""
    packer = zlib.compressobj(1)
    row = bytes(1 + width * (3 if colours == 2 else 4))
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


# 64 x 48: red, green, blue, and nearly white, a quarter each; TURNED says that it was taken with the phone on its side
# (EXIF's 6), CLEAR has a right half without any alpha.
TURNED = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAA"
    "AAAERAAAIAAQAAAAAB7AABAAAAAAAAARgAAgAAAAADBAABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVp"
    "bmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGE"
    "ABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkA"
    "AAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEH"
    "BpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAURtZGF0AAAB"
    "FCgBrwY4Wve238Sk///2Rz6H9E0SJ0VvxpWNqr0Crffjb3//g0CO0Xbp/8zzdFdYFsrA4/sb7HzfD/+aN91US/9ux9El82STPowNtRun2TkEEq"
    "clBVFs/XP65F3iYo//k+KC5pJbOd+t9FE2dR67GvUB9Z1s/b7+PjxSxC8/dLHyffaCkyhSTcC+mN/pCGbjC0LHoqt7F6z4nfPkV3VAX4z8tUQJ"
    "am9Y1HeBfNS6ErVzYzzhLFBsFNwUJU0Hqp7Yp4Pd3g/vMpZT7ObkZSmQ//jDmf086mTb5NmUdl/8szzA5QzRlFLE7YMxhm+uGYY0ny4WZv26kj"
    "KQAYYX/VOPwP4X4Hq//krLGXMTg5RIKlUHXNVJ0AAAAAZFeGlmAABNTQAqAAAACAABARIAAwAAAAEABgAAAAAAAA=="
)
CLEAR = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAmttZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAA"
    "AAAERAAAIAAQAAAAACjwABAAAAAAAAARgAAgAAAAADpwABAAAAAAAAALYAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVp"
    "bmZlAgAAAAACAABodmMxAAAAAA5waXRtAAAAAAABAAABqmlwcnAAAAGCaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGE"
    "ABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkA"
    "AAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEH"
    "BpeGkAAAAAAwgICAAAAHBodmNDAQQIAAAAn/gAAAAAHvAA/Pz4+AAADwNgAAEAF0ABDAH//wQIAAADAJ/4AAADAAAeugJAYQABACVCAQEECAAA"
    "AwCf+AAAAwAAHsCCBBZbq5Ka5sCAAAAMgAAAAwCEYgABAAZEAcFzwIkAAAAOcGl4aQAAAAABCAAAACdhdXhDAAAAAHVybjptcGVnOmhldmM6Mj"
    "AxNTphdXhpZDoxAAAAACBpcG1hAAAAAAAAAAIAAQWBAgMFhAACBYYDB4iEAAAAGmlyZWYAAAAAAAAADmF1eGwAAgABAAEAAAHWbWRhdAAAARQo"
    "Aa8GOFr3tt/EpP//9kc+h/RNEidFb8aVjaq9Aq33429//4NAjtF26f/M83RXWBbKwOP7G+x83w//mjfdVEv/bsfRJfNkkz6MDbUbp9k5BBKnJQ"
    "VRbP1z+uRd4mKP/5PiguaSWznfrfRRNnUeuxr1AfWdbP2+/j48UsQvP3Sx8n32gpMoUk3Avpjf6Qhm4wtCx6Krexes+J3z5Fd1QF+M/LVECWpv"
    "WNR3gXzUuhK1c2M84SxQbBTcFCVNB6qe2KeD3d4P7zKWU+zm5GUpkP/4w5n9POpk2+TZlHZf/LM8wOUM0ZRSxO2DMYZvrhmGNJ8uFmb9upIykA"
    "GGF/1Tj8D+F+B6v/5KyxlzE4OUSCpVB1zVSdAAAACyKAGuDHC1C8t/4OX+TZf+peuOfd3kA2Fa3n04Yfd5fv/7s/35A2RTBP/9TarX7QUrD9k9"
    "sL/jqP99B+zv+QXDqE7jxdKbtgYjtquurStYFX/0Z5HTrmMF91lWEZ+GI33MzjP/nuwGXVS6DjqMrNr8A8PtlbCBeQXf6ImNQmIKfQEl402iey"
    "V8cAtyvbabBK3QwKN35Yc6o6k8Jxpp1lllYIfyVb9fcj7iOzdCv8/380EiOA=="
)
QUARTERS = np.array([[(200, 40, 30), (30, 160, 60)], [(40, 60, 190), (240, 240, 240)]])
can_read = any(map(importlib.util.find_spec, HEIF_PLUGINS))
reads = pytest.mark.skipif(not can_read, reason="no pi-heif: pip install pi-heif")


def centres(pixels: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """The colours at the centres of the four quarters, (2, 2, channels)."""
    height, width = pixels.shape[:2]
    return pixels[height // 4 :: height // 2, width // 4 :: width // 2].astype(int)


@reads
def test_a_photo_stands_upright() -> None:
    seen = np.asarray(decode(TURNED, LIMITS))
    assert seen.shape == (64, 48, 3) and upright_size(TURNED, LIMITS) == (48, 64)
    assert np.abs(centres(seen) - np.rot90(QUARTERS, -1)).max() <= 12


@reads
def test_alpha_is_kept() -> None:
    seen = np.asarray(decode(CLEAR, LIMITS))
    assert check_size(CLEAR, LIMITS) == (64, 48)
    assert centres(seen)[..., 3].tolist() == [[255, 0], [255, 0]]
    assert np.abs(centres(seen)[:, 0, :3] - QUARTERS[:, 0]).max() <= 12


@reads
def test_limits_hold_before_a_pixel_is_read() -> None:
    with pytest.raises(ImageError, match="64x48 pixels"):
        decode(CLEAR, LIMITS.model_copy(update={"max_pixels": 1000}))
    with pytest.raises(ImageError, match="unreadable"):
        decode(CLEAR[:-400], LIMITS)


@pytest.mark.skipif(can_read, reason="pi-heif is there")
def test_without_the_plugin_the_line_says_what_to_install() -> None:
    with pytest.raises(ImageError, match="a HEIC picture; install pi-heif on every node, or save it as JPEG"):
        decode(TURNED, LIMITS)


def test_the_files_are_found_by_their_names() -> None:
    assert all(map(PICTURE.search, ("IMG_0001.HEIC", "a.heif")))
