"""The judge as a rule of an ingestion: what it sets aside, what it doesn't see, and what it is told to cost."""

from __future__ import annotations

import copy
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from p2i_ray.config import HostedConfig, ImageConfig, JudgeConfig
from p2i_ray.data.cleaning.settings import CleaningConfig
from p2i_ray.data.images import encode_png
from p2i_ray.data.schema import EXAMPLES, REJECTED, SPLITS
from p2i_ray.data.sources import source
from p2i_ray.data.sources.ingest import Ingested, ingest
from p2i_ray.data.sources.tasks import IngestConfig, Plan
from p2i_ray.judge.attractiveness import Attractiveness, cache, forecast
from p2i_ray.judge.judge import Judge
from p2i_ray.judge.requests.prompts import Prompt, load_attractiveness
from p2i_ray.mini.world import BALANCED, render
from p2i_ray.storage import folders

MINI = str(Path(__file__).parents[2] / "p2i_ray" / "mini" / "prompts" / "score.yaml")
PHOTOS, LEAST = 12, 4
LONG = "灯" * 300  # more tokens than the engine takes: a row that it refuses


class Remembering(Attractiveness):
    """The rule, which remembers the scores that it got."""

    def __call__(self, samples: str, files: Sequence[str], *, work: str, photos: int) -> dict[str, str]:
        found = super().__call__(samples, files, work=work, photos=photos)
        rows = [row for file in Path(work).glob("*.parquet") for row in pq.read_table(file).to_pylist()]
        self.scores = {row["id"]: row["score"] for row in rows}
        assert len(self.scores) == len(rows) == photos
        return found


def shop(folder: Path, photos: int) -> None:
    """Photos of the toy world with masks, one without a scene, one with a name that no engine takes."""
    folder.mkdir(exist_ok=True)
    lines = []
    for number in range(photos):
        one = render(70, number, BALANCED)
        (folder / f"{number}.png").write_bytes(encode_png(one.image))
        (folder / f"{number}-mask.png").write_bytes(encode_png(one.mask))
        name = LONG if number == 5 else f"{one.name} {number}"
        lines.append((f"r{number}", f"{number}.png", name, one.category, f"{number}-mask.png"))
    clear = render(70, 0, BALANCED)
    (folder / "clear.png").write_bytes(encode_png(np.dstack([clear.image, clear.mask])))
    lines.append(("clear", "clear.png", "Clear", clear.category, ""))
    with (folder / "names.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([("id", "file", "name", "category", "mask"), *lines])


def rows_of(out: Path, part: str) -> dict[str, dict[str, object]]:
    return {row["id"]: row for file in (out / part).glob("*.parquet") for row in pq.read_table(file).to_pylist()}


def ingested(folder: Path, out: Path, judging: Attractiveness) -> Ingested:
    read = source.read(str(folder), str(folder / "names.csv"))
    settings = IngestConfig(cleaning=CleaningConfig(min_attractiveness=LEAST), rows_per_file=64)
    plan = Plan(read.root, str(out), settings=settings, image=ImageConfig(resolution=64), seed=0)
    return ingest(read.rows, plan, judging=judging)


def test_what_the_judge_finds_unattractive_is_set_aside_before_the_splits(judge: Judge, tmp_path: Path) -> None:
    folder, out = tmp_path / "shop", tmp_path / "data"
    shop(folder, PHOTOS)
    saving = copy.copy(judge)
    saving.settings = judge.settings.model_copy(update={"max_name_chars": 2000})
    saving._cache = cache(str(out))
    rule = Remembering(saving, LEAST, MINI)
    done = ingested(folder, out, rule)
    kept = {id for split in SPLITS for id in rows_of(out, split)}
    aside = rows_of(out, REJECTED)
    assert sum(done.splits.values()) + sum(done.rejected.values()) == done.rows == PHOTOS + 1
    assert kept.isdisjoint(aside) and len(kept) + len(aside) == done.rows
    # A cutout without a scene is not asked about.
    assert rule.scores.keys() == {f"r{n}" for n in range(PHOTOS)} and "clear" in kept
    low = {id for id, score in rule.scores.items() if score is not None and score < LEAST}
    assert low and len(low) < PHOTOS - 1 and aside.keys() == low | {"r5"} and done.rejected["unattractive"] == len(low)
    for id in low:
        says = f"unattractive: the judge gives it a {rule.scores[id]}; ingest.cleaning.min_attractiveness={LEAST}"
        assert aside[id]["reason"] == says
    assert str(aside["r5"]["reason"]).startswith("not judged: the model can't be asked")
    shown = rows_of(out, EXAMPLES)
    assert len(shown) == min(8, len(low)) + 1 and shown.keys() <= aside.keys()
    # Asked again about those that are kept: the answers are there.
    answers = set(Path(cache(str(out))).rglob("*.parquet"))
    assert sum(pq.read_metadata(file).num_rows for file in answers) == PHOTOS - 1
    names = folders.names(str(out / "train"), ".parquet")
    scenes = sum(row["image"] is not None for row in rows_of(out, "train").values())
    assert rule(str(out / "train"), names, work=str(tmp_path / "again"), photos=scenes) == {}
    assert set(Path(cache(str(out))).rglob("*.parquet")) == answers


PROMPT = Prompt(version="1", system="s" * 700, user="u" * 100)


def test_the_time_of_engines_is_told() -> None:
    settings = JudgeConfig(model="/models/qwen", replicas=2)
    # 180 s until an engine answers, 15 rows a second and engine: 54,000 / 30 = 1,800 s.
    assert forecast(settings, PROMPT, 54_000, 512) == (
        "up to 54,000 photos, by 2 engines of qwen: on A100s, a model of 7B would take 33 min"
    )
    slower = settings.model_copy(update={"reasoned": True})  # a sentence each: 5 rows a second
    assert "a model of 7B would take 1 h 33 min" in forecast(slower, PROMPT, 54_000, 512)


def test_the_price_of_an_endpoint_is_told() -> None:
    hosted = HostedConfig(url="https://api.example/v1", usd_per_million_input=2, usd_per_million_output=10, max_usd=5)
    settings = JudgeConfig(model="gpt", hosted=hosted)
    # 800 characters are 200 tokens, a picture of 560 pixels is 400: 600 at 2 dollars a million, and one at 10.
    assert forecast(settings, PROMPT, 1000, 560) == (
        "up to 1,000 requests to https://api.example/v1: about 1.21 US dollars, at 600 tokens a request and the prices "
        "of judge.hosted, at most 5 (judge.hosted.max_usd)"
    )
    free = JudgeConfig(model="gpt", hosted=HostedConfig(url="https://api.example/v1"))
    assert "set judge.hosted.usd_per_million_input" in forecast(free, load_attractiveness(), 10, 64)
