"""Images edits by OpenAI's own client: what is sent, what is painted, what comes back."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from PIL import Image

from p2i_ray.provenance.reading import read
from p2i_ray.serve.images.candidates import image_seed
from tests.support.generator_parts import (
    MODEL,
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


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_openai_client(service: RunningService, tmp_path: Path, kind: str) -> None:
    (tmp_path / "cutout.png").write_bytes(cutout(100, 50))
    with (tmp_path / "cutout.png").open("rb") as image:
        answer = service.client().images.edit(
            model="product2img",
            image=image,
            prompt="Steel thermos bottle",
            n=2,
            size="128x64",
            response_format="b64_json",
            output_format=kind,  # type: ignore[arg-type]
            user="someone",
        )
    assert answer.output_format == kind and answer.size == "128x64" and len(answer.data or []) == 2
    for painted in answer.data or []:
        opened = Image.open(io.BytesIO(base64.b64decode(painted.b64_json or "")))
        assert opened.format == kind.upper() and opened.size == (128, 64)
    seeds = [one.seed for one in service.sampler.requests]
    marks = [read(base64.b64decode(painted.b64_json or "")) for painted in answer.data or []]
    assert [(one.state, one.facts) for one in marks] == [("signed", {"model": MODEL, "seed": seed}) for seed in seeds]
    first, second = service.sampler.requests
    assert first.name == "Steel thermos bottle" and (first.steps, first.guidance, first.negative) == (7, 3, "")
    assert first.mask.shape == (64, 128) and first.product.shape == (64, 128, 3)
    assert first.seed != second.seed
    # 100 x 50 fits as 128 x 64: the middle half of it is the product, clear of the border
    assert (first.mask[20:44, 40:88] == 255).all() and (first.mask[:12] == 0).all() and (first.mask[:, :28] == 0).all()
    assert (first.product[20:44, 40:88] == (200, 40, 30)).all()


def test_a_list_with_one_image_is_that_image_and_several_are_refused(service: RunningService) -> None:
    client = service.client()
    answer = client.images.edit(image=[("a.png", cutout())], prompt="Cup")
    assert len(answer.data or []) == 1 and answer.size == "64x64"
    with pytest.raises(openai.BadRequestError, match="2 files came as image; send one"):
        client.images.edit(image=[("a.png", cutout()), ("b.png", cutout())], prompt="Cup")


def test_our_fields_pass_through_extra_body(service: RunningService) -> None:
    answer = service.client().images.edit(
        image=("a.png", cutout()),
        prompt="  Steel\n bottle\x00 ",
        extra_body={
            "seed": 5,
            "steps": 3,
            "guidance": 1.5,
            "negative_prompt": "text",
            "soft_edge": 2,
            "check_expansion": True,
        },
    )
    request = service.sampler.requests[0]
    assert (request.seed, request.steps, request.guidance, request.negative) == (5, 3, 1.5, "text")
    assert request.soft_edge == 2 and request.name == "Steel bottle"
    assert answer.data and answer.data[0].model_extra and answer.data[0].model_extra["seed"] == 5
    assert answer.data[0].model_extra["expansion"] >= 0


def test_the_same_seed_gives_the_same_images_and_each_is_reproducible_alone(service: RunningService) -> None:
    first = service.edit(n=3, seed=11).json()
    assert shown(first) == shown(service.edit(n=3, seed=11).json())
    seeds = [data["seed"] for data in first["data"]]
    assert seeds == [11, image_seed(11, 1), image_seed(11, 2)] and len(set(seeds)) == 3
    assert shown(service.edit(n=1, seed=seeds[2]).json()) == shown(first)[2:]
    free = service.edit().json()
    assert free["seed"] != service.edit().json()["seed"]
    assert shown(service.edit(seed=free["seed"]).json()) == shown(free)


def test_best_of_returns_the_best_with_score_and_reason(service: RunningService) -> None:
    data = service.edit(n=3, best_of=4, seed=1).json()["data"]
    assert [(row["score"], row["reason"]) for row in data] == [
        (4.5, "picture 1 of Steel bottle"),
        (3.25, "picture 3 of Steel bottle"),
        (2.0, "picture 0 of Steel bottle"),
    ]
    assert [row["seed"] for row in data] == [image_seed(1, k) for k in (1, 3, 0)]
    last = service.edit(n=4, best_of=4).json()["data"][3]
    assert last["score"] is None and last["reason"] == "picture 2 of Steel bottle"
    assert "score" not in service.edit().json()["data"][0]


def test_a_photo_and_a_mask_by_either_convention_are_the_same_request(service: RunningService) -> None:
    pixels = photo()
    product = stub_cutter(pixels)
    clear = encoded(np.dstack([np.zeros_like(pixels), product]))  # OpenAI's: clear is painted
    white = encoded(255 - product)  # inpainting tools': white is painted
    flat = encoded(np.dstack([*[255 - product] * 3, np.full_like(product, 255)]))  # the same with an alpha of no use
    for mask in (clear, white, flat):
        assert service.edit(encoded(pixels), mask=mask, seed=1).status_code == 200
    for request in service.sampler.requests:
        np.testing.assert_array_equal(request.mask, product)
        assert (request.product[product > 0] == (220, 30, 20)).all()


def test_a_mask_overrides_the_alpha_of_an_image_that_shows_its_photo_below(service: RunningService) -> None:
    mask = np.full((64, 64), 255, np.uint8)
    mask[:, :8] = 0
    scene = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    alpha = np.asarray(Image.open(io.BytesIO(cutout())))[..., 3]
    assert service.edit(encoded(np.dstack([scene, alpha])), mask=encoded(mask)).status_code == 200
    np.testing.assert_array_equal(service.sampler.requests[0].mask, 255 - mask)


@pytest.mark.parametrize("openais", [True, False])
def test_what_is_clear_in_a_cutout_is_painted_whatever_its_mask_says(service: RunningService, openais: bool) -> None:
    """The black that its clear pixels were filled with is nobody's product."""
    alpha = np.zeros((64, 64), np.uint8)
    alpha[8:56, 8:32] = 255  # a box over the left half of the product, and beyond it
    mask = np.dstack([np.zeros((64, 64, 3), np.uint8), alpha]) if openais else 255 - alpha
    assert service.edit(mask=encoded(mask)).status_code == 200
    request = service.sampler.requests[0]
    assert (request.mask[16:48, 16:32] == 255).all() and np.count_nonzero(request.mask) == 32 * 16
    assert (request.product == (200, 40, 30)).all()


def test_a_photo_alone_is_cut_out(service: RunningService) -> None:
    assert service.edit(encoded(photo())).status_code == 200
    np.testing.assert_array_equal(service.sampler.requests[0].mask, stub_cutter(photo()))
    grey = np.full((64, 64, 3), 90, np.uint8)
    error = error_of(service.edit(encoded(grey)), 400)
    assert error["code"] == "no_product" and error["message"].startswith("image: no product found")


def test_what_lies_outside_the_product_is_its_own_colour(service: RunningService) -> None:
    """A soft edge mixes in what is just outside: it must be neither black nor the old background."""
    service.edit(encoded(photo()))
    request = service.sampler.requests[0]
    assert (np.abs(request.product.astype(int) - (220, 30, 20)) <= 2).all()


@pytest.mark.parametrize(("size", "inside"), [("128x64", (64, 64)), ("64x128", (64, 64)), ("512x512", (512, 512))])
def test_the_aspect_is_kept_and_the_whole_product_is_inside(
    service: RunningService, size: str, inside: tuple[int, int]
) -> None:
    assert service.edit(size=size).json()["size"] == size
    mask = service.sampler.requests[0].mask >= 128
    width, height = (int(side) for side in size.split("x"))
    assert mask.shape == (height, width)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert abs(len(columns) - inside[0] / 2) <= 1 and abs(len(rows) - inside[1] / 2) <= 1
    assert abs(rows.mean() - (height - 1) / 2) <= 1 and abs(columns.mean() - (width - 1) / 2) <= 1


def test_the_image_quality_can_be_chosen(service: RunningService) -> None:
    small, large = (service.edit(output_format="webp", output_compression=q, seed=1).json() for q in (5, 95))
    marks = 4000  # bytes, the same in both
    sizes = [len(base64.b64decode(one["data"][0]["b64_json"])) - marks for one in (small, large)]
    assert 0 < 3 * sizes[0] < sizes[1]
    assert picture(small).size == (64, 64)


@pytest.mark.parametrize(
    ("kind", "compression", "same"), [("png", 100, True), ("webp", 100, True), ("webp", 99, False)]
)
def test_nothing_is_lost_where_100_is_asked_for(
    service: RunningService, kind: str, compression: int, same: bool
) -> None:
    expected = np.asarray(picture(service.edit(seed=1).json()))
    found = picture(service.edit(seed=1, output_format=kind, output_compression=compression).json())
    assert found.format == kind.upper() and bool((np.asarray(found) == expected).all()) == same


@pytest.mark.parametrize(
    "fields",
    [
        *({"quality": quality} for quality in ("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd")),
        {"output_format": "png", "output_compression": 100},
        {"background": "auto"},
        {"background": "opaque"},
        {"input_fidelity": "high", "complexity": "low"},
        {"stream": False, "partial_images": 0},
        {"size": "1024x1536"},
        {"size": "1536x1024"},
        {"n": 2, "response_format": "b64_json", "safety_identifier": "x", "user": "x"},
    ],
    ids=str,
)
def test_openais_own_values_are_taken(service: RunningService, fields: dict[str, Any]) -> None:
    answer = service.client().images.edit(model="product2img", image=("a.png", cutout()), prompt="Mug", **fields)
    assert len(answer.data or []) == fields.get("n", 1) and answer.size == fields.get("size", "64x64")
    assert {request.steps for request in service.sampler.requests} == {7}  # quality changes nothing: steps do


def test_a_model_has_further_names_by_a_setting(tmp_path: Path) -> None:
    with open_service(str(tmp_path), settings={"model_aliases": ["gpt-image-1", "org/model"]}) as service:
        client = service.client()
        for model in ("product2img", "gpt-image-1", "org/model"):
            assert client.images.edit(model=model, image=("a.png", cutout()), prompt="Mug").data
        assert [model.id for model in client.models.list()] == ["product2img", "gpt-image-1", "org/model"]
        assert client.models.retrieve("gpt-image-1").id == "gpt-image-1"
        assert error_of(service.edit(model="dall-e-2"), 404)["message"] == "there is no such model; use product2img"


def test_models(service: RunningService) -> None:
    assert [model.id for model in service.client().models.list()] == ["product2img"]
    assert service.client().models.retrieve("product2img").object == "model"
    with pytest.raises(openai.NotFoundError, match="use product2img"):
        service.client().models.retrieve("gpt-image-1")


def test_cutouts(service: RunningService) -> None:
    upright = Image.fromarray(photo(2000, 1000))
    answer = service.send("POST", "/v1/cutouts", files={"image": ("p.jpg", encoded(upright, "JPEG", quality=95))})
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    cut = Image.open(io.BytesIO(answer.content))
    assert cut.mode == "RGBA" and cut.size == (1536, 768)  # limits.max_size
    alpha = np.asarray(cut.getchannel("A"))
    assert (alpha[225:540, 420:1110] == 255).all() and (alpha[:180] == 0).all()
    again = service.send(
        "POST", "/v1/cutouts", files={"image": ("p.png", cutout())}, data={"response_format": "b64_json"}
    ).json()
    assert base64.b64decode(again["b64_json"]) and set(again) == {"created", "b64_json"}
    assert service.edit(answer.content).status_code == 200


def test_without_a_cutter_and_a_judge(tmp_path: Path) -> None:
    with open_service(str(tmp_path), cutter=None, judged=False) as service:
        assert service.edit().status_code == 200
        assert error_of(service.edit(encoded(photo())), 400)["param"] == "image"
        assert error_of(service.edit(best_of=2), 400)["param"] == "best_of"
