"""Orders of a catalogue: products from a table, by styles and sizes, pictures from a zip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from p2i_ray.serve.images.params import OwnGenerators
from tests.support.generator_parts import RunningService, cutout, encoded, open_service, photo, stub_cutter
from tests.support.orders import order, result, rows, state, zipped
from tests.support.serving import wait_until


def test_a_table_gives_what_the_list_of_items_does(service: RunningService) -> None:
    files = {
        "cup.png": cutout(),
        "photo.jpg": encoded(photo(), "JPEG"),
        "mask.png": encoded(255 - stub_cutter(photo())),
    }
    items = [
        {"image": "cup.png", "name": "Steel cup", "seed": 5, "n": 2, "size": "128x64"},
        {
            "image": "photo.jpg",
            "mask": "mask.png",
            "name": "Tasse ☕",
            "seed": 6,
            "best_of": 2,
            "output_format": "jpeg",
        },
    ]
    csv = (
        "image;name;mask;seed;n;best_of;size;output_format\n"
        "cup.png;Steel cup;;5;2;;128x64;\n"
        "photo.jpg;Tasse ☕;mask.png;6;;2;;jpeg\n"
    ).encode("utf-8-sig")
    lines = "\n".join(json.dumps(item) for item in items).encode()
    found = [
        result(service, order(service, None, files, items=json.dumps(items), steps="4")),
        result(service, order(service, csv, files, steps="4")),
        result(service, order(service, lines, files, steps="4")),
    ]
    listed, *others = [[{**row, "seconds": 0} for row in rows(one)] for one in found]
    assert others == [listed, listed]
    assert [row["size"] for row in listed] == ["128x64", "auto"] and [len(row["pictures"]) for row in listed] == [2, 1]
    assert {request.steps for request in service.sampler.requests} == {4}


def test_each_product_in_each_style_and_size(tmp_path: Path) -> None:
    table = b"image,name,negative_prompt\nin/cup.png,Cup,text\nin/mug.png,Mug,\n"
    summer, winter = (encoded(np.random.default_rng(k).integers(0, 256, (64, 64, 3), np.uint8)) for k in (1, 2))
    archive = zipped({"in/cup.png": cutout(), "in/mug.png": cutout(), "summer.png": summer, "more/notes.txt": b"x"})
    styles = [
        {"label": "summer", "reference": "summer.png"},
        {"reference": "winter.png", "seed": 5, "negative_prompt": "snow"},
    ]
    with open_service(str(tmp_path), generators=OwnGenerators(personality=True)) as service:
        form = {"sizes": "64x64, 64x128", "styles": json.dumps(styles)}
        job = order(service, table, {"archive": archive, "winter.png": winter}, **form)
        assert job["total"] == 8
        found = rows(result(service, job))
        assert [row["status"] for row in found] == ["done", "failed"] * 4  # references are square
        requests = service.sampler.requests
    assert [(row["name"], row["style"], row["size"]) for row in found] == [
        (name, style, size) for name in ("Cup", "Mug") for style in ("summer", "2") for size in ("64x64", "64x128")
    ]
    assert [request.negative for request in requests] == ["text", "snow", "", "snow"]
    assert [request.seed for request in requests][1::2] == [5, 5]
    cup, mug = requests[0].seed, requests[2].seed
    assert cup != mug  # drawn for each product
    names = [row["pictures"][0]["file"] for row in found[::2]]
    assert names[:2] == ["00000-cup_summer_64x64-0.png", "00002-cup_2_64x64-0.png"]


def test_a_product_without_a_seed_has_one_for_all_its_sizes(service: RunningService) -> None:
    found = rows(result(service, order(service, sizes="64x64,64x128,128x64")))
    seeds = [row["pictures"][0]["seed"] for row in found]
    assert seeds[0] == seeds[1] == seeds[2] != seeds[3] == seeds[4] == seeds[5]


@pytest.mark.parametrize(
    ("table", "texts", "param", "message"),
    [
        (b"image,name,n\ncup.png,Cup,1\nmug.png,Mug,99\n", {}, "table.n", "table line 3: n must be from 1 to 8"),
        (b"image,name\ncup.png,\n", {}, "table.prompt", "table line 2: prompt is empty"),
        (b"image,name\n,Cup\n", {}, "table.image", "table line 2: image is missing"),
        (b"image,name\nvase.png,Cup\n", {}, "table.image", "table line 2: image names no file of this request"),
        (b"image,name\ncup.png,Cup\n", {}, "mug.png", "no item names the file mug.png"),
        (b'{"image": "cup.png", "name": "Half \\ud83d"}', {}, "table.name", "table line 1: name: has half"),
        (None, {}, "items", "items must be a JSON list such as"),
        (b"image,name,size\ncup.png,Cup,64x64\n", {"sizes": "64x64"}, "table.size", "table line 2: it has a size"),
        (b"image,name\ncup.png,Cup\n", {"sizes": "64x64", "size": "64x64"}, "sizes", "size and sizes are both"),
        (b"image,name\ncup.png,Cup\n", {"sizes": "64x64,"}, "sizes", "sizes must be a list"),
        (b"image,name\ncup.png,Cup\n", {"sizes": "64x64,64x64"}, "sizes", "sizes has 64x64 twice"),
        (b"image,name\ncup.png,Cup\n", {"sizes": "64x64,63x64"}, "table.size", "table line 2: size must be"),
        (b"image,name\ncup.png,Cup\n", {"styles": json.dumps([{}] * 101)}, "styles", "101 styles; at most 100"),
        (b"image,name\ncup.png,Cup\n", {"sizes": "64x64," * 100 + "8x8"}, "sizes", "there are 101 sizes"),
        (b"image,name\ncup.png,Cup\n", {"styles": "[]"}, "styles", "styles must be a JSON list"),
        (b"image,name\ncup.png,Cup\n", {"styles": "[1]"}, "styles", "styles must be a JSON list"),
        (b"image,name\ncup.png,Cup\n", {"styles": '[{"sed": 1}]'}, "styles[0]", "styles[0]: sed is no field of a "
         "product; the closest is seed"),
        (b"image,name\ncup.png,Cup\n", {"styles": '[{}, {"mask": "m"}]'}, "styles[1]", "styles[1]: a style has no "
         "mask"),
        (b"image,name\ncup.png,Cup\n", {"styles": '[{"label": ""}]'}, "styles[0]", "styles[0]: label must be"),
        (b"image,name\ncup.png,Cup\n", {"styles": '[{"label": "a"}, {"label": "a"}]'}, "styles", "the label a twice"),
        (b"image,name\ncup.png,Cup\n", {"styles": '[{"label": "a", "steps": 999}]'}, "table.steps", "table line 2, "
         "style a: steps must be"),
        (b"image,name\ncup.png,Cup\n", {"styles": '[{"reference": "mug.png"}]'}, "table.reference", "reference needs"),
        (b"image,name\n" + b"cup.png,Cup\n" * 251, {"sizes": "64x64,64x72", "n": "2"}, "table", "most 1000 pictures"),
    ],
)  # fmt: skip
def test_refused_orders(
    service: RunningService, table: bytes | None, texts: dict[str, str], param: str, message: str
) -> None:
    before = {path.name for path in service.jobs.iterdir()}
    error = order(service, table, status=400, **texts)
    assert error["param"] == param and message in error["message"]
    assert not service.sampler.requests and {path.name for path in service.jobs.iterdir()} == before


def test_archives_and_fields_of_the_form(service: RunningService) -> None:
    archive = zipped({"cup.png": cutout()})
    error = order(service, b"image,name\ncop.png,Cup\n", {"archive": archive}, status=400)
    assert error["message"].endswith("image names no file of this request; the archive has cup.png")
    error = order(service, b"image,name\ncup.png,Cup\n", {"archive": archive, "cup.png": cutout()}, status=400)
    assert "cup.png is a field of the form and a file of the archive" in error["message"]
    assert "no zip file" in order(service, files={"archive": cutout()}, status=400)["message"]
    items = json.dumps([{"image": "table", "name": "Table"}, {"image": "archive", "name": "Archive"}])
    found = rows(result(service, order(service, None, {"table": cutout(), "archive": cutout()}, items=items)))
    assert [row["status"] for row in found] == ["done", "done"]  # names of files as any others, as ever
    items = json.dumps([{"image": "cup.png", "name": "Cup"}])
    assert rows(result(service, order(service, None, {"archive": archive}, items=items)))[0]["status"] == "done"


def test_a_job_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """A folder as it was written before orders had styles, prices and webhooks."""
    with open_service(str(tmp_path)) as service:
        service.sampler.held = True
        job = order(service, None, {"cup.png": cutout()}, items='[{"image": "cup.png", "name": "Cup", "seed": 3}]')
        wait_until(lambda: service.sampler.running == 1)
    path = tmp_path / job["id"] / "job.json"
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    kept = {name: content[name] for name in ("id", "owner", "created", "rows")}
    for row in kept["rows"]:
        del row["style"], row["size"], row["work"]
    path.write_text(json.dumps(kept), "utf-8")
    with open_service(str(tmp_path)) as service:
        found = rows(result(service, job))
        assert [(row["status"], row["size"], row["style"]) for row in found] == [("done", "auto", None)]
        assert "estimate" not in state(service, job) and state(service, job)["pictures"] == 1
