"""Tell a file by its first bytes, where it is no picture that can be decoded; and read a WebP's size."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from p2i_ray.storage.safetensors_header import LFS

HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # brands of a HEIF file
HEAD = 1024  # bytes that are looked at


def complaint(encoded: bytes, formats: Sequence[str]) -> str:
    """The reason why a file that no decoder knows is no picture, and advice."""
    head = encoded[:HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    names = ", ".join(formats)
    if encoded[4:8] == b"ftyp" and encoded[8:12] in HEIC:
        return "a HEIC picture; install pi-heif on every node, or save it as JPEG"
    if head.startswith(LFS):
        return "a Git LFS pointer, not the picture; run git lfs pull"
    if b"<svg" in head:
        return "an SVG drawing; export it as PNG"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page (HTML), not a picture"
    if not any(encoded[:HEAD]):
        return "nothing but zeros"
    if _is_text(encoded[:HEAD]):
        return f"text, not a {names} picture"
    return f"not a {names} picture"


def webp_size(encoded: bytes) -> tuple[int, int] | None:
    """Width and height that a WebP file's header states; none for another file."""
    if len(encoded) < 30 or encoded[:4] != b"RIFF" or encoded[8:12] != b"WEBP":
        return None
    kind = encoded[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(encoded[24:27], "little"), 1 + int.from_bytes(encoded[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(encoded[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", encoded[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8", "strict" if len(head) < HEAD else "ignore")
    except UnicodeDecodeError:
        return False
    return all(sign.isprintable() or sign in "\t\r\n\ufeff" for sign in text)
