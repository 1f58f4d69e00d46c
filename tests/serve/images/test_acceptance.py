"""What requests accept: refused images are painted anew, reasons are counted, and none is better than a bad one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from p2i_ray.config.compositing import CompositingConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.serve.edge.backpressure import NotReady, Overloaded
from p2i_ray.serve.images import patience
from p2i_ray.serve.images.candidates import image_seed
from p2i_ray.serve.images.protocol import Verdict
from tests.support.generator_parts import RunningService, StubRanker, cutout, encoded, error_of, open_service
from tests.support.orders import order, result, rows

GROWN = (200, 40, 30)  # the product's own colour


@pytest.fixture(scope="module")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    settings = {"tolerated_flaws": ("blur",)}
    with open_service(str(tmp_path_factory.mktemp("jobs")), settings=settings, max_candidates=6) as running:
        yield running


@pytest.fixture
def own(_own: RunningService) -> Iterator[RunningService]:
    """A service whose n-th picture has a grown product where a test says so."""
    yield _own
    _own.sampler.requests.clear(), _own.sampler.reserved.clear(), _own.judge.found.clear()
    _own.sampler.alter, _own.sampler.refusal = lambda pixels, _: pixels, None


def faulty(service: RunningService, *places: int) -> None:
    """Have the pictures at these places of painting grow a handle, and all be plain otherwise."""
    painted = iter(range(100))

    def alter(pixels: Pixels, request: PaintRequest) -> Pixels:
        plain = np.where(request.mask[..., None] > 0, pixels, np.uint8(120)).astype(np.uint8)
        if next(painted) in places:
            plain[24:40, 48:56] = GROWN
        return plain

    service.sampler.alter = alter


def edit(service: RunningService, **fields: Any) -> dict[str, Any]:
    answer = service.edit(seed=3, **fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_every_picture_has_a_truth_report(own: RunningService) -> None:
    faulty(own, 1)
    answer = edit(own, n=2)
    first, second = (one["truth"] for one in answer["data"])
    assert first["faultless"] and first["unchanged"] == 1 and first["colour"] == 0 and first["expansion"] == 0
    assert not second["faultless"] and second["faults"] == ["grown product"]
    assert answer["painted"] == 2 and answer["replica_seconds"] == 0.5 and "refused" not in answer


def test_a_faulty_product_is_painted_anew_with_another_seed(own: RunningService) -> None:
    faulty(own, 0, 1)
    answer = edit(own, accept="faultless")
    [image] = answer["data"]
    assert image["truth"]["faultless"] and image["seed"] == image_seed(3, 2)
    assert answer["painted"] == 3 and answer["refused"] == {"grown product": 2}
    assert [images for images, _, _ in own.sampler.reserved] == [1, 1, 1]


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_cutout_that_is_nowhere_quite_opaque_is_measured_too(own: RunningService, form: str) -> None:
    """Alphas of 254, as some cutting tools leave them, with a product in other colours."""
    own.sampler.alter = lambda pixels, request: np.where(request.mask[..., None] > 0, np.uint8((0, 0, 255)), pixels)
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 16:48] = (*GROWN, 254)
    answer = own.edit(encoded(pixels), output_format=form).json()
    assert "changed product" in answer["data"][0]["truth"]["faults"] and answer["data"][0]["truth"]["unchanged"] == 0
    assert error_of(own.edit(encoded(pixels), accept="faultless", output_format=form), 422)["code"] == "none_accepted"


def test_what_a_format_loses_is_no_fault_of_the_picture(own: RunningService) -> None:
    """A product of noise, of which JPEG leaves little: it is handed out as faultless, and the file's loss is said."""
    faulty(own)
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 16:48] = np.random.default_rng(0).integers(0, 256, (32, 32, 4), np.uint8)
    pixels[16:48, 16:48, 3] = 255
    answer = own.edit(encoded(pixels), output_format="jpeg", accept="faultless", max_candidates=1).json()
    found = answer["data"][0]["truth"]
    assert found["faultless"] and found["unchanged"] == 1 and found["file_unchanged"] < 0.9 < found["file_colour"]
    png = own.edit(encoded(pixels), accept="faultless", max_candidates=1).json()["data"][0]["truth"]
    assert png["faultless"] and "file_unchanged" not in png


def test_faultless_or_not_at_all(own: RunningService) -> None:
    faulty(own, *range(100))
    error = error_of(own.edit(accept="faultless", max_candidates=3), 422)
    assert error["message"].startswith("none of 3 painted pictures is faultless: grown product (3);")
    assert (error["param"], error["code"]) == ("accept", "none_accepted")
    assert len(own.sampler.requests) == 3


def test_fewer_than_wanted_where_the_rest_is_refused(own: RunningService) -> None:
    faulty(own, 1, 2, 3)
    answer = edit(own, accept="faultless", n=2, max_candidates=4)
    assert len(answer["data"]) == 1 and answer["painted"] == 4 and answer["refused"] == {"grown product": 3}


def test_what_is_accepted_is_not_lost_where_there_is_no_room_for_more(own: RunningService) -> None:
    faulty(own, 1)
    plain = own.sampler.alter

    def full(pixels: Pixels, request: PaintRequest) -> Pixels:
        own.sampler.refusal = Overloaded(1)  # from the second reservation on
        return plain(pixels, request)

    own.sampler.alter = full
    answer = edit(own, accept="faultless", n=2)
    assert len(answer["data"]) == 1 and answer["painted"] == 2 and answer["refused"] == {"grown product": 1}
    own.sampler.refusal = None
    faulty(own, 0)
    plain, own.sampler.alter = own.sampler.alter, full
    assert own.edit(accept="faultless").status_code == 429  # nothing is accepted yet


def test_what_is_accepted_is_not_lost_where_more_would_come_too_late(tmp_path: Any) -> None:
    with open_service(str(tmp_path), answer_s=4) as own:
        faulty(own, 1)
        plain = own.sampler.alter

        def stuck(pixels: Pixels, request: PaintRequest) -> Pixels:
            altered.append(request.seed)
            own.sampler.held = len(altered) == 2  # from the second round on
            return plain(pixels, request)

        altered: list[int] = []
        own.sampler.alter = stuck
        answer = edit(own, accept="faultless", n=2)
        assert len(answer["data"]) == 1 and answer["painted"] == 2 and answer["refused"] == {"grown product": 1}
        assert own.sampler.cancelled == 1 and own.sampler.running == 0  # nobody waits for it any more
        assert own.send("GET", "/v1/usage").json()["pictures"] == 2


def test_approved_pictures_are_faultless_and_without_flaws(own: RunningService) -> None:
    faulty(own, 0)
    own.judge.found = [("wrong scene", "clutter"), None, ("blur",)]  # of pictures 1, 2 and 3: the first isn't asked of
    answer = edit(own, accept="approved")
    assert answer["data"][0]["seed"] == image_seed(3, 3)
    assert answer["refused"] == {"grown product": 1, "wrong scene": 1, "clutter": 1, "not judged": 1}


def test_best_of_ranks_those_that_are_accepted(own: RunningService) -> None:
    """Pictures 0, 2 and 3 are left; the judge's scores for them are 2, 4.5 and none."""
    faulty(own, 1)
    answer = edit(own, accept="faultless", best_of=4)
    assert [(one["seed"], one["score"]) for one in answer["data"]] == [(image_seed(3, 2), 4.5)]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"max_candidates": 3}, "max_candidates goes with accept=faultless or approved"),
        ({"accept": "faultless", "n": 2, "max_candidates": 1}, "max_candidates must be from 2 to 6"),
        ({"accept": "faultless", "max_candidates": 7}, "max_candidates must be from 1 to 6"),
        ({"accept": "perfect"}, "accept: input should be 'any', 'faultless' or 'approved'"),
    ],
)
def test_what_cannot_be_accepted_is_one_line(own: RunningService, fields: dict[str, Any], line: str) -> None:
    assert line in error_of(own.edit(**fields), 400)["message"]
    assert not own.sampler.requests


@pytest.mark.parametrize("light", ["rim", "whole"])
def test_light_changes_the_product_and_is_refused_before_anything_is_painted(own: RunningService, light: str) -> None:
    error = error_of(own.edit(accept="faultless", light=light), 400)
    assert error["param"] == "light" and "send light=off, or accept=any" in error["message"]
    assert not own.sampler.requests
    assert edit(own, accept="any", light=light)["data"]


def test_a_servers_own_light_gives_way_to_faultless_products_unless_its_limits_allow_it(tmp_path: Any) -> None:
    lit = CompositingConfig(light="whole")
    with open_service(str(tmp_path / "strict"), compositing=lit) as service:
        faulty(service)
        assert service.edit().json()["data"][0]["compositing"]["light"] == "whole"
        assert "compositing" not in service.edit(accept="faultless").json()["data"][0]  # the request goes first
        assert "send light=off" in error_of(service.edit(accept="faultless", light="rim"), 400)["message"]
    lax = {"truth": {"min_unchanged": 0, "max_colour": 3}}
    with open_service(str(tmp_path / "lax"), compositing=lit, settings=lax) as service:
        faulty(service)
        assert service.edit(accept="faultless").json()["data"][0]["compositing"]["light"] == "whole"


def test_without_a_judge_nothing_is_approved(tmp_path: Any) -> None:
    with open_service(str(tmp_path), judged=False) as service:
        assert "this server has no judge" in error_of(service.edit(accept="approved"), 400)["message"]
        assert service.edit(accept="faultless").status_code in (200, 422)


def test_reasons_and_seconds_are_metrics(own: RunningService) -> None:
    def value(name: str) -> float:
        lines = own.send("GET", "/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)

    names = (
        'p2i_candidates_total{accept="approved",outcome="accepted"}',
        'p2i_refused_candidates_total{reason="clutter"}',
        'p2i_candidate_seconds_total{accept="approved"}',
        "p2i_truth_reports_total",
        'p2i_product_faults_total{fault="grown product"}',
    )
    before = [value(name) for name in names]
    faulty(own, 0)
    own.judge.found = [("clutter",)]
    edit(own, accept="approved")
    assert [value(name) - old for name, old in zip(names, before, strict=True)] == [1, 1, 0.75, 3, 1]


def test_a_jobs_item_has_its_refusals(own: RunningService) -> None:
    from tests.serve.jobs.test_routes import CUP, finished, submit

    faulty(own, 0, 2, 3, 4)
    items = [{**CUP, "accept": "faultless", "seed": 1, "max_candidates": 3}] * 2
    _, rows = finished(own, submit(own, items))
    assert [row["status"] for row in rows] == ["done", "failed"]
    assert rows[0]["refused"] == {"grown product": 1} and rows[0]["painted"] == 2
    assert rows[1]["refused"] == {"grown product": 3} and rows[1]["reason"].startswith("none of 3 painted")
    assert json.dumps(rows[0]["pictures"][0]["truth"])


def test_a_jobs_item_goes_on_where_it_was_when_there_is_room_again(own: RunningService) -> None:
    from tests.serve.jobs.test_routes import CUP, finished, submit
    from tests.support.serving import wait_until

    def alter(pixels: Pixels, request: PaintRequest) -> Pixels:
        own.sampler.refusal = Overloaded(0.02)
        return grown(pixels, request)

    faulty(own, 1)
    grown, own.sampler.alter = own.sampler.alter, alter
    job = submit(own, [{**CUP, "accept": "faultless", "n": 2, "seed": 1}])
    wait_until(lambda: len(own.sampler.reserved) >= 3, 30)  # it was refused, and asked again
    own.sampler.alter, own.sampler.refusal = lambda pixels, _: pixels, None
    faulty(own)
    _, [row] = finished(own, job)
    assert (row["status"], row["painted"], row["refused"]) == ("done", 3, {"grown product": 1})
    assert sorted(request.seed for request in own.sampler.requests) == sorted(image_seed(1, k) for k in range(3))


@pytest.mark.parametrize("asked", [{"best_of": "3"}, {"accept": "approved"}])
def test_a_jobs_item_keeps_what_is_painted_while_the_judge_is_away(
    own: RunningService, asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LOADING_S", 0.05)
    away = [Overloaded(0.05), NotReady(), Overloaded(0.05)]

    class Away(StubRanker):
        async def rank(self, name: str, pictures: Sequence[Pixels]) -> list[Verdict]:
            if away:
                raise away.pop()
            return await super().rank(name, pictures)

        async def flaws(self, name: str, images: Sequence[Pixels]) -> list[tuple[str, ...] | None]:
            if away:
                raise away.pop()
            return await super().flaws(name, images)

    faulty(own)
    for method in ("rank", "flaws"):
        monkeypatch.setattr(own.judge, method, getattr(Away(), method))
    (row,) = rows(result(own, order(own, b"image,name\ncup.png,Cup\n", {"cup.png": cutout()}, **asked)))
    assert row["status"] == "done" and not away
    assert len(own.sampler.requests) == row["painted"] == int(asked.get("best_of", "1"))


def test_what_fails_after_painting_has_taken_what_it_took(own: RunningService) -> None:
    """Overload in the second round; a judge that fails, in a job."""
    from tests.serve.jobs.test_routes import CUP, finished, submit

    def used() -> int:
        return int(own.send("GET", "/v1/usage").json()["pictures"])

    def alter(pixels: Pixels, request: PaintRequest) -> Pixels:
        own.sampler.refusal = Overloaded(1)
        return grown(pixels, request)

    faulty(own, 0)
    grown, before = own.sampler.alter, used()
    own.sampler.alter = alter
    error_of(own.edit(accept="faultless"), 429)
    own.sampler.refusal = None
    assert used() - before == 1
    own.sampler.alter = lambda pixels, _: pixels
    scores, own.judge.scores = own.judge.scores, []  # the judge fails
    _, [row] = finished(own, submit(own, [{**CUP, "best_of": 1}]))
    own.judge.scores = scores
    assert (row["status"], row["reason"]) == ("failed", "internal error")
    assert (row["painted"], row["replica_seconds"]) == (3, 0.75) and row["seconds"] > 0  # in three tries
    assert used() - before == 2  # no more than was taken


def test_only_what_was_painted_counts_against_the_quota(own: RunningService) -> None:
    def used() -> int:
        return int(own.send("GET", "/v1/usage").json()["pictures"])

    before = used()
    faulty(own, 0)
    edit(own, accept="faultless")
    assert used() - before == 2  # of at most four
    faulty(own, *range(100))
    error_of(own.edit(accept="faultless", max_candidates=3), 422)
    assert used() - before == 5
    error_of(own.edit(b"text", accept="faultless"), 400)
    assert used() - before == 5
