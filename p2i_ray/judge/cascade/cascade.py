"""A cheaper judge: a head on CLIP features decides the sure rows, the LMM the rest.

    sample:  some rows, by a hash of seed and id            the LMM scores them
    learn:   the head from 85 % of them; where it is sure   thresholds on gamma, agreement shown on the other 15 %
    decide:  the head, on all other rows                    what it isn't sure of, the LMM scores

The head learns anew for every feedback, from the very judge whose calls it saves. Every row comes out once, scored by
one of the two. Rows stream; the driver holds counts, the thresholds and, as a dataset, the sure rows' few numbers.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from p2i_ray.cluster import resources
from p2i_ray.cluster.resources import READ
from p2i_ray.config import CascadeConfig, ImageConfig, JudgeConfig
from p2i_ray.data import reading
from p2i_ray.judge.cascade import clip_features, learning
from p2i_ray.judge.cascade.head import NOTHING, Thresholds
from p2i_ray.judge.cascade.learning import Learned, Rule, hashed_below
from p2i_ray.judge.requests.tasks import SCORES
from p2i_ray.storage import locations, parquet

if TYPE_CHECKING:
    import ray.data

Ask = Callable[["ray.data.Dataset", str, parquet.Progress | None], parquet.Written]

WORTH = 2  # a set smaller than so many samples isn't worth a head
REASON = "decided by the cascade's head"
ROWS_PER_FILE = 100  # of files with pictures or features in them
LIGHT: dict[str, Any] = {"batch_format": "pyarrow", "batch_size": None, "num_cpus": READ.cpus}
IDS_PER_FILE = 100_000
ID = pa.schema([SCORES.field("id")])
VERDICTS = SCORES.append(pa.field("sure", pa.bool_()))


def score(
    rows: ray.data.Dataset,
    out: str,
    gamma: float,
    settings: JudgeConfig,
    image: ImageConfig,
    seed: int,
    ask: Ask,
    progress: parquet.Progress | None = None,
    column: Literal["score", "expected_score"] = "score",
) -> parquet.Written:
    """R(x, …) for every row, with as few LMM calls as the agreement allows.

    Args:
        rows: columns id, name, image.
        out: folder, a path or URI. Score files lie in it as `ask` writes them; cascade/ below it keeps the head.
        gamma: lowest score that is kept; the head's decisions are about this one.
        settings: the judge's; settings.cascade.clip is given.
        image: limits of pictures.
        seed: of the sample.
        ask: scores a dataset with the full judge into a folder, adding files; called up to twice, for different rows.
        progress: told the number of rows just written.
        column: of the LMM's scores, that gamma is compared with.

    Returns:
        What was written. Its facts: rows; llm_calls, rows that went to `ask`; saved_share of rows; why the LMM saw all
        rows (null: it didn't). Once there is a head: trained_rows; held_out_rows, and of these agreement_held_out,
        saved_share_held_out and auc_held_out; low and high, the thresholds on the head's expected score (null: nothing
        is sure on that side). Besides them the facts of `ask`, numbers added up.

    Raises:
        UserError: settings.cascade.clip is no CLIP.
    """
    assert settings.cascade.clip
    cascade = settings.cascade.model_copy(update={"clip": clip_features.check(settings.cascade.clip)})
    out = locations.absolute(out)
    work = locations.join(out, "cascade")
    rows = rows.select_columns(["id", "name", "image"])
    total = rows.select_columns(["id"]).count()
    if total < WORTH * cascade.sample:
        why = f"{total} rows are fewer than {WORTH} times judge.cascade.sample={cascade.sample}"
        return _summed([ask(rows, out, progress)], [], {"why": why})

    sample, others = _split(rows, seed, cascade.sample / total)
    sample = _stored(sample, locations.join(work, "sample"))
    asked = ask(sample, out, progress)
    features = clip_features.encode(sample, cascade, image, settings.max_name_chars)
    rule = Rule(gamma, column, cascade.agreement, seed)
    learned = _learn(features, asked, out, work, rule, cascade)
    if learned.thresholds == NOTHING:
        written = _summed([asked, ask(others, out, progress)], [], learned.facts)
    else:
        features = clip_features.encode(others, cascade, image, settings.max_name_chars)
        verdicts = _decide(features, work, learned, gamma).materialize()
        decided = parquet.write_parquet(_where(verdicts, sure=True), out, SCORES, progress)
        unsure = _listed(others, _where(verdicts, sure=False), locations.join(work, "unsure"))
        written = _summed([asked, *(ask(left, out, progress) for left in unsure)], [decided], learned.facts)
    locations.write_text(locations.join(work, "cascade.json"), json.dumps(dict(written.facts), indent=1))
    for folder in ("sample", "features", "unsure"):
        locations.remove(locations.join(work, folder))
    return written


def _split(rows: ray.data.Dataset, seed: int, share: float) -> tuple[ray.data.Dataset, ray.data.Dataset]:
    """About that share of the rows, and the others; the id and the seed decide, nothing else."""
    sample, others = (
        rows.map_batches(_drawn, fn_kwargs={"seed": seed, "share": share, "inside": inside}, **LIGHT)
        for inside in (True, False)
    )
    return sample, others


def _drawn(batch: pa.Table, seed: int, share: float, inside: bool) -> pa.Table:
    drawn = hashed_below(batch["id"], share, seed, "cascade")
    return batch.filter(pa.array(drawn == inside))


def _stored(rows: ray.data.Dataset, folder: str) -> ray.data.Dataset:
    """The same rows from files: the sample is read twice, and would cost two passes over all pictures."""
    return reading.read_files(folder, parquet.write_parquet(rows, folder, rows_per_file=ROWS_PER_FILE).files)


def _learn(
    features: ray.data.Dataset, asked: parquet.Written, out: str, work: str, rule: Rule, settings: CascadeConfig
) -> Learned:
    """Fit the head where there is room for the sample's features: in a task."""
    import ray

    folder = locations.join(work, "features")
    encoded = parquet.write_parquet(features, folder, clip_features.FEATURES, rows_per_file=ROWS_PER_FILE)
    learn = ray.remote(**replace(resources.cascade(settings).bundle, gpus=0).options())(learning.learn)
    learned: Learned = ray.get(learn.remote(folder, encoded.files, out, asked.files, rule, _head_file(work)))
    return learned


def _head_file(work: str) -> str:
    return locations.join(work, "head.safetensors")


def _decide(features: ray.data.Dataset, work: str, learned: Learned, gamma: float) -> ray.data.Dataset:
    """The head's verdicts: the columns of VERDICTS. Rows without features aren't sure."""
    return features.map_batches(
        _verdicts,
        fn_kwargs={"head_file": _head_file(work), "digest": learned.digest, "rule": (learned.thresholds, gamma)},
        batch_format="pyarrow",
        batch_size=ROWS_PER_FILE,
        num_cpus=LIGHT["num_cpus"],
    )


def _verdicts(batch: pa.Table, head_file: str, digest: str, rule: tuple[Thresholds, float]) -> pa.Table:
    seen = batch.filter(pc.is_valid(batch["features"]))
    unseen = batch.filter(pc.is_null(batch["features"]))
    rows = [{"id": one, "sure": False} for one in unseen["id"].to_pylist()]
    if seen.num_rows:
        found = learning.read_head(head_file, digest).decide(clip_features.as_array(seen["features"]), *rule)
        columns = zip(seen["id"].to_pylist(), *(column.tolist() for column in found), strict=True)
        rows += [
            {"id": one, "sure": sure, "score": score, "expected_score": expected, "entropy": entropy, "reason": REASON}
            for one, sure, score, expected, entropy in columns
        ]
    return pa.Table.from_pylist(rows, schema=VERDICTS)


def _where(verdicts: ray.data.Dataset, sure: bool) -> ray.data.Dataset:
    return verdicts.map_batches(_that_are, fn_kwargs={"sure": sure}, **LIGHT)


def _that_are(batch: pa.Table, sure: bool) -> pa.Table:
    return batch.filter(pc.equal(batch["sure"], sure))


def _listed(rows: ray.data.Dataset, listed: ray.data.Dataset, folder: str) -> list[ray.data.Dataset]:
    """The rows whose ids are listed, as one dataset; none if the list is empty. Workers read the list from files."""
    names = parquet.write_parquet(listed, folder, ID, rows_per_file=IDS_PER_FILE).files
    if not names:
        return []
    return [rows.map_batches(_in_list, fn_kwargs={"folder": folder, "names": tuple(names)}, **LIGHT)]


def _in_list(batch: pa.Table, folder: str, names: tuple[str, ...]) -> pa.Table:
    return batch.filter(pc.is_in(batch["id"], value_set=_ids(folder, names)))


@functools.lru_cache(maxsize=1)
def _ids(folder: str, names: tuple[str, ...]) -> pa.Array:
    return parquet.read_parquet(folder, list(names), ["id"])["id"].combine_chunks()


def _summed(asked: list[parquet.Written], decided: list[parquet.Written], facts: dict[str, Any]) -> parquet.Written:
    """Everything written, as one."""
    parts = [*asked, *decided]
    rows, calls = sum(part.rows for part in parts), sum(part.rows for part in asked)
    told: dict[str, Any] = {}
    for part in asked:
        for name, value in part.facts.items():
            both_numbers = isinstance(value, int | float) and isinstance(told.get(name), int | float)
            told[name] = told[name] + value if both_numbers else value
    own = {"rows": rows, "llm_calls": calls, "saved_share": 1 - calls / rows if rows else 0.0}
    files = sorted(name for part in parts for name in part.files)
    return parquet.Written(files, rows, sum(part.set_aside for part in parts), {**told, **own, **facts})
