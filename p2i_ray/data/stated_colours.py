"""The colour profile of a file, also where it states its colours by other means than a profile.

PNG: cICP goes before iCCP, that before sRGB, that before gAMA and cHRM, as its specification has it. AVIF and HEIC: a
profile goes before the numbers of H.273. JPEG: a profile, else Adobe RGB where EXIF says so, as cameras write it.
"""

from __future__ import annotations

import struct

from PIL import Image

from p2i_ray.data import isobmff
from p2i_ray.data.errors import ImageError
from p2i_ray.data.isobmff import Code
from p2i_ray.data.matrix_profile import Curve, Point, Primaries, matrix_profile

D65: Point = (0.3127, 0.3290)
ILLUMINANT_C: Point = (0.310, 0.316)
BT709: Primaries = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65)
ADOBE_RGB: Primaries = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), D65)
ADOBE_GAMMA = 563 / 256
SMPTE: Primaries = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65)
# Numbers of H.273; those that are missing here are reserved, or of no RGB.
PRIMARIES: dict[int, Primaries] = {
    1: BT709,
    2: BT709,  # unspecified
    4: ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), ILLUMINANT_C),
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), D65),
    6: SMPTE,
    7: SMPTE,
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), ILLUMINANT_C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),  # BT.2020
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),  # of cinemas
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),  # Display P3
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65),
}
# Video's curves (1, 6, 14, 15) are for what a camera sees; what is shown of them is what sRGB's gives.
CURVES: dict[int, Curve] = {
    **dict.fromkeys((1, 2, 6, 13, 14, 15), "srgb"),
    4: 2.2,
    5: 2.8,
    8: 1.0,
    17: 2.6,
}
HDR = {16: "PQ", 18: "HLG"}
SRGB_GAMMA = 0.45455  # what PNG files of sRGB state, and the chromaticities, as whites and primaries from 0 to 1
SRGB_CHROMATICITIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
NEAR = 0.001  # by which rounding moves them
GAMMAS = (0.1, 10.0)  # what is outside is a mistake of its writer; browsers pass it over, too
INTEROPERABILITY = 0xA005  # EXIF directory
ADOBE_MARK = "R03"  # its entry 1 in pictures of Adobe RGB


def profile_of(image: Image.Image, encoded: bytes) -> bytes | None:
    """The ICC profile that leads from an opened image's levels to its colours; none where they are sRGB.

    Args:
        image: opened by Pillow, its pixels read or not.
        encoded: its file.

    Raises:
        ImageError: its colours are HDR, or of a kind that is not known.
    """
    profile: bytes | None = image.info.get("icc_profile")
    if image.format == "PNG":
        code = _png_code(encoded)
        return _profile_of_code(code) if code else profile or _png_profile(image)
    if profile or image.format not in ("AVIF", "HEIF", "JPEG", "MPO"):
        return profile
    if image.format in ("JPEG", "MPO"):
        mark = image.getexif().get_ifd(INTEROPERABILITY).get(1)
        return matrix_profile(ADOBE_RGB, ADOBE_GAMMA) if mark == ADOBE_MARK else None
    code = isobmff.colour_code(encoded)
    return _profile_of_code(code) if code else None


def _profile_of_code(code: Code) -> bytes | None:
    if code.transfer in HDR:
        raise ImageError(f"unreadable: HDR colours ({HDR[code.transfer]}); save it with those of sRGB")
    if code.primaries not in PRIMARIES or code.transfer not in CURVES:
        numbers = f"primaries {code.primaries}, transfer {code.transfer}"
        raise ImageError(f"unreadable: colours of a kind that is not known ({numbers}); save it with those of sRGB")
    primaries, curve = PRIMARIES[code.primaries], CURVES[code.transfer]
    return None if primaries is BT709 and curve == "srgb" else matrix_profile(primaries, curve)


def _png_code(encoded: bytes) -> Code | None:
    """Read the cICP chunk, which stands before the pixels."""
    place = 8
    while place + 8 <= len(encoded):
        length, kind = struct.unpack(">I4s", encoded[place : place + 8])
        if kind == b"IDAT":
            return None
        if kind == b"cICP" and length == 4 and place + 12 <= len(encoded):
            primaries, transfer, matrix, full = encoded[place + 8 : place + 12]
            if matrix or not full:
                raise ImageError("unreadable: its levels are those of video, not of RGB; save it with those of sRGB")
            return Code(primaries, transfer)
        place += 12 + length
    return None


def _png_profile(image: Image.Image) -> bytes | None:
    """Read gAMA and cHRM, where they state something else than sRGB's."""
    gamma: float = image.info.get("gamma") or 0
    points = image.info.get("chromaticity")
    if "srgb" in image.info or not (gamma or points):
        return None
    another = GAMMAS[0] <= gamma <= GAMMAS[1] and abs(gamma - SRGB_GAMMA) >= NEAR
    curve: Curve = 1 / gamma if another else "srgb"
    near = not points or all(abs(a - b) < NEAR for a, b in zip(points, SRGB_CHROMATICITIES, strict=False))
    if curve == "srgb" and near:
        return None
    if not points or near:
        return matrix_profile(BT709, curve)
    white, red, green, blue = ((float(points[n]), float(points[n + 1])) for n in (0, 2, 4, 6))
    return matrix_profile((red, green, blue, white), curve)
