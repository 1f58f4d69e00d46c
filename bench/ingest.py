"""Rows a second of an ingestion against Hugging Face `datasets.map` with two processes, and the driver's memory.

All decode the same photos and cutouts, crop and resize them to a square, encode them, and write them. Each side runs
in processes of its own, started before the clock. `map` does no more than that. The ingestion also takes the
background out of soft edges, measures each cutout, finds near-duplicates and products, and assigns and mixes splits.
`map_same` calls the ingestion's own functions in `datasets.map` for all that is done to a picture: against it stands
what Ray and the finding, assigning and mixing cost.
"""

from __future__ import annotations

import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import children
from p2i_ray.config import Config, ImageConfig, load
from p2i_ray.data.schema import QUALITY

ROWS = {"small": 20_000, "large": 800}  # so that what is done once counts for little
SIDES = {"small": (160, 64), "large": (1000, 512)}  # of a photo and of what becomes of it, pixels
MEMORY_ROWS = (1000, 5000)
REPEATS = 3
PROCESSES = 2
WARM_UP = 512  # rows, so that each process has some


def run() -> dict[str, float]:
    """Rows a second of both sides, the median of repeats and the slowest; their ratio; the driver's memory."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="ingest-") as name:
        folder = Path(name)
        for kind, rows in ROWS.items():
            write_photos(folder / kind, rows, SIDES[kind][0])
            costs: dict[str, list[children.Cost]] = {side: [] for side in RUN}
            for _ in range(REPEATS):  # in turn, so that whatever else the machine does meets all
                for side, seen in costs.items():
                    seen.append(children.measure("bench.ingest", side, folder / kind, SIDES[kind][1]))
            found |= compared(kind, rows, costs)
            own, others = work_ms(folder / kind, rows // 25, SIDES[kind][1])
            found |= {f"ingest_{kind}_ours_work_ms": own, f"ingest_{kind}_map_work_ms": others}
        write_photos(folder / "many", max(MEMORY_ROWS), SIDES["small"][0])
        lines = (folder / "many" / "names.csv").read_text().splitlines()
        for rows in MEMORY_ROWS:
            (folder / "many" / "names.csv").write_text("\n".join(lines[: rows + 1]) + "\n")
            cost = children.measure("bench.ingest", "ours", folder / "many", SIDES["small"][1])
            found[f"ingest_driver_grows_mb_{rows // 1000}k_rows"] = cost.peak_mb
    return found


def compared(kind: str, rows: int, costs: Mapping[str, Sequence[children.Cost]]) -> dict[str, float]:
    """The figures of all sides: rows a second, and processor time a row of all their processes, milliseconds."""
    found: dict[str, float] = {}
    for side, seen in costs.items():
        seconds = [cost.seconds for cost in seen]
        found[f"ingest_{kind}_{side}_rows_per_s"] = rows / statistics.median(seconds)
        found[f"ingest_{kind}_{side}_rows_per_s_min"] = rows / max(seconds)
        found[f"ingest_{kind}_{side}_processor_ms"] = 1000 * statistics.median(c.processor_s for c in seen) / rows
    for rival in sorted(costs.keys() - {"ours"}):
        for figure, better in (("rows_per_s", "ours"), ("processor_ms", rival)):
            worse = rival if better == "ours" else "ours"
            ratio = found[f"ingest_{kind}_{better}_{figure}"] / found[f"ingest_{kind}_{worse}_{figure}"]
            found[f"ingest_{kind}_vs_{rival}_{figure}"] = ratio
    return found


def work_ms(folder: Path, rows: int, side: int) -> tuple[float, float]:
    """Processor time a row that the work itself takes on either side, in this process, milliseconds."""
    import csv

    import pyarrow as pa

    from p2i_ray.data.sources import source, tasks

    table = source.read(str(folder), str(folder / "names.csv")).rows.slice(0, rows)
    table = table.append_column("row", pa.array(range(rows), pa.int64()))
    image = load(Config, "mini").image.model_copy(update={"resolution": side})
    plan = tasks.Plan(str(folder), "", settings=tasks.IngestConfig(), image=image, seed=0)
    lines = list(csv.DictReader((folder / "names.csv").read_text().splitlines()[: rows + 1]))
    few = table.slice(0, 1)
    tasks.make_samples(few, plan, f"{folder}-made")  # loads libraries
    start = time.process_time()
    tasks.make_samples(table, plan, f"{folder}-made")
    half = time.process_time()
    for line in lines:
        converted({**line, "cutout_file": line["cutout"]}, str(folder), side)
    return 1000 * (half - start) / rows, 1000 * (time.process_time() - half) / rows


def write_photos(folder: Path, rows: int, side: int) -> None:
    """Write photos (JPEG, 5:4) of the toy world's products, their cutouts (RGBA PNG), and names.csv."""
    import numpy as np
    from PIL import Image

    from p2i_ray.mini.world import NATURAL, render

    folder.mkdir()
    lines = ["id,file,cutout,name,category"]
    for row in range(rows):
        seen = render(5, row, NATURAL)
        photo = Image.fromarray(seen.image).resize((side, side), Image.Resampling.BICUBIC)
        alpha = Image.fromarray(np.asarray(seen.mask, np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        edge = (-side // 8, 0, side + side // 8, side)  # wider than high: it is cropped
        Image.merge("RGBA", (*photo.split(), alpha)).crop(edge).save(folder / f"{row}-cutout.png", compress_level=1)
        photo.crop(edge).save(folder / f"{row}.jpg", quality=90)
        lines.append(f"{row},{row}.jpg,{row}-cutout.png,{seen.name} {row},{seen.category}")
    (folder / "names.csv").write_text("\n".join(lines) + "\n")


def ours(folder: Path, side: int) -> None:
    """Ingest all rows, after a few."""
    import numpy as np

    from p2i_ray.cluster import connection
    from p2i_ray.data.sources import ingest, source
    from p2i_ray.data.sources.tasks import IngestConfig, Plan

    config = load(Config, "mini")
    connection.connect(config.ray)
    rows = source.read(str(folder), str(folder / "names.csv")).rows
    image = config.image.model_copy(update={"resolution": side})

    def do(out: str, number: int) -> object:
        plan = Plan(str(folder), f"{folder}-{out}", settings=IngestConfig(), image=image, seed=0)
        done = ingest.ingest(rows.slice(0, number), plan)
        assert sum(done.splits.values()) == number, done.rejected
        return done

    run_number = np.random.default_rng().integers(2**62)
    do(f"few-{run_number}", WARM_UP)
    children.timed(lambda: do(f"all-{run_number}", rows.num_rows))


def by_map(folder: Path, side: int) -> None:
    """The same pictures through `datasets.map`, which writes Arrow files."""
    _map(folder, converted, side)


def by_map_same(folder: Path, side: int) -> None:
    """The same samples, made by the ingestion's own functions, through `datasets.map`."""
    _map(folder, made, side)


def _map(folder: Path, function: Callable[..., dict[str, Any]], side: int) -> None:
    import csv

    import datasets

    datasets.disable_progress_bars()
    with (folder / "names.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    image = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    texts = {name: datasets.Value("string") for name in ("id", "file", "name", "category")}
    features = datasets.Features({**texts, "image": image, "cutout": image})
    if function is made:
        figures = {field.name: datasets.Value(str(field.type)) for field in QUALITY}
        features |= {"quality": figures, "fingerprint": datasets.Value("binary")}

    def do(out: str, number: int) -> object:
        paths = [{**row, "cutout_file": row["cutout"]} for row in rows[:number]]
        table = datasets.Dataset.from_list([{k: v for k, v in row.items() if k != "cutout"} for row in paths])
        return table.map(
            function,
            fn_kwargs={"folder": str(folder), "side": side},
            num_proc=PROCESSES,
            features=features,
            remove_columns=["cutout_file"],
            cache_file_name=f"{folder}-{out}.arrow",
            load_from_cache_file=False,
        )

    do("few", WARM_UP)
    children.timed(lambda: do("all", len(rows)))


def converted(row: dict[str, Any], folder: str, side: int) -> dict[str, Any]:
    """A row's photo and cutout as square pictures."""
    return {
        "image": {"bytes": _square(f"{folder}/{row['file']}", "RGB", side), "path": f"{row['id']}.jpg"},
        "cutout": {"bytes": _square(f"{folder}/{row['cutout_file']}", "RGBA", side), "path": f"{row['id']}-cutout.png"},
    }


def made(row: dict[str, Any], folder: str, side: int) -> dict[str, Any]:
    """A row's sample as an ingestion makes it, and its fingerprint."""
    from p2i_ray.data import writing
    from p2i_ray.data.cutouts.settings import CutoutConfig
    from p2i_ray.data.near_duplicates import fingerprint
    from p2i_ray.data.sources.samples import Files, make_sample

    files = Files(Path(folder, row["file"]).read_bytes(), cutout=Path(folder, row["cutout_file"]).read_bytes())
    image = _limits().model_copy(update={"resolution": side})
    sample = make_sample(files, CutoutConfig(), image)
    assert sample.picture is not None
    written = writing.sample(
        row["id"],
        row["name"],
        row["category"],
        cutout=sample.cutout,
        picture=sample.picture,
        quality=sample.quality._asdict(),
    )
    return {**written, "fingerprint": fingerprint(sample.picture)}


@functools.lru_cache(maxsize=1)
def _limits() -> ImageConfig:
    return load(Config, "mini").image


def _square(file: str, mode: str, side: int) -> bytes:
    import io

    from PIL import Image

    with Image.open(file) as opened:
        picture = opened.convert(mode)
    free = (picture.width - picture.height) // 2
    square = picture.crop((free, 0, free + picture.height, picture.height))
    out = io.BytesIO()
    small = square.resize((side, side), Image.Resampling.BOX)
    if mode == "RGB":
        small.save(out, "JPEG", quality=95, subsampling=0)
    else:
        small.save(out, "PNG", compress_level=3)
    return out.getvalue()


RUN = {"ours": ours, "map": by_map, "map_same": by_map_same}

if __name__ == "__main__":
    RUN[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
