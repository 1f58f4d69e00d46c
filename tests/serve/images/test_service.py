"""References and categories of an images edit, by OpenAI's own client: what is painted, and what refused."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from p2i_ray.config import GenerateConfig, ImageConfig
from p2i_ray.config.compositing import CompositingConfig
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.generators.categories import Categories, Category
from p2i_ray.generators.request import GeneratorRequest
from p2i_ray.serve.images.params import OwnGenerators
from tests.support.generator_parts import RunningService, cutout, encoded, error_of, open_service, picture, shown

IMAGE, GENERATE = ImageConfig(resolution=64), GenerateConfig()


def scene(seed: int = 0, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def _styled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    known = Categories([Category("thermos bottle"), Category("sofa")])
    own = OwnGenerators(category=True, personality=True, stand_in=partial(known.stand_in, unknown="error"))
    with open_service(str(tmp_path_factory.mktemp("jobs")), generators=own) as service:
        yield service


@pytest.fixture
def styled(_styled: RunningService) -> RunningService:
    """A service with both generators; a category that was not trained is an error."""
    _styled.sampler.requests.clear(), _styled.styles.references.clear()
    return _styled


def asked(service: RunningService) -> GeneratorRequest:
    request = service.sampler.requests[-1]
    assert isinstance(request, GeneratorRequest)
    return request


def test_openai_clients_second_image_is_the_reference(styled: RunningService) -> None:
    style = scene()
    styled.client().images.edit(
        image=[("product.png", cutout()), ("style.png", encoded(style))],
        prompt="Steel bottle",
        extra_body={"category": " Thermos  bottle"},
    )
    request = asked(styled)
    [reference] = request.references
    np.testing.assert_array_equal(reference.picture, style)
    assert request.category == "Thermos bottle" and request.name == "Steel bottle"
    assert (request.product[20:44, 20:44] == (200, 40, 30)).all()  # the first one is the product
    first, *same = [shown(styled.edit(reference=encoded(style), category="sofa", seed=1).json()) for _ in range(2)]
    assert same == [first] and asked(styled).references[0].picture.tobytes() == style.tobytes()


def test_a_reference_of_another_size_is_brought_to_the_canvas(styled: RunningService) -> None:
    large = encoded(scene().repeat(3, 0).repeat(3, 1))
    assert styled.edit(reference=large, category="sofa").status_code == 200
    assert asked(styled).references[0].picture.shape == (64, 64, 3)
    assert styled.edit(reference=encoded(scene(0, 64, 128)), category="sofa", size="256x128").status_code == 200
    assert asked(styled).references[0].picture.shape == (128, 256, 3)


def test_size_auto_follows_the_reference_whose_shape_a_picture_must_have(styled: RunningService) -> None:
    for sent, size in ((scene(), "64x64"), (scene(0, 48, 96), "96x48")):
        answer = styled.edit(cutout(128, 64), reference=encoded(sent), category="sofa").json()
        assert answer["size"] == size and asked(styled).references[0].picture.shape == asked(styled).product.shape
    assert styled.edit(cutout(128, 64), category="sofa").json()["size"] == "96x48"


def test_without_a_reference_there_is_none(styled: RunningService) -> None:
    assert styled.edit(category="sofa").status_code == 200
    assert asked(styled).references == () and not styled.styles.references


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        (encoded(np.full((64, 64, 3), 40, np.uint8)), "reference: the reference has no background"),
        (encoded(scene(0, 64, 128)), "reference: the reference has 128x64 pixels, what is to be painted 64x64"),
        (cutout(), "reference has transparent pixels: a cutout has no background"),
        (b"text", "reference: unreadable"),
        (encoded(np.zeros((1, 8193), np.uint8)), "reference is 8193x1 pixels; at most 8192 a side"),
    ],
)
def test_a_reference_that_cannot_be_used_is_one_line(styled: RunningService, reference: bytes, line: str) -> None:
    error = error_of(styled.edit(reference=reference, category="sofa", size="64x64"), 400)
    assert line in error["message"] and error["param"] == "reference" and error["code"] == "bad_image"
    assert not styled.sampler.requests


def test_two_references_are_one_line(styled: RunningService) -> None:
    three = [("a.png", cutout()), ("b.png", encoded(scene(1))), ("c.png", encoded(scene(2)))]
    with pytest.raises(openai.BadRequestError, match="2 references came; send one beside the product"):
        styled.client().images.edit(image=three, prompt="Sofa")
    files = {"image": ("a.png", cutout()), "image[]": ("b.png", encoded(scene(1)))}
    more = {**files, "reference": ("c.png", encoded(scene(2)))}
    error = error_of(styled.send("POST", "/v1/images/edits", files=more, data={"prompt": "Sofa"}), 400)
    assert "2 references came" in error["message"]
    alone = styled.send("POST", "/v1/images/edits", files={"reference": more["reference"]}, data={"prompt": "Sofa"})
    assert "image is missing" in error_of(alone, 400)["message"]
    text = styled.send("POST", "/v1/images/edits", files=files, data={"prompt": "Sofa", "reference": "x"})
    assert "reference is text" in error_of(text, 400)["message"]


def test_the_category_falls_back_to_the_name(styled: RunningService) -> None:
    assert styled.edit(prompt="Sofa").status_code == 200
    assert asked(styled).category == "Sofa"
    error = error_of(styled.edit(prompt="Steel bottle"), 400)
    assert "none is given, and the prompt is none: category 'Steel bottle' was not trained" in error["message"]
    error = error_of(styled.edit(category="sofas"), 400)
    assert "category 'sofas' was not trained; the nearest name is 'sofa'" in error["message"]
    assert error["param"] == "category"


def test_an_answer_says_which_category_stood_in(tmp_path: Path) -> None:
    known = Categories([Category("thermos bottle"), Category("sofa")])
    own = OwnGenerators(category=True, stand_in=partial(known.stand_in, unknown="nearest"))
    with open_service(str(tmp_path), generators=own) as service:
        said = [service.edit(category=name).json()["data"][0].get("painted_as") for name in ("Sofas", "SOFA")]
        assert said == ["sofa", None] and asked(service).category == "SOFA"


def test_best_of_ranks_by_judge_and_style(styled: RunningService) -> None:
    """Scores 2, 4.5, none, 3.25 and similarities .5, .25, .75, 1: sums of places 2+2, 0+3, (last), 1+0."""
    data = styled.edit(reference=encoded(scene()), category="sofa", n=4, best_of=4, seed=1).json()["data"]
    assert [(row["score"], row["style"]) for row in data] == [(3.25, 1.0), (4.5, 0.25), (2.0, 0.5), (None, 0.75)]
    np.testing.assert_array_equal(styled.styles.references[0].picture, scene())
    data = styled.edit(category="sofa", n=2, best_of=4).json()["data"]
    assert [row["score"] for row in data] == [4.5, 3.25] and "style" not in data[0]


def test_a_server_without_generators_says_what_it_lacks(service: RunningService) -> None:
    two = [("a.png", cutout()), ("b.png", encoded(scene()))]
    with pytest.raises(
        openai.BadRequestError, match=r"2 files came as image; .* needs a server with generators.person"
    ):
        service.client().images.edit(image=two, prompt="Cup")
    error = error_of(service.edit(reference=encoded(scene())), 400)
    assert "a file came as reference; send one, " in error["message"] and error["param"] == "reference"
    error = error_of(service.edit(category="sofa"), 400)
    assert "no generator that paints by category" in error["message"] and error["param"] == "category"
    assert service.edit().status_code == 200
    assert type(service.sampler.requests[-1]) is PaintRequest


def test_a_batch_jobs_item_names_its_reference(styled: RunningService) -> None:
    import json
    import zipfile

    from tests.support.serving import wait_until

    style = scene(4)
    files = {"cup": ("cup", cutout()), "brand": ("brand", encoded(style))}
    items = [{"image": "cup", "name": "Sofa", "reference": "brand"}, {"image": "cup", "name": "Sofa"}]
    answer = styled.send("POST", "/v1/jobs", files=files, data={"items": json.dumps(items)})
    assert answer.status_code == 202, answer.text
    place = f"/v1/jobs/{answer.json()['id']}"
    wait_until(lambda: styled.send("GET", place).json()["status"] == "completed", 30)
    styles = {request.references[0].picture.tobytes() if request.references else b"" for request in requests(styled)}
    assert styles == {style.tobytes(), b""}
    content = styled.send("GET", f"{place}/result").content
    assert sum(name.endswith(".png") for name in zipfile.ZipFile(io.BytesIO(content)).namelist()) == 2


def requests(service: RunningService) -> list[Any]:
    return list(service.sampler.requests)


def test_a_batch_jobs_reference_is_refused_by_a_server_without_that_generator(service: RunningService) -> None:
    files = {"cup": ("cup", cutout()), "brand": ("brand", encoded(scene()))}
    data = {"items": '[{"image": "cup", "name": "Sofa", "reference": "brand"}]'}
    error = error_of(service.send("POST", "/v1/jobs", files=files, data=data), 400)
    assert "items[0]: a reference needs a server with generators.personality" in error["message"]
    assert error["param"] == "items[0].reference"


def pixels_of(answer: dict[str, Any], index: int = 0) -> np.ndarray:
    return np.asarray(picture(answer, index)).astype(int)


def test_a_shadow_is_drawn_outside_the_product_and_light_changes_the_product_alone(service: RunningService) -> None:
    plain, shaded, lit = (service.edit(seed=3, **more).json() for more in ({}, {"shadow": 0.6}, {"light": "whole"}))
    inside = np.zeros((64, 64), bool)
    inside[16:48, 16:48] = True
    darker = pixels_of(plain) - pixels_of(shaded)
    assert not darker[inside].any() and (darker >= 0).all() and darker[48:52, 24:40].mean() > 10
    assert shaded["data"][0]["compositing"] == {"shadow": 0.6}
    changed = pixels_of(plain) != pixels_of(lit)
    assert not changed[~inside].any() and changed[inside].any()
    done = lit["data"][0]["compositing"]
    assert done["light"] == "whole" and len(done["gains"]) == 3 and 0 < done["colour_difference"] <= 3
    assert "compositing" not in plain["data"][0]
    more = {"seed": 3, "shadow": 0.6}
    by_openai = service.client().images.edit(image=("cutout.png", cutout()), prompt="Steel bottle", extra_body=more)
    assert by_openai.data and by_openai.data[0].model_extra
    assert by_openai.data[0].model_extra["compositing"] == {"shadow": 0.6}


def test_a_shadow_goes_under_a_soft_edge_as_far_as_the_scene_shows_through(service: RunningService) -> None:
    def darker(**fields: Any) -> np.ndarray:
        plain, shaded = (service.edit(seed=3, **more, **fields).json() for more in ({}, {"shadow": 0.6}))
        return pixels_of(plain) - pixels_of(shaded)

    rim = (slice(46, 48), slice(24, 40))  # the lowest rows of the product
    assert not darker()[rim].any()
    soft = darker(soft_edge=3)
    assert soft[rim].mean() > 1 and not soft[20:36, 28:36].any()


def test_a_request_changes_what_the_server_does_by_default(tmp_path: Path) -> None:
    with open_service(str(tmp_path), compositing=CompositingConfig(shadow=0.4, light="rim")) as service:
        both, neither = service.edit(seed=3).json(), service.edit(seed=3, shadow=0, light="off").json()
    assert both["data"][0]["compositing"]["shadow"] == 0.4 and both["data"][0]["compositing"]["light"] == "rim"
    assert "compositing" not in neither["data"][0]


def test_a_shadow_that_can_not_be_drawn_is_answered_with_the_reason(service: RunningService) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[30:, 20:40] = (200, 40, 30, 255)
    done = service.edit(encoded(pixels), shadow=1).json()["data"][0]["compositing"]
    assert done == {"shadow": 0.0, "no_shadow": "the product ends at the picture's lower border"}


@pytest.mark.parametrize(("field", "value"), [("shadow", 1.5), ("shadow", -1), ("shadow", "nan"), ("light", "full")])
def test_a_shadow_or_light_that_there_is_not_is_refused(service: RunningService, field: str, value: object) -> None:
    assert error_of(service.edit(**{field: value}), 400)["param"] == field
    assert not service.sampler.requests


def test_candidates_are_judged_as_they_are_handed_out(service: RunningService) -> None:
    answer = service.edit(seed=3, n=2, best_of=4, shadow=0.6).json()
    assert [one["compositing"]["shadow"] for one in answer["data"]] == [0.6, 0.6]
    alone = service.edit(seed=answer["data"][0]["seed"], shadow=0.6).json()
    np.testing.assert_array_equal(pixels_of(alone), pixels_of(answer))
