"""Gold scores, given by people, and the judge's agreement with them. Undefined figures are None, never NaN."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from p2i_ray.data import conform
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow as pa

FLAWS, BEST = "flaws", 5
BIN_EDGES = np.array(
    [1, *np.arange(1.25, 5, 0.5), 5]
)  # bins around whole and half scores, where expected scores cluster


class Bin(BaseModel):
    """One point of the reliability curve: rows with expected scores in one interval."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float
    expected: float  # mean expected score of its rows
    gold: float  # their mean gold score
    rows: int


class Agreement(BaseModel):
    """The judge's agreement with gold.

    Where whole scores are compared, gold between two of them is rounded to the nearer one, a half up.
    """

    model_config = ConfigDict(frozen=True)

    rows: int  # with a gold score and one of the judge's
    set_aside: int  # with a gold score, but the judge gave none
    exact: float | None  # fraction of rows with the same whole score
    within_one: float | None  # fraction of rows whose whole scores differ by at most one
    same_decision: float | None  # fraction of rows that both would keep or both would drop
    spearman: float | None  # rank correlation of expected score and gold
    kendall: float | None  # the same, tau-b
    auc: float | None  # area under the ROC curve of the expected score, for gold >= gamma
    kappa: float | None  # quadratic-weighted
    confusion: list[list[int]]  # 5 x 5: rows are gold 1..5, columns the judge's 1..5
    reliability: list[Bin]


def read(location: str) -> dict[str, float]:
    """Read gold scores, id -> 1..5, from a Parquet file or, if its name ends in .csv, a CSV file with a header.

    Raises:
        UserError: the file is not there, can't be read, lacks a column or rows, has an id twice, or has a score that
            is not a number from 1 to 5.
    """
    where = f"gold scores {location}"
    if not locations.exists(location):
        raise UserError(f"{where} are not there; give a Parquet or CSV file with id and score")
    table = _table(location, where)
    missing = [column for column in ("id", "score") if column not in table.column_names]
    if missing:
        raise UserError(f"{where} lack the column {', '.join(missing)}; they have {', '.join(table.column_names)}")
    gold: dict[str, float] = {}
    for number, (id_, score) in enumerate(zip(table["id"].to_pylist(), table["score"].to_pylist(), strict=True), 1):
        if id_ is None or not str(id_):
            raise UserError(f"{where}, row {number}: there is no id")
        if str(id_) in gold:
            raise UserError(f"{where}, row {number}: the id {id_} is there twice; give each id one score")
        gold[str(id_)] = _score(score, f"{where}, row {number} (id {id_})")
    if not gold:
        raise UserError(f"{where} have no rows")
    return gold


def read_clean(location: str) -> set[str]:
    """The ids of pictures that people know to have no flaw; the file is one that `read` takes.

    Where it has a column `flaws`, those for which that is an empty list or text (in Parquet null: not known); else
    those with a score of 5.
    """
    table = _table(location, f"gold scores {location}")
    if FLAWS not in table.column_names:
        return {id_ for id_, score in read(location).items() if score == BEST}
    rows = zip(table["id"].to_pylist(), table[FLAWS].to_pylist(), strict=True)
    return {str(id_) for id_, flaws in rows if flaws is not None and not _any(flaws)}


def _any(flaws: str | list[str]) -> bool:
    return bool(flaws.strip() if isinstance(flaws, str) else flaws)


def agreement(gold: Mapping[str, float], scores: pa.Table, gamma: float, threshold_on: str) -> Agreement:
    """Compare the judge's scores with gold.

    Args:
        gold: id -> score, 1..5.
        scores: columns id, score, expected_score of rows that are all in gold; null where the judge gave none.
        gamma: lowest score that is kept.
        threshold_on: the judge's score that gamma is compared with.
    """
    judged = scores.filter(scores["score"].is_valid())
    given = np.array([gold[id_] for id_ in judged["id"].to_pylist()], float)  # (n,) 1..5
    whole = judged["score"].to_numpy().astype(int)
    expected = judged["expected_score"].to_numpy().astype(float)
    gold_whole = np.floor(given + 0.5).astype(int)
    good, kept = given >= gamma, judged[threshold_on].to_numpy() >= gamma
    return Agreement(
        rows=len(given),
        set_aside=scores.num_rows - judged.num_rows,
        exact=_mean(whole == gold_whole),
        within_one=_mean(abs(whole - gold_whole) <= 1),
        same_decision=_mean(good == kept),
        reliability=_reliability(expected, given),
        **_ranks(expected, given),
        **_classes(expected, good, whole, gold_whole),
    )


def _ranks(expected: np.ndarray, gold: np.ndarray) -> dict[str, float | None]:
    from scipy import stats

    if len(np.unique(expected)) < 2 or len(np.unique(gold)) < 2:  # a constant has no ranks
        return {"spearman": None, "kendall": None}
    return {
        "spearman": _defined(stats.spearmanr(expected, gold).statistic),
        "kendall": _defined(stats.kendalltau(expected, gold).statistic),
    }


def _classes(expected: np.ndarray, good: np.ndarray, whole: np.ndarray, gold_whole: np.ndarray) -> dict[str, Any]:
    import torch
    from torchmetrics.functional.classification import (
        binary_auroc,
        multiclass_cohen_kappa,
        multiclass_confusion_matrix,
    )

    if not len(whole):
        return {"auc": None, "kappa": None, "confusion": [[0] * 5 for _ in range(5)]}
    judged, given = torch.from_numpy(whole - 1), torch.from_numpy(gold_whole - 1)  # (n,) 0..4
    auc = None
    if good.any() and not good.all():  # torchmetrics returns 0 for a single class
        fraction = torch.from_numpy((expected - 1) / 4).clamp(0, 1)  # outside 0..1 torchmetrics would apply a sigmoid
        auc = _defined(binary_auroc(fraction, torch.from_numpy(good).long()))
    return {
        "auc": auc,
        "kappa": _defined(multiclass_cohen_kappa(judged, given, num_classes=5, weights="quadratic")),
        "confusion": multiclass_confusion_matrix(judged, given, num_classes=5).tolist(),
    }


def _reliability(expected: np.ndarray, gold: np.ndarray) -> list[Bin]:
    from scipy import stats

    if not len(expected):
        return []
    found = stats.binned_statistic(expected.clip(1, 5), [expected, gold, np.ones_like(expected)], "sum", BIN_EDGES)
    bins = zip(BIN_EDGES[:-1], BIN_EDGES[1:], *found.statistic, strict=True)
    return [
        Bin(low=low, high=high, expected=judged / rows, gold=given / rows, rows=int(rows))
        for low, high, judged, given, rows in bins
        if rows
    ]


def _table(location: str, where: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    content = io.BytesIO(locations.read_bytes(location))
    try:
        if location.lower().endswith(".csv"):
            text = dict.fromkeys(("id", "score", FLAWS), pa.string())  # an id may look like a number, for example 007
            table = csv.read_csv(content, convert_options=csv.ConvertOptions(column_types=text))
        else:
            table = pq.read_table(content)
    except (pa.ArrowInvalid, OSError) as error:
        kind = "CSV" if location.lower().endswith(".csv") else "Parquet, as its name doesn't end in .csv"
        raise UserError(f"{where} can't be read as {kind}: {str(error).splitlines()[0]}") from None
    conform.check_once(table.column_names, ("id", "score", FLAWS), where)
    return table


def _score(value: Any, where: str) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not 1 <= score <= 5:
        raise UserError(f"{where}: the score is {value!r}; give a number from 1 to 5")
    return score


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _defined(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
