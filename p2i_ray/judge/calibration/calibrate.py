"""Calibration of the judge: agreement with people's scores, and checks on rows whose score must change or must not.

Writes calibration.json (the `Calibration` below) and the judge's scores behind it into one folder. A failed check is a
warning, never an exception: the user decides whether to continue.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from p2i_ray.config import CalibrationConfig, ImageConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.errors import UserError
from p2i_ray.judge.calibration import gold as gold_scores
from p2i_ray.judge.calibration import sampling, sanity, verdicts
from p2i_ray.judge.calibration.conformal import Conformal, calibrated
from p2i_ray.judge.calibration.false_alarms import FalseAlarms, false_alarms
from p2i_ray.judge.calibration.gold import Agreement
from p2i_ray.judge.requests import flaws
from p2i_ray.judge.requests.prompts import Exemplar
from p2i_ray.storage import locations, parquet

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

    from p2i_ray.judge.judge import Judge

ThresholdOn = Literal["score", "expected_score"]
EXAMPLES = 3  # rows whose variations the report shows
COLUMNS = ["id", "score", "expected_score", "entropy"]
INTERVALS, CLEAN = "intervals.parquet", "clean"  # below the folder of the calibration, and of its scores


class Example(BaseModel):
    """One row of the sample, its variations and their scores."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    order: str  # instruction that was appended to the name
    lender: str | None  # id of the row whose picture replaced its own
    expected: dict[str, float]  # variation (as_is included) -> expected score; without those set aside


class Calibration(BaseModel):
    """Results of a calibration, the content of calibration.json."""

    model_config = ConfigDict(frozen=True)

    gamma: float  # lowest score that is kept
    threshold_on: ThresholdOn  # the score that gamma is compared with
    gold: Agreement | None = None
    conformal: Conformal | None = None  # intervals of scores; none: there are no gold scores
    false_alarms: FalseAlarms | None = None  # none: no picture is known to be clean
    sample: int = 0  # rows of the checks without gold
    shifts: list[verdicts.Shift] = []
    exemplars: verdicts.Spread | None = None
    examples: list[Example] = []  # those of the sample with the highest scores
    files: dict[str, list[str]] = {}  # folder of scores or critiques -> its valid files
    passes: dict[str, dict[str, Any]] = {}  # the same folder -> facts of that pass, e.g. its cost

    @property
    def checks(self) -> list[verdicts.Check]:
        """The checks that need no gold."""
        return [*self.shifts, *([self.exemplars] if self.exemplars else [])]

    @property
    def failed(self) -> list[verdicts.Check]:
        """The checks that the judge failed."""
        return [check for check in self.checks if check.passed is False]


def check(settings: CalibrationConfig) -> None:
    """Check that the settings enable some calibration.

    Raises:
        UserError: they enable none.
    """
    if not settings.rows and not settings.gold:
        raise UserError(
            "there is nothing to calibrate with; set calibration.rows (e.g. 200) for checks without gold, or "
            "calibration.gold to a Parquet or CSV file with id and score"
        )


def calibrate(
    judge: Judge,
    rows: ray.data.Dataset,
    out: str,
    *,
    settings: CalibrationConfig,
    gamma: float,
    threshold_on: ThresholdOn = "score",
    exemplars: Sequence[Exemplar] = (),
    image: ImageConfig,
    seed: int,
    progress: parquet.Progress | None = None,
) -> dict[str, Any]:
    """Compare the judge with gold scores and check it on a sample, as far as the settings enable each.

    Args:
        judge: asked without feedback, as in the first round.
        rows: columns id, name, category, image; read several times, pictures only of the rows that are judged.
        out: folder, a path or URI.
        settings: gold scores and size of the sample.
        gamma: lowest score that is kept.
        threshold_on: the score that gamma is compared with.
        exemplars: c_R, shown in all checks in the given order, except in the check of their order.
        image: limits of pictures.
        seed: seed of the run; decides which rows are in the sample.
        progress: called with the number of replies just written.

    Returns:
        `Calibration` as plain values, the content of out/calibration.json.

    Raises:
        UserError: nothing is enabled, or the gold scores are invalid or belong to other rows.
    """
    check(settings)
    gold = gold_scores.read(locations.absolute(settings.gold)) if settings.gold else {}
    sample, matched = sampling.scan(rows, settings.rows, seed, gold)
    if gold and not matched:
        raise UserError(
            f"gold scores {settings.gold} have no id in common with the rows, not even {min(gold)!r}; check the split"
        )
    rule = _Rule(gamma, threshold_on)
    scoring = _Scoring(judge, locations.join(out, "scores"), progress)
    found: dict[str, Any] = {"gamma": gamma, "threshold_on": threshold_on, "sample": len(sample)}
    if gold:
        scores = scoring.score("gold", sampling.only(rows, matched, judge.columns), exemplars)
        found["gold"] = gold_scores.agreement(gold, scores, gamma, threshold_on)
        found["conformal"] = _intervals(gold, scores, rule, settings=settings, seed=seed, out=out)
        clean = gold_scores.read_clean(locations.absolute(str(settings.gold))).intersection(matched)
        if clean:
            critiques = scoring.criticise(CLEAN, sampling.only(rows, clean, judge.columns))
            found["false_alarms"] = false_alarms(critiques, flaws.names(judge.settings.flaws))
    if sample:
        varied = sampling.varied(
            rows, sample, columns=judge.columns, image=image, max_name_chars=judge.settings.max_name_chars
        )
        variants = _by_variant(scoring.score("variants", varied, exemplars))
        found["shifts"] = [_shift(name, variants, sample, rule) for name in sanity.VARIANTS]
        found["examples"] = _examples(sample, variants)
        if exemplars:
            tables = [variants[sanity.AS_IS]]
            for number, order in enumerate(_orders(exemplars, settings.orders, seed), 2):
                again = sampling.only(rows, [row.id for row in sample], judge.columns)
                table = scoring.score(f"order-{number}", again, order)
                tables.append(_by_id(table))
            found["exemplars"] = _spread(tables, rule)
    result = Calibration(**found, files=scoring.files, passes=scoring.passes)
    locations.write_text(locations.join(out, "calibration.json"), result.model_dump_json(indent=1))
    return result.model_dump(mode="json")


class _Rule(NamedTuple):
    """The rule by which rows are kept."""

    gamma: float
    threshold_on: ThresholdOn


class _Scoring:
    """Scorings of several datasets by one judge, each into a folder below `out`."""

    def __init__(self, judge: Judge, out: str, progress: parquet.Progress | None) -> None:
        self._judge, self._out, self._progress = judge, out, progress
        self.files: dict[str, list[str]] = {}
        self.passes: dict[str, dict[str, Any]] = {}

    def score(self, folder: str, rows: ray.data.Dataset, exemplars: Sequence[Exemplar]) -> pa.Table:
        """Score the rows; returns the columns of COLUMNS."""
        location = locations.join(self._out, folder)
        written = self._judge.score(rows, location, exemplars=exemplars, progress=self._progress)
        self.files[folder], self.passes[folder] = written.files, dict(written.facts)
        return _with_expected(parquet.read_parquet(location, written.files, COLUMNS))

    def criticise(self, folder: str, rows: ray.data.Dataset) -> pa.Table:
        """Criticise the rows; returns the columns flaws and error."""
        location = locations.join(self._out, folder)
        written = self._judge.critique(rows, location, progress=self._progress)
        self.files[folder], self.passes[folder] = written.files, dict(written.facts)
        return parquet.read_parquet(location, written.files, ["flaws", "error"])


def _intervals(
    gold: dict[str, float], scores: pa.Table, rule: _Rule, *, settings: CalibrationConfig, seed: int, out: str
) -> Conformal:
    found, rows = calibrated(
        gold,
        scores,
        coverage=settings.coverage,
        gamma=rule.gamma,
        threshold_on=rule.threshold_on,
        seed=seed,
    )
    parquet.write_table(rows, locations.join(out, INTERVALS))
    return found


ById = dict[str, dict[str, Any]]  # id -> score and expected_score, of rows that the judge didn't set aside


def _orders(exemplars: Sequence[Exemplar], number: int, seed: int) -> list[tuple[Exemplar, ...]]:
    """Orders other than the given one: number - 1 of them, or all there are."""
    others = list(itertools.permutations(exemplars))[1:]  # at most 40,319, for eight exemplars
    rng = random.Random(seed_for(seed, "calibrate", "orders"))
    return rng.sample(others, min(number - 1, len(others)))


def _with_expected(scores: pa.Table) -> pa.Table:
    """Fill missing expected scores, of an endpoint without probabilities, with the whole score as the best estimate."""
    import pyarrow as pa
    import pyarrow.compute as pc

    expected = pc.coalesce(scores["expected_score"], scores["score"].cast(pa.float64()))
    return scores.set_column(scores.schema.get_field_index("expected_score"), "expected_score", expected)


def _by_id(scores: pa.Table) -> ById:
    return {row["id"]: row for row in scores.to_pylist() if row["score"] is not None}


def _by_variant(scores: pa.Table) -> dict[str, ById]:
    """The judge's scores by variation and row."""
    found: dict[str, ById] = {variant: {} for variant in (sanity.AS_IS, *sanity.VARIANTS)}
    for varied_id, row in _by_id(scores).items():
        id_, variant = sanity.split_id(varied_id)
        found[variant][id_] = row
    return found


def _scores(table: ById, ids: Sequence[str], rule: _Rule) -> verdicts.Scores:
    expected = np.array([table[id_]["expected_score"] for id_ in ids], float)
    return verdicts.Scores(expected, np.array([table[id_][rule.threshold_on] for id_ in ids], float) >= rule.gamma)


def _shift(name: str, variants: dict[str, ById], sample: Sequence[sanity.Sampled], rule: _Rule) -> verdicts.Shift:
    tables = [variants[sanity.AS_IS], variants[name]]
    ids = [row.id for row in sample if all(row.id in table for table in tables)]
    before, after = (_scores(table, ids, rule) for table in tables)
    if name == "swapped" and not sanity.lenders(sample):
        return verdicts.shifted(name, before, after, "all rows of the sample are of one category")
    return verdicts.shifted(name, before, after)


def _spread(tables: Sequence[ById], rule: _Rule) -> verdicts.Spread:
    ids = sorted(set.intersection(*(set(table) for table in tables)))
    scores = [_scores(table, ids, rule) for table in tables]
    if len(tables) < 2:
        return verdicts.spread(scores, "one exemplar has one order")
    return verdicts.spread(scores)


def _examples(sample: Sequence[sanity.Sampled], variants: dict[str, ById]) -> list[Example]:
    """The rows with the highest scores before any variation."""
    as_is, lenders, plans = variants[sanity.AS_IS], sanity.lenders(sample), sanity.plans(sample)
    judged = sorted((row for row in sample if row.id in as_is), key=lambda row: -as_is[row.id]["expected_score"])
    return [
        Example(
            id=row.id,
            name=row.name,
            order=plans[row.id].instruction,
            lender=lenders.get(row.id),
            expected={name: table[row.id]["expected_score"] for name, table in variants.items() if row.id in table},
        )
        for row in judged[:EXAMPLES]
    ]
