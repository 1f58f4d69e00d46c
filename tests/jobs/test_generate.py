"""jobs/generate.py with generators: by each row's category, in the style of its reference, bad rows set aside."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from p2i_ray.config import ImageConfig, load
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.console.cli import main
from p2i_ray.data import reading
from p2i_ray.data.images import Pixels, encode_png
from p2i_ray.data.schema import IMAGE, REFERENCES, SCHEMA
from p2i_ray.diffusion.features.encode import look_up
from p2i_ray.diffusion.features.shards import KnownShards
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import Sampler, SamplerOptions
from p2i_ray.errors import UserError
from p2i_ray.generators.painting import GeneratorPainting
from p2i_ray.generators.request import GeneratorRequest, Reference
from p2i_ray.storage.parquet import read_parquet
from tests.support.generator_folders import make_folders
from tests.support.load_job import load_job
from tests.support.make_requests import DIFFUSION

STEPS = 2


@pytest.fixture(scope="module")
def job() -> ModuleType:
    return load_job("generate")


@pytest.fixture(scope="module")
def generators(tmp_path_factory: pytest.TempPathFactory) -> GeneratorsConfig:
    return make_folders(tmp_path_factory.mktemp("generators"))


def struct(pixels: Pixels) -> dict[str, Any]:
    return {"bytes": encode_png(pixels), "path": None}


def noise(seed: int, height: int = 64, width: int = 64) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pixels(picture: dict[str, Any]) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(picture["bytes"])))


def rows_of(data: str, count: int) -> list[dict[str, Any]]:
    [file, *_] = reading.split_files(data, "test")
    return list(pq.read_table(file, columns=SCHEMA.names).to_pylist()[:count])


def write(folder: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> str:
    (folder / "test").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "test" / "0.parquet")
    return str(folder)


def run(job: ModuleType, *settings: str) -> None:
    given = [f"model={DIFFUSION.base}", "generate.num_workers=1", f"generate.num_inference_steps={STEPS}"]
    main(job.GenerateJob, job.__doc__, job.run, ["--config", "mini", *given, *settings])


def folders(settings: GeneratorsConfig) -> list[str]:
    return [f"generators.{kind}={getattr(settings, kind)}" for kind in ("category", "personality")]


def plain_request(row: dict[str, Any], config: Any) -> PaintRequest:
    """What the job asks for of a painted row, without generators."""
    cut = pixels(row["cutout"])
    return PaintRequest(
        name=row["name"],
        product=cut[..., :3],
        mask=cut[..., 3],
        seed=seed_for(config.seed, "generate", row["id"]),
        steps=STEPS,
        guidance=config.generate.guidance_scale,
        soft_edge=config.generate.soft_edge,
    )


@pytest.mark.long
def test_bad_rows_are_set_aside_and_the_others_painted_by_category_and_reference(
    ray_cluster: None, job: ModuleType, generators: GeneratorsConfig, mini_data: str, tmp_path: Path
) -> None:
    """In a file of EPBD's own types; of a category or name that is null, training's look-up says the same."""
    rows = rows_of(mini_data, 14)
    product = np.zeros((64, 64, 4), np.uint8)
    product[:16, :16] = 255
    for number, row in enumerate(rows):
        row |= {"name": "cup", "category": "cup", "reference": struct(noise(number)), "reference_cutout": None}
    rows[1]["reference_cutout"] = struct(product)
    rows[2]["category"] = "back"
    bad = {
        3: ({"reference": None}, "reference: the row has none"),
        4: ({"reference": {"bytes": b"text", "path": None}}, "reference: unreadable"),
        5: ({"reference_cutout": struct(np.full((64, 64, 4), 255, np.uint8))}, "the reference is all product"),
        6: ({"reference": struct(np.full((64, 64, 3), 9, np.uint8))}, "the reference has no background"),
        7: ({"reference": struct(noise(7, 32))}, "64x32 pixels, what is to be painted 64x64: another shape"),
        8: ({"reference_cutout": struct(product[:32])}, "the reference picture has 64x64 pixels, its mask 64x32"),
        9: ({"reference": rows[9]["cutout"]}, "reference: the picture has transparent pixels, so it is a cutout"),
        10: ({"category": "kup"}, "category 'kup' was not trained; the nearest name is 'cup'"),
        11: ({"reference": struct(noise(11, 256, 256))}, "reference: too large: "),
        12: ({"category": None}, "the request has no category; name one, or leave the category-wise generator out"),
        13: ({"name": None}, "the product has no name"),
    }
    for number, (changes, _) in bad.items():
        rows[number] |= changes
    data = write(tmp_path / "data", rows, pa.schema([*SCHEMA, *REFERENCES]))
    given = [*folders(generators), "generators.unknown_category=error", "image.max_bytes=150000"]
    run(job, f"data={data}", f"out={tmp_path}/out", *given)
    found = {row["id"]: row for row in read_parquet(str(tmp_path / "out"), locations_of(tmp_path / "out")).to_pylist()}
    assert set(next(iter(found.values()))) == {"id", "name", "category", "image", "cutout", "error", "painted_as"}
    assert all(row["painted_as"] is None for row in found.values())
    for number, (_, reason) in bad.items():
        row = found[rows[number]["id"]]
        assert row["image"] is None and reason in row["error"]
    settings = generators.model_copy(update={"unknown_category": "error"})
    painter = GeneratorPainting(DIFFUSION, settings).load(DIFFUSION.base, SamplerOptions(fill_to=16))
    config = load(job.GenerateJob, "mini", [f"data={data}", "model=m", "out=o"])
    requests: list[GeneratorRequest] = []
    for number in (0, 1, 2):
        row = found[rows[number]["id"]]
        assert row["error"] is None
        plain = plain_request(row, config)
        mask = product[..., 3] if number == 1 else None
        asked = GeneratorRequest(
            **plain.__dict__, category=row["category"], references=(Reference(noise(number), mask),)
        )
        others = [
            GeneratorRequest(**{**asked.__dict__, "category": "bag"}),
            GeneratorRequest(**{**asked.__dict__, "references": (Reference(noise(99)),)}),
        ]
        requests += [asked, *others]
    painted = painter.paint(requests)
    for number in (0, 1, 2):
        asked, (own, *changed) = requests[3 * number], painted[3 * number : 3 * number + 3]
        np.testing.assert_array_equal(pixels(found[rows[number]["id"]]["image"]), own)
        for other in changed:
            around = asked.mask == 0
            assert np.abs(other[around].astype(int) - own[around]).mean() > 0.5
            np.testing.assert_array_equal(other[asked.mask == 255], own[asked.mask == 255])
    [read] = reading.read_split(data, "test").iter_batches(batch_size=None, batch_format="pyarrow")
    looked_up = look_up(read, KnownShards(str(tmp_path / "none")), ImageConfig(resolution=64), pictures=True)
    trained = {row["id"]: (row["category"], row["error"]) for row in looked_up.to_pylist()}
    expected = [("cup", None), ("", None), ("cup", "the product has no name")]
    assert [trained[rows[number]["id"]] for number in (0, 12, 13)] == expected


def locations_of(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.parquet"))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["{personality}"], "generators.personality paints in the style of a reference, and there is none"),
        (["{category}", "reference={folder}/a.png"], "is used by a personality-wise generator alone"),
        (["reference={folder}/a.png"], "is used by a personality-wise generator alone"),
        (["{personality}", "reference_cutout={folder}/a.png"], "give reference, too"),
        (["{category}", "method=lama"], "stands beside method=product2img, not method=lama"),
        (["{personality}", "reference=self", "reference_cutout={folder}/a.png"], "give reference, too"),
        (["method=ip_adapter", "baseline.ip_adapter_sees=reference"], "baseline.ip_adapter_sees=reference paints in"),
        (
            ["method=ip_adapter", "baseline.ip_adapter_sees=reference", "reference={folder}/a.png"],
            "an IP-Adapter sees each row's: give reference=self",
        ),
        (["method=ip_adapter", "reference=self"], "is used by a personality-wise generator alone"),
        (["{personality}", "reference={folder}/no.png"], "no.png is no file that is there"),
        (["{personality}", "reference={folder}"], "is no file that is there"),
        (["{personality}", "reference={folder}/wide.png"], "has 64x32 pixels, what is to be painted 64x64"),
        (["{personality}", "reference={folder}/flat.png"], "the reference has no background"),
        (["{personality}", "reference={folder}/text.png"], "can't be used: reference: unreadable"),
        (["{personality}", "reference={folder}/cut.png"], "the picture has transparent pixels, so it is a cutout"),
        (
            ["{personality}", "reference={folder}/a.png", "reference_cutout={folder}/all.png"],
            "the reference is all product",
        ),
        (
            ["{personality}", "reference={folder}/a.png", "reference_cutout={folder}/a.png"],
            "reference_cutout: the picture has no alpha channel",
        ),
        (["generators.category={folder}"], "config.json"),
        (["generators.category={personality_folder}"], "is a personality-wise generator; give it as"),
        (["generators.categry=x"], "unknown setting 'generators.categry'; did you mean 'generators.category'?"),
    ],
)
def test_a_mistake_is_one_line_before_ray_starts(
    job: ModuleType,
    generators: GeneratorsConfig,
    mini_data: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    settings: list[str],
    line: str,
) -> None:
    clear = np.dstack([noise(1), np.tile(np.uint8([0, 255]), (64, 32))])
    pictures = {"a": noise(1), "wide": noise(1, 32), "flat": noise(1) * 0, "cut": clear, "all": clear | 255}
    for name, picture in pictures.items():
        (tmp_path / f"{name}.png").write_bytes(encode_png(picture.astype(np.uint8)))
    (tmp_path / "text.png").write_text("text")
    category, personality = folders(generators)
    places = {"category": category, "personality": personality, "personality_folder": generators.personality}
    with pytest.raises(SystemExit) as stopped:
        run(job, f"data={mini_data}", f"out={tmp_path}/o", *[s.format(folder=tmp_path, **places) for s in settings])
    assert stopped.value.code == 2
    errors = [text for text in capfd.readouterr().err.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1 and line in errors[0]
    assert not (tmp_path / "o").exists()


def test_a_column_of_references_that_is_there_twice_is_one_line(
    job: ModuleType, generators: GeneratorsConfig, mini_data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [{**row, "reference": struct(noise(1))} for row in rows_of(mini_data, 1)]
    table = pa.Table.from_pylist(rows, schema=pa.schema([*SCHEMA, pa.field("reference", IMAGE)]))
    (tmp_path / "data" / "test").mkdir(parents=True)
    pq.write_table(table.append_column("reference", table["reference"]), tmp_path / "data" / "test" / "0.parquet")
    with pytest.raises(SystemExit) as stopped:
        run(job, f"data={tmp_path}/data", f"out={tmp_path}/o", *folders(generators))
    assert stopped.value.code == 2
    [line] = [text for text in capfd.readouterr().err.splitlines() if text.startswith("error: ")]
    assert "0.parquet: 2 columns are called reference; keep one" in line


def test_files_of_a_split_that_differ_in_the_columns_of_references_are_one_line(
    job: ModuleType, generators: GeneratorsConfig, mini_data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A cutout that only some files have is not passed over: its product would be painted into backgrounds."""
    rows = [{**row, "reference": struct(noise(1)), "reference_cutout": None} for row in rows_of(mini_data, 2)]
    data = write(tmp_path / "data", rows, pa.schema([*SCHEMA, *REFERENCES]))
    other = pa.Table.from_pylist(rows[:1], schema=pa.schema([*SCHEMA, pa.field("reference", IMAGE)]))
    pq.write_table(other, tmp_path / "data" / "test" / "1.parquet")
    painting = load_method(job, generators, data)
    assert painting.columns == ("reference", "reference_cutout")
    with pytest.raises(UserError, match=r"1.parquet lacks the column reference_cutout"):
        reading.read_split(data, "test", columns=[*SCHEMA.names, *painting.columns])


def test_pictures_of_other_references_or_weights_are_not_reused(
    job: ModuleType, generators: GeneratorsConfig, mini_data: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encode_png(noise(1)))
    given = [f"reference={file}"]
    before = load_method(job, generators, mini_data, *given).made_with()
    assert load_method(job, generators, mini_data, *given).made_with() == before
    assert load_method(job, generators, mini_data, *given, "generators.category_scale=0.5").made_with() != before
    file.write_bytes(encode_png(noise(2)))
    changed = load_method(job, generators, mini_data, *given).made_with()
    assert changed != before
    record = Path(str(generators.category), "generator.json")
    record.write_text(record.read_text() + "\n")
    assert load_method(job, generators, mini_data, *given).made_with() != changed


def test_each_row_s_own_picture_is_its_reference(
    job: ModuleType, generators: GeneratorsConfig, mini_data: str, tmp_path: Path
) -> None:
    """Self to Self: what is asked of a row is what its own picture and cutout as columns of references would ask."""
    own = load_method(job, generators, mini_data, "reference=self")
    assert own.columns == ("image", "cutout")
    rows = [{**row, "reference": row["image"], "reference_cutout": row["cutout"]} for row in rows_of(mini_data, 2)]
    data = write(tmp_path / "data", rows, pa.schema([*SCHEMA, *REFERENCES]))
    by_column = load_method(job, generators, data)
    assert own.made_with() != by_column.made_with()
    blank = np.zeros((64, 64, 3), np.uint8)
    plain = PaintRequest("cup", blank, blank[..., 0], seed=1, steps=2, guidance=3)
    image = load(job.GenerateJob, "mini", [f"data={data}", "model=m", "out=o"]).image
    asked = [method.request(plain, {**rows[0], "category": "cup"}, image) for method in (own, by_column)]
    for one, two in zip(asked[0].references, asked[1].references, strict=True):
        np.testing.assert_array_equal(one.picture, two.picture)
        np.testing.assert_array_equal(one.mask, two.mask)  # type: ignore[arg-type]


def load_method(job: ModuleType, generators: GeneratorsConfig, data: str, *settings: str) -> GeneratorPainting:
    from p2i_ray.generators.methods import method_of

    given = [f"data={data}", "model=m", "out=o", *folders(generators), *settings]
    found = method_of(load(job.GenerateJob, "mini", given), data, "test", model="m")
    assert isinstance(found, GeneratorPainting) and found.name == "product2img+category+personality"
    return found


def test_the_loop_refuses_generators() -> None:
    with pytest.raises(UserError, match=r"unknown setting 'generators.category'"):
        load(load_job("idr").IdrJob, "mini", ["run_dir=r", "data=d", "generators.category=x"])


def test_shadow_and_light_need_the_products_own_pixels(
    job: ModuleType, mini_data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["compositing.shadow=0.5", "generate.paste_product=false"]
    with pytest.raises(SystemExit) as stopped:
        run(job, f"data={mini_data}", f"out={tmp_path}/o", *given)
    assert stopped.value.code == 2 and "set generate.paste_product=true" in capfd.readouterr().err


def test_pictures_get_a_shadow_and_say_so(ray_cluster: None, job: ModuleType, mini_data: str, tmp_path: Path) -> None:
    data = write(tmp_path / "data", rows_of(mini_data, 4), SCHEMA)
    run(job, f"data={data}", f"out={tmp_path}/out", "compositing.shadow=1")
    shaded = read_parquet(str(tmp_path / "out"), locations_of(tmp_path / "out")).to_pylist()
    config = load(job.GenerateJob, "mini", [f"data={data}", "model=m", "out=o"])
    requests = [plain_request(row, config) for row in shaded]
    plain = Sampler(DIFFUSION.base, DIFFUSION, SamplerOptions(fill_to=16)).paint(requests)
    for request, before, after in zip(requests, plain, shaded, strict=True):
        done, inside = json.loads(after["compositing"]), request.mask == 255
        darker = before.astype(int) - pixels(after["image"])
        assert (darker.max() > 0) == (done["shadow"] > 0) == ("no_shadow" not in done)
        assert (darker >= 0).all() and not darker[inside].any()
    assert any(json.loads(row["compositing"])["shadow"] > 0 for row in shaded)
