"""A cheaper judge: a head on CLIP features decides the rows that it is certain of, the LMM the rest.

    sample:  some rows, by a hash of seed and id            the LMM scores them
    learn:   the head and its thresholds on 85 % of them    the other 15 % show how often it agrees with the LMM
    decide:  the head, on all other rows                    the LMM scores those between the thresholds

The head is fitted anew for every feedback, to the very judge whose calls it saves. Every row comes out once, scored by
one of the two. Rows are streamed; the driver holds counts, the thresholds and, as a dataset, the head's decisions.
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
from p2i_ray.judge.cascade.head import NONE_CERTAIN, Thresholds
from p2i_ray.judge.cascade.learning import Learned, Rule, hashed_below
from p2i_ray.judge.requests.tasks import SCORES
from p2i_ray.storage import locations, parquet

if TYPE_CHECKING:
    import ray.data

Ask = Callable[["ray.data.Dataset", str, parquet.Progress | None], parquet.Written]

MIN_SAMPLES = 2  # a dataset with fewer rows than this many samples gets no head
REASON = "decided by the cascade's head"
ROWS_PER_FILE = 100  # of files with pictures or features
LIGHT: dict[str, Any] = {"batch_format": "pyarrow", "batch_size": None, **READ.task_options()}
IDS_PER_FILE = 100_000
ID = pa.schema([SCORES.field("id")])
DECISIONS = SCORES.append(pa.field("certain", pa.bool_()))


def score(
    rows: ray.data.Dataset,
    out: str,
    *,
    ask: Ask,
    gamma: float,
    column: Literal["score", "expected_score"] = "score",
    settings: JudgeConfig,
    image: ImageConfig,
    seed: int,
    progress: parquet.Progress | None = None,
) -> parquet.Written:
    """R(x, …) for every row, with as few LMM calls as the agreement allows.

    Args:
        rows: columns id, name, image; cutout with judge.show_cutout.
        out: folder, a path or URI. It gets the score files that `ask` writes; cascade/ below it keeps the head.
        ask: scores a dataset with the full judge into a folder, adding files; called up to twice, for different rows.
        gamma: lowest score that is kept, which the head's decisions are about.
        column: the LMM's score that gamma is compared with.
        settings: settings of the judge; settings.cascade.clip is set.
        image: limits of pictures.
        seed: seed of the sample.
        progress: called with the number of rows just written.

    Returns:
        The files written. Their facts: rows; llm_calls, rows that went to `ask`; saved_share, the fraction of the
        others; why, the reason why the LMM saw all rows (null: it didn't). With a head: trained_rows; held_out_rows,
        and of these agreement_held_out, saved_share_held_out and auc_held_out; low and high, the thresholds on the
        head's expected score (null: the head decides no row on that side). Also the facts of `ask`, numbers added up.

    Raises:
        UserError: settings.cascade.clip is not a CLIP.
    """
    assert settings.cascade.clip
    cascade = settings.cascade.model_copy(update={"clip": clip_features.check(settings.cascade.clip)})
    out = locations.absolute(out)
    work = locations.join(out, "cascade")
    rows = rows.select_columns(["id", "name", "image", *(["cutout"] if settings.show_cutout else [])])
    total = rows.select_columns(["id"]).count()
    if total < MIN_SAMPLES * cascade.sample:
        why = f"{total} rows are fewer than {MIN_SAMPLES} times judge.cascade.sample={cascade.sample}"
        return _combined([ask(rows, out, progress)], [], {"why": why})

    sample, others = _split(rows, seed, cascade.sample / total)
    sample = _in_files(sample, locations.join(work, "sample"))
    sampled = ask(sample, out, progress)
    features = clip_features.encode(sample, cascade, image, settings.max_name_chars)
    scores = learning.Part(out, sampled.files)
    learned = _learn(features, scores, work, rule=Rule(gamma, column, cascade.agreement, seed), settings=cascade)
    if learned.thresholds == NONE_CERTAIN:
        written = _combined([sampled, ask(others, out, progress)], [], learned.facts)
    else:
        features = clip_features.encode(others, cascade, image, settings.max_name_chars)
        decisions = _decide(features, work, learned, gamma).materialize()
        decided = parquet.write_parquet(_where(decisions, certain=True), out, SCORES, progress)
        uncertain = _with_ids_of(others, _where(decisions, certain=False), locations.join(work, "unsure"))
        written = _combined([sampled, *(ask(left, out, progress) for left in uncertain)], [decided], learned.facts)
    locations.write_text(locations.join(work, "cascade.json"), json.dumps(dict(written.facts), indent=1))
    for folder in ("sample", "features", "unsure"):
        locations.remove(locations.join(work, folder))
    return written


def _split(rows: ray.data.Dataset, seed: int, fraction: float) -> tuple[ray.data.Dataset, ray.data.Dataset]:
    """About that fraction of the rows, and the others; only the id and the seed decide."""
    sample, others = (
        rows.map_batches(
            _drawn,  # type: ignore[arg-type]  # Ray types no function that takes fn_kwargs
            fn_kwargs={"seed": seed, "fraction": fraction, "inside": inside},
            **LIGHT,
        )
        for inside in (True, False)
    )
    return sample, others


def _drawn(batch: pa.Table, seed: int, fraction: float, inside: bool) -> pa.Table:
    drawn = hashed_below(batch["id"], fraction, seed, "cascade")
    return batch.filter(pa.array(drawn == inside))


def _in_files(rows: ray.data.Dataset, folder: str) -> ray.data.Dataset:
    """The same rows read from files: the sample is needed twice, and would cost two passes over all pictures."""
    return reading.read_files(folder, parquet.write_parquet(rows, folder, rows_per_file=ROWS_PER_FILE).files)


def _learn(
    features: ray.data.Dataset, scores: learning.Part, work: str, *, rule: Rule, settings: CascadeConfig
) -> Learned:
    """Fit the head in a task, which has the memory for the sample's features."""
    import ray

    folder = locations.join(work, "features")
    encoded = parquet.write_parquet(features, folder, clip_features.FEATURES, rows_per_file=ROWS_PER_FILE)
    learn = ray.remote(**replace(resources.cascade(settings).bundle, gpus=0).options())(learning.learn)
    learned = learn.remote(learning.Part(folder, encoded.files), scores, rule, _head_file(work))
    return ray.get(learned)


def _head_file(work: str) -> str:
    return locations.join(work, "head.safetensors")


def _decide(features: ray.data.Dataset, work: str, learned: Learned, gamma: float) -> ray.data.Dataset:
    """The head's decisions: the columns of DECISIONS. Rows without features are not certain."""
    return features.map_batches(
        _decisions,  # type: ignore[arg-type]  # as above
        fn_kwargs={"head_file": _head_file(work), "digest": learned.digest, "rule": (learned.thresholds, gamma)},
        batch_format="pyarrow",
        batch_size=ROWS_PER_FILE,
        **READ.task_options(),
    )


def _decisions(batch: pa.Table, head_file: str, digest: str, rule: tuple[Thresholds, float]) -> pa.Table:
    encoded = batch.filter(pc.is_valid(batch["features"]))
    others = batch.filter(pc.is_null(batch["features"]))
    rows = [{"id": id_, "certain": False} for id_ in others["id"].to_pylist()]
    if encoded.num_rows:
        found = learning.read_head(head_file, digest).decide(clip_features.as_array(encoded["features"]), *rule)
        columns = zip(encoded["id"].to_pylist(), *(column.tolist() for column in found), strict=True)
        names = ("id", "certain", "score", "expected_score", "entropy")
        rows += [{**dict(zip(names, values, strict=True)), "reason": REASON} for values in columns]
    return pa.Table.from_pylist(rows, schema=DECISIONS)


def _where(decisions: ray.data.Dataset, certain: bool) -> ray.data.Dataset:
    return decisions.map_batches(
        _filter_certain,  # type: ignore[arg-type]  # as above
        fn_kwargs={"certain": certain},
        **LIGHT,
    )


def _filter_certain(batch: pa.Table, certain: bool) -> pa.Table:
    return batch.filter(pc.equal(batch["certain"], certain))


def _with_ids_of(rows: ray.data.Dataset, ids: ray.data.Dataset, folder: str) -> list[ray.data.Dataset]:
    """The rows with the ids of another dataset, as one dataset; no dataset if there are none.

    Workers read the ids from files in the folder.
    """
    names = parquet.write_parquet(ids, folder, ID, rows_per_file=IDS_PER_FILE).files
    if not names:
        return []
    return [
        rows.map_batches(
            _filter_ids,  # type: ignore[arg-type]  # as above
            fn_kwargs={"folder": folder, "names": tuple(names)},
            **LIGHT,
        )
    ]


def _filter_ids(batch: pa.Table, folder: str, names: tuple[str, ...]) -> pa.Table:
    return batch.filter(pc.is_in(batch["id"], value_set=_ids(folder, names)))


@functools.lru_cache(maxsize=1)
def _ids(folder: str, names: tuple[str, ...]) -> pa.Array:
    return parquet.read_parquet(folder, list(names), ["id"])["id"].combine_chunks()


def _combined(asked: list[parquet.Written], decided: list[parquet.Written], facts: dict[str, Any]) -> parquet.Written:
    """All files written, as one result with the numbers of its parts added up."""
    parts = [*asked, *decided]
    rows, calls = sum(part.rows for part in parts), sum(part.rows for part in asked)
    of_ask: dict[str, Any] = {}
    for part in asked:
        for name, value in part.facts.items():
            both_numbers = isinstance(value, int | float) and isinstance(of_ask.get(name), int | float)
            of_ask[name] = of_ask[name] + value if both_numbers else value
    own = {"rows": rows, "llm_calls": calls, "saved_share": 1 - calls / rows if rows else 0.0}
    files = sorted(name for part in parts for name in part.files)
    return parquet.Written(files, rows, sum(part.set_aside for part in parts), {**of_ask, **own, **facts})
