"""Requests about sizes, placement, marketplaces and crops, through HTTP: what is painted and what comes back."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from p2i_ray.data.images import paste_product
from p2i_ray.provenance.reading import read
from p2i_ray.serve.images.candidates import image_seed
from p2i_ray.serve.images.marketplaces import MARKETPLACES
from tests.support.generator_parts import (
    RunningService,
    cutout,
    encoded,
    error_of,
    open_service,
    photo,
    picture,
    shown,
    stub_cutter,
)
from tests.support.serving import wait_until

pytestmark = pytest.mark.long

RED = (200, 40, 30)


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of where a mask (H, W) has the product."""
    rows, columns = np.flatnonzero((mask >= 128).any(1)), np.flatnonzero((mask >= 128).any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def line(service: RunningService, image: bytes | None = None, **fields: Any) -> tuple[str, str]:
    """What a refused request is told: the field, and the line."""
    error = error_of(service.edit(image, **fields), 400)
    assert not service.sampler.requests and len(error["message"]) < 230
    return error["param"], error["message"]


@pytest.fixture(scope="module")
def _shaped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    jobs = str(tmp_path_factory.mktemp("jobs"))
    with open_service(jobs, image={"resolution": 64, "aspect_ratios": ("1:1", "3:5", "2:1"), "size_step": 16}) as found:
        yield found


@pytest.fixture
def shaped(_shaped: RunningService) -> RunningService:
    """A service whose model knows three shapes: 64x64, 48x80 and 96x48."""
    _shaped.sampler.requests.clear()
    return _shaped


# Sizes


@pytest.mark.parametrize(
    ("sent", "size"), [((64, 64), "64x64"), ((400, 400), "64x64"), ((128, 64), "96x48"), ((90, 270), "40x120")]
)
def test_auto_has_the_pictures_shape(service: RunningService, sent: tuple[int, int], size: str) -> None:
    for fields in ({}, {"size": "auto"}):
        answer = service.edit(cutout(*sent), **fields).json()
        assert answer["size"] == answer["canvas"] == size == "x".join(map(str, picture(answer).size))
        assert {"size": size, "canvas": size}.items() <= answer["data"][0].items()
    assert service.sampler.reserved[-1][1] == np.prod(picture(answer).size) * (7 * 2 + 4)


def test_auto_of_a_longer_picture_than_is_painted_is_the_longest(service: RunningService) -> None:
    assert service.edit(cutout(1000, 100)).json()["size"] == "120x40"


def test_auto_is_told_by_the_upright_picture(service: RunningService) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned by a quarter
    lying = encoded(np.rot90(photo(64, 128)).copy(), "PNG", exif=exif)
    assert service.edit(lying).json()["size"] == "48x96"
    np.testing.assert_array_equal(service.sampler.requests[0].mask.shape, (96, 48))


@pytest.mark.parametrize(
    ("sent", "size"), [((64, 64), "64x64"), ((300, 440), "48x80"), ((128, 64), "96x48"), ((900, 100), "96x48")]
)
def test_auto_is_the_nearest_of_the_models_own_shapes(shaped: RunningService, sent: tuple[int, int], size: str) -> None:
    assert shaped.edit(cutout(*sent)).json()["size"] == size


def test_a_picture_whose_shape_cannot_be_read_is_refused(service: RunningService) -> None:
    assert line(service, cutout()[:60])[0] == "image"


@pytest.mark.parametrize(
    ("asked", "size"), [("1:1", "64x64"), ("4:5", "64x80"), ("16:9", "88x48"), ("3:1", "120x40"), ("2:3", "48x72")]
)
def test_a_ratio(service: RunningService, asked: str, size: str) -> None:
    answer = service.client().images.edit(image=("a.png", cutout()), prompt="Cup", size=asked)  # type: ignore[arg-type]
    assert answer.size == size and service.sampler.requests[0].mask.shape == tuple(map(int, size.split("x")))[::-1]


@pytest.mark.parametrize(
    ("fields", "painted", "size"),
    [
        ({"output_size": "200x250"}, "64x80", "200x250"),
        ({"output_size": "200x250", "size": "4:5"}, "64x80", "200x250"),
        ({"output_size": "200x250", "size": "128x160"}, "128x160", "200x250"),
        ({"output_size": "1280x720"}, "88x48", "1280x720"),
        ({"output_size": "64x64", "size": "256x256"}, "256x256", "64x64"),
    ],
)
def test_a_file_is_scaled(service: RunningService, fields: dict[str, str], painted: str, size: str) -> None:
    answer = service.edit(seed=3, **fields).json()
    assert (
        (answer["canvas"], answer["size"])
        == (painted, size)
        == (
            answer["data"][0]["canvas"],
            answer["data"][0]["size"],
        )
    )
    assert picture(answer).size == tuple(map(int, size.split("x")))
    width, height = map(int, painted.split("x"))
    canvas = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    request = service.sampler.requests[0]
    canvas = paste_product(canvas, request.product, request.mask)
    if painted == "88x48":  # 85.33 x 48 have the ratio
        canvas = canvas[:, 1:86]
    expected = Image.fromarray(canvas).resize(picture(answer).size, Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.asarray(picture(answer)), np.asarray(expected))


def test_sizes_that_cannot_be(service: RunningService) -> None:
    assert line(service, size="4:5", output_size="200x200") == (
        "size",
        "size=4:5 has another shape than output_size=200x200; leave size out, or give an output_size of its shape",
    )
    assert line(service, size="128x64", output_size="200x102")[0] == "size"
    assert service.edit(size="128x64", output_size="200x101").status_code == 200  # to a pixel
    service.sampler.requests.clear()
    assert line(service, output_size="2000")[1] == "output_size must be WIDTHxHEIGHT, both from 64 to 4096"
    assert line(service, output_size="3000x3000", n=4)[1].startswith("4 pictures of 3000x3000 have more than 32000000")
    assert line(service, size="1:4")[1].startswith("size must be auto, a ratio such as 4:5 from 1:3 to 3:1")
    assert line(service, output_size="100x400")[1].startswith("output_size 100x400 is beyond 3:1")


# Placement


def test_a_product_is_placed_by_numbers(service: RunningService) -> None:
    # The product of cutout(100, 50) is 50 x 26 pixels: half of 256 across is 128, and 66.56 high.
    fields = {"size": "256x128", "product_share": 0.5, "product_x": 0.3, "product_y": 0.7}
    assert service.edit(cutout(100, 50), **fields).status_code == 200
    request = service.sampler.requests[0]
    left, top, right, bottom = box(request.mask)
    expected = (76.8 - 61.5, 89.6 - 32, 76.8 + 61.5, 89.6 + 32)  # the height is what fills more: 64 of 128, 123 across
    assert np.abs(np.subtract((left, top, right, bottom), expected)).max() <= 1
    assert (request.product[top + 2 : bottom - 2, left + 2 : right - 2] == RED).all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    share=st.floats(0.2, 0.9),
    x=st.floats(0.3, 0.7),
    y=st.floats(0.3, 0.7),
    margin=st.floats(0, 0.1),
    sent=st.sampled_from([(64, 64), (200, 100), (90, 160)]),
)
def test_what_is_painted_is_what_was_asked_for(
    service: RunningService, share: float, x: float, y: float, margin: float, sent: tuple[int, int]
) -> None:
    service.sampler.requests.clear()
    fields = {"product_share": share, "product_x": x, "product_y": y, "margin": margin}
    answer = service.edit(cutout(*sent), size="256x192", **fields)
    if answer.status_code != 200:
        assert error_of(answer, 400)["param"] in {"product_share", "product_x", "product_y", "margin"}
        return
    left, top, right, bottom = box(service.sampler.requests[0].mask)
    assert abs((left + right) / 2 - x * 256) <= 1.5 and abs((top + bottom) / 2 - y * 192) <= 1.5
    assert abs(max((right - left) / 256, (bottom - top) / 192) - share) <= 2 / 192
    assert min(left, 256 - right) >= margin * 256 - 1.5 and min(top, 192 - bottom) >= margin * 192 - 1.5


def test_any_number_means_the_product(service: RunningService) -> None:
    asked = [{"placement": "product"}, {"product_share": 0.7}, {"product_x": 0.5}, {"product_y": 0.5}, {"margin": 0}]
    for fields in asked:
        assert service.edit(size="128x128", **fields).status_code == 200
        assert box(service.sampler.requests[-1].mask) == (19, 19, 109, 109)  # 0.7 * 128 = 89.6
    for fields in ({}, {"placement": "photo"}):
        assert service.edit(size="128x128", **fields).status_code == 200
        assert box(service.sampler.requests[-1].mask) == (32, 32, 96, 96)  # the middle half, as it was sent


def test_a_photo_and_a_mask_are_trimmed_to_the_product_too(service: RunningService) -> None:
    large = photo(1200, 900)
    for sent in ({"image": encoded(large)}, {"image": encoded(large), "mask": encoded(255 - stub_cutter(large))}):
        assert service.edit(size="128x128", product_share=0.9, **sent).status_code == 200
        request = service.sampler.requests[-1]
        left, top, right, bottom = box(request.mask)
        assert (left, right) == (6, 121) and abs(bottom - top - 115 * 450 / 600) <= 1
        inside = request.product[top + 2 : bottom - 2, left + 2 : right - 2].astype(int)
        assert (np.abs(inside - (220, 30, 20)) <= 2).all()


def test_a_small_product_of_a_large_photo_stays_sharp(service: RunningService) -> None:
    """Its stripes, one pixel wide in the photo, are there still: the photo is not decoded smaller first."""
    pixels = np.zeros((3000, 3000, 4), np.uint8)
    stripes = np.zeros((100, 100, 4), np.uint8)
    stripes[..., 3], stripes[:, ::2, 0] = 255, 255
    pixels[1000:1100, 2000:2100] = stripes
    assert service.edit(encoded(pixels), size="200x200", product_share=0.5).status_code == 200
    request = service.sampler.requests[0]
    assert box(request.mask) == (50, 50, 150, 150)
    np.testing.assert_array_equal(request.product[50:150, 50:150], stripes[..., :3])


def test_placements_that_cannot_be(service: RunningService) -> None:
    assert line(service, placement="photo", product_share=0.5) == (
        "product_share",
        "placement=photo fits the whole picture, product_share places the product; leave one of them out",
    )
    assert line(service, placement="photo", margin=0.1)[0] == "margin"
    assert line(service, placement="middle")[0] == "placement"
    for field, value in [
        ("product_share", 0.04),
        ("product_share", 0.96),
        ("product_share", "nan"),
        ("product_x", -0.1),
        ("product_y", 1.1),
        ("product_y", "inf"),
        ("margin", -0.01),
        ("margin", 0.46),
        ("product_x", "left"),
    ]:
        param, text = line(service, **{field: value})
        assert param == field and text.startswith(field)
    assert line(service, product_share=0.9, margin=0.1) == (
        "product_share",
        "product_share=0.9 leaves no margin=0.1 on both sides; lower one of them: product_share to 0.8, or margin to "
        "0.05",
    )
    _, text = line(service, product_share=0.729, margin=0.1358)
    assert text.endswith("product_share to 0.728, or margin to 0.135")  # what is advised holds
    tall = encoded(np.pad(np.full((66, 7, 4), 255, np.uint8), ((2, 2), (31, 32), (0, 0))))
    _, text = line(service, image=tall, product_share=0.774, margin=0.113, product_y=0.07)  # 1 in all, but for rounding
    assert text.endswith("; give product_y from 0.5 to 0.5")
    assert line(service, product_share=0.5, product_x=0.2) == (
        "product_x",
        "the product would be 5.0% beyond the left border; give product_x from 0.25 to 0.75, or lower product_share to "
        "0.4",
    )
    assert line(service, product_share=0.5, product_y=0.72, margin=0.05)[0] == "product_y"


# Marketplaces


def test_a_marketplaces_preset(service: RunningService) -> None:
    answer = service.edit(marketplace="instagram").json()
    assert (answer["size"], answer["canvas"], answer["output_format"]) == ("1080x1350", "64x80", "jpeg")
    assert picture(answer).size == (1080, 1350) and picture(answer).format == "JPEG"
    left, top, right, bottom = box(service.sampler.requests[0].mask)
    assert (right - left, bottom - top) == (38, 38) and left == 13 and top == 21  # 0.6 * 64 = 38.4
    assert read(service_file(answer)).state == "signed"


def service_file(answer: dict[str, Any]) -> bytes:
    return base64.b64decode(answer["data"][0]["b64_json"])


@pytest.mark.parametrize("name", MARKETPLACES)
def test_every_marketplaces_picture_is_as_it_wants_it(service: RunningService, name: str) -> None:
    place = MARKETPLACES[name]
    answer = service.edit(marketplace=name).json()
    assert picture(answer).size == place.size and answer["output_format"] in place.formats
    assert len(service_file(answer)) <= place.max_bytes


def test_explicit_fields_override_a_preset(service: RunningService) -> None:
    fields = {"size": "128x128", "product_share": 0.5, "margin": 0, "product_x": 0.3, "output_format": "png"}
    answer = service.edit(marketplace="ebay", **fields).json()
    assert (answer["size"], answer["canvas"], answer["output_format"]) == ("1600x1600", "128x128", "png")
    assert box(service.sampler.requests[0].mask) == (6, 32, 70, 96)
    service.edit(marketplace="ebay", placement="photo", size="128x128")
    assert box(service.sampler.requests[1].mask) == (32, 32, 96, 96)
    assert service.edit(marketplace="ebay", output_size="800x1000").json()["size"] == "800x1000"


def test_marketplaces_that_cannot_be(service: RunningService) -> None:
    assert line(service, marketplace="Amazon") == (
        "marketplace",
        "marketplace is none that has a preset here; the nearest name is amazon",
    )
    assert line(service, marketplace="x")[1].endswith(
        "use one of amazon, ebay, etsy, google, instagram, ozon, pinterest, shopify, walmart, wildberries"
    )
    assert line(service, marketplace="amazon", size="4:5") == (
        "size",
        "size=4:5 has another shape than output_size=2000x2000 (of marketplace=amazon); leave size out, or give an "
        "output_size of its shape",
    )
    assert line(service, marketplace="amazon", output_format="webp") == (
        "output_format",
        "marketplace=amazon takes jpeg or png, no webp; leave output_format out",
    )
    assert line(service, marketplace="walmart", output_format="png") == (
        "output_format",
        "a png of 2200x2200 may have 15 MB, marketplace=walmart takes 5; leave output_format out",
    )
    assert line(service, marketplace="shopify", product_share=0.95)[1].endswith(
        "lower one of them: product_share to 0.9, or margin to 0.025"
    )


def test_a_file_too_large_for_the_place_loses_quality_and_says_so(service: RunningService) -> None:
    """The stub paints noise, which JPEG can't pack."""
    fields = {"marketplace": "instagram", "size": "1080x1352", "output_size": "1080x1352"}
    large = {**fields, "output_size": "3240x4056"}
    assert "output_compression" not in service.edit(**fields).json()["data"][0]
    answer, kept = service.edit(**large).json(), service.edit(**large, output_compression=100).json()
    assert len(service_file(answer)) <= 8_000_000 < len(service_file(kept))
    assert answer["data"][0]["output_compression"] < 95 and "output_compression" not in kept["data"][0]


# Crops


def test_crops_come_from_one_scene(service: RunningService) -> None:
    fields = {"crops": "1:1, 4:5,16:9", "product_share": 0.5, "seed": 4}
    answer = service.edit(**fields).json()
    assert len(service.sampler.requests) == 1 == len(service.sampler.reserved)
    request = service.sampler.requests[0]
    assert answer["canvas"] == "88x80" and request.mask.shape == (80, 88) and "size" not in answer
    data = answer["data"]
    assert [(one["crop"], one["size"], one["seed"]) for one in data] == [
        ("1:1", "64x64", 4),
        ("4:5", "64x80", 4),
        ("16:9", "88x48", 4),
    ]
    canvas = np.random.default_rng(4).integers(0, 256, (80, 88, 3), np.uint8)
    canvas = paste_product(canvas, request.product, request.mask)
    for place, (left, top, width, height) in enumerate([(12, 8, 64, 64), (12, 0, 64, 80), (0, 16, 88, 48)]):
        part = canvas[top : top + height, left : left + width]
        np.testing.assert_array_equal(np.asarray(picture(answer, place)), part)
    left, top, right, bottom = box(request.mask)
    assert (right - left, bottom - top) == (24, 24)  # half of 48, the least height
    own = canvas[top:bottom, left:right]
    for place, (x, y) in enumerate([(12, 8), (12, 0), (0, 16)]):
        crop = np.asarray(picture(answer, place))
        np.testing.assert_array_equal(crop[top - y : bottom - y, left - x : right - x], own)


def test_crops_keep_the_whole_photo_where_no_product_is_placed(service: RunningService) -> None:
    service.edit(crops="1:1,16:9")
    assert box(service.sampler.requests[0].mask) == (32, 20, 56, 44)  # 64 x 64 as 48 x 48, in the middle of 88 x 64


def test_every_scene_is_judged_once_and_comes_in_all_crops(service: RunningService) -> None:
    fields = {"crops": "1:1,16:9", "n": 2, "best_of": 4, "seed": 1, "check_expansion": True}
    answer = service.edit(**fields).json()
    assert len(service.sampler.requests) == 4 and service.sampler.reserved[0][0] == 4
    assert [(one["crop"], one["score"], one["seed"]) for one in answer["data"]] == [
        ("1:1", 4.5, image_seed(1, 1)),
        ("16:9", 4.5, image_seed(1, 1)),
        ("1:1", 3.25, image_seed(1, 3)),
        ("16:9", 3.25, image_seed(1, 3)),
    ]
    growth = [one["expansion"] for one in answer["data"]]
    assert growth[0] == growth[1] and growth[2] == growth[3]
    assert shown(answer) == shown(service.edit(**fields).json())


def test_one_crop_has_a_size_and_lists_are_taken_by_openais_client_as_text(service: RunningService) -> None:
    answer = service.client().images.edit(
        image=("a.png", cutout()), prompt="Cup", extra_body={"crops": "4:5", "product_share": 0.6}
    )
    assert answer.size == "64x80" and answer.data and answer.data[0].model_extra
    assert answer.data[0].model_extra["crop"] == "4:5"
    with pytest.raises(openai.BadRequestError, match="crops"):
        service.client().images.edit(image=("a.png", cutout()), prompt="Cup", extra_body={"crops": ["4:5", "1:1"]})


def test_crops_that_cannot_be(service: RunningService) -> None:
    assert line(service, crops="1:1,4x5") == (
        "crops",
        "crops: 4x5 is no ratio from 1:3 to 3:1; give some such as 1:1,4:5,16:9",
    )
    assert line(service, crops="1:1,2:2")[1] == "crops: 2:2 is there twice; give each ratio once"
    assert line(service, crops="1:1,,4:5")[0] == "crops"
    assert line(service, crops="1:1,4:5,16:9,9:16,3:4,4:3,2:3")[1] == "crops has 7 ratios; at most 6"
    assert line(service, crops="1:1,4:5,16:9", n=3) == (
        "crops",
        "n=3 scenes in 3 crops are 9 pictures; an answer has at most 8; lower n, or leave crops out",
    )
    assert line(service, crops="1:1", size="4:5")[1] == (
        "crops have sizes of their own, by their ratios; leave size out"
    )
    assert line(service, crops="1:1", output_size="200x200")[0] == "output_size"
    assert line(service, crops="1:1", marketplace="ebay")[0] == "marketplace"
    assert line(service, crops="1:1,16:9", product_share=0.5, product_x=0.1)[0] == "product_x"


WILD = st.one_of(
    st.text(max_size=12),
    st.floats().map(str),
    st.sampled_from(["1:1", "4:5", "16:9,4:5", "photo", "product", "ebay", "auto", "128x160", "64x64", "0.5", "0.1"]),
)
FIELDS = [
    "size",
    "output_size",
    "crops",
    "placement",
    "product_share",
    "product_x",
    "product_y",
    "margin",
    "marketplace",
    "output_format",
    "n",
    "best_of",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(st.sampled_from(FIELDS), WILD, max_size=5))
def test_wild_fields_are_painted_or_refused(service: RunningService, fields: dict[str, str]) -> None:
    answer = service.edit(**fields)
    if answer.status_code != 200:
        assert error_of(answer, 400)["param"] in FIELDS
        return
    for place, one in enumerate(answer.json()["data"]):
        assert "x".join(map(str, picture(answer.json(), place).size)) == one["size"]


# Jobs


def test_a_jobs_items_take_the_same_fields(service: RunningService) -> None:
    items = [
        {"image": "cup", "name": "Cup", "size": "4:5", "product_share": 0.6},
        {"image": "cup", "name": "Cup", "crops": ["1:1", "16:9"], "n": 2, "seed": 3},
        {"image": "wide", "name": "Cup", "marketplace": "pinterest"},
        {"image": "wide", "name": "Cup"},
        {"image": "wide", "name": "Cup", "product_share": 0.6, "product_x": 0.95},
    ]
    files = {"cup": ("cup", cutout()), "wide": ("wide", cutout(128, 64))}
    answer = service.send("POST", "/v1/jobs", files=files, data={"items": json.dumps(items)})
    assert answer.status_code == 202, answer.text
    place = f"/v1/jobs/{answer.json()['id']}"
    wait_until(lambda: service.send("GET", place).json()["status"] == "completed", 30)
    assert service.send("GET", place).json()["failed"] == 1
    result = zipfile.ZipFile(io.BytesIO(service.send("GET", f"{place}/result").content))
    rows = json.loads(result.read("results.json"))
    text = json.dumps(rows)
    for name, size in [
        ("00000-cup_64x80-0.png", (64, 80)),
        *((f"00001-cup_{x}x{y}-{k}.png", (x, y)) for k, (x, y) in enumerate([(64, 64), (88, 48)] * 2)),
        ("00002-cup_1000x1500-0.jpg", (1000, 1500)),
        ("00003-cup_96x48-0.png", (96, 48)),
    ]:
        assert Image.open(io.BytesIO(result.read(name))).size == size and name in text
    assert '"crop": "16:9"' in text and '"canvas": "88x64"' in text and "beyond the right border" in text


def test_a_jobs_item_is_checked_when_it_is_sent(service: RunningService) -> None:
    items = [{"image": "cup", "name": "Cup", "crops": ["1:1", "9:1"]}]
    files = {"cup": ("cup", cutout())}
    error = error_of(service.send("POST", "/v1/jobs", files=files, data={"items": json.dumps(items)}), 400)
    assert error["param"] == "items[0].crops" and "9:1 is no ratio" in error["message"]
