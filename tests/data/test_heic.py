"""HEIC photos, as phones save them; they need a plugin that this environment need not have."""

from __future__ import annotations

import base64
import importlib.util

import numpy as np
import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.data.decoding import HEIF_PLUGINS, check_size, decode, upright_size
from p2i_ray.data.errors import ImageError
from p2i_ray.data.sources.file_index import PICTURE

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
LIMITS = ImageConfig()
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
