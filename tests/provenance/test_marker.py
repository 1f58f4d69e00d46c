"""Marks: read by C2PA's own reader and by Pillow, in all formats; and what is left of them when a file changes."""

from __future__ import annotations

import io
import json

import c2pa
import numpy as np
import pytest
from PIL import Image

from p2i_ray.config.provenance import ProvenanceConfig
from p2i_ray.errors import UserError
from p2i_ray.provenance import source_type
from p2i_ray.provenance.marker import Format, Marker, encode
from p2i_ray.provenance.reading import read

PIXELS = np.random.default_rng(0).integers(0, 256, (96, 64, 3), np.uint8)
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
FORMATS: tuple[Format, ...] = ("png", "jpeg", "webp")


@pytest.fixture(scope="module")
def marker() -> Marker:
    return Marker(ProvenanceConfig(), "0123abcd")


@pytest.mark.parametrize("form", FORMATS)
def test_marks_are_read_by_others_and_pixels_stay(marker: Marker, form: Format) -> None:
    marked = marker.encode(PIXELS, form, seed=7)
    plain = encode(PIXELS, form)
    opened, unmarked = (Image.open(io.BytesIO(one)) for one in (marked, plain))
    np.testing.assert_array_equal(np.asarray(opened), np.asarray(unmarked))
    xmp = opened.info.get("xmp") or opened.info["XML:com.adobe.xmp"]
    assert COMPOSITE in (xmp if isinstance(xmp, str) else xmp.decode())

    reader = c2pa.Reader(f"image/{form}", io.BytesIO(marked))
    assert reader.get_validation_state() == "Valid"
    assert [one["code"] for one in json.loads(reader.json())["validation_status"]] == ["signingCredential.untrusted"]
    [actions] = [one["data"]["actions"] for one in (reader.get_active_manifest() or {})["assertions"]]
    assert [(one["action"], one["digitalSourceType"]) for one in actions] == [("c2pa.created", COMPOSITE)]
    assert actions[0]["parameters"] == {"p2i_ray.model": "0123abcd", "p2i_ray.seed": 7}

    found = read(marked)
    assert (found.source_type, found.claimed, found.state) == (COMPOSITE, COMPOSITE, "signed")
    assert found.facts == {"model": "0123abcd", "seed": 7} and found.problems == ()
    assert found.signer == "p2i_ray, self-made certificate" and str(found.software).startswith("p2i_ray")


@pytest.mark.parametrize("form", FORMATS)
def test_a_changed_picture_is_found_out(marker: Marker, form: Format) -> None:
    marked = bytearray(marker.encode(PIXELS, form, seed=7))
    middle = len(marked) // 2 if form == "png" else len(marked) - len(marked) // 4
    marked[middle] ^= 1
    found = read(bytes(marked))
    assert found.state == "changed" and found.problems


@pytest.mark.parametrize("form", FORMATS)
def test_saved_again_by_others_the_manifest_is_gone(marker: Marker, form: Format) -> None:
    """Pillow drops what it doesn't know: nobody must think that the mark survives every editor."""
    out = io.BytesIO()
    Image.open(io.BytesIO(marker.encode(PIXELS, form, seed=7))).save(out, form)
    assert read(out.getvalue()).state == "none"


def test_settings() -> None:
    generated = Marker(ProvenanceConfig(source_type="generated"), "m").encode(PIXELS, "png", seed=1)
    found = read(generated)
    assert found.source_type == found.claimed == f"{source_type.VOCABULARY}trainedAlgorithmicMedia"
    off = Marker(ProvenanceConfig(enabled=False), "m")
    for form in FORMATS:
        assert off.encode(PIXELS, form, seed=1) == encode(PIXELS, form)
        found = read(encode(PIXELS, form))
        assert (found.source_type, found.state, found.facts) == (None, "none", {})
    assert read(encode(PIXELS, "jpeg", xmp=source_type.packet("composite", "p2i_ray"))).source_type == COMPOSITE


def test_quality(marker: Marker) -> None:
    coarse, fine = (len(marker.encode(PIXELS, "jpeg", seed=1, quality=quality)) for quality in (10, 95))
    assert coarse < fine
    lossless = Image.open(io.BytesIO(marker.encode(PIXELS, "webp", seed=1, quality=100)))
    np.testing.assert_array_equal(np.asarray(lossless), PIXELS)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "nothing but zeros"),
        (b"not a picture at all", "text, not a PNG, JPEG, WEBP picture"),
        (b"GIF89a" + bytes(20), "not a PNG, JPEG, WEBP picture"),
        (encode(PIXELS, "png")[:20], "not a PNG, JPEG, WEBP picture"),
    ],
)
def test_what_is_no_picture(content: bytes, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read(content)


@pytest.mark.parametrize(
    "xmp",
    [
        f'<rdf:Description Iptc4xmpExt:DigitalSourceType="{COMPOSITE}"/>',
        f"<rdf:Description Iptc4xmpExt:DigitalSourceType='{COMPOSITE}'/>",
        f"<Iptc4xmpExt:DigitalSourceType>\n {COMPOSITE}\n</Iptc4xmpExt:DigitalSourceType>",
    ],
)
def test_other_writers_of_xmp(xmp: str) -> None:
    assert source_type.find(xmp.encode()) == COMPOSITE
    assert source_type.find(b"<rdf:Description xmp:CreatorTool='x'/>") is None
