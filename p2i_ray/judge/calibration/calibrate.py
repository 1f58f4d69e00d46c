"""Can the judge be trusted? Its scores against those of people, and on rows whose score must change, or must not.

Writes, below one folder, calibration.json (the `Calibration` below) and the scores behind it, as the judge wrote them.
A check that fails is a warning, never an exception: whether to go on is the user's to say.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from p2i_ray.config import CalibrationConfig, ImageConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.calibration import gold as people
from p2i_ray.judge.calibration import sampling, sanity, verdicts
from p2i_ray.judge.requests.prompts import Exemplar
from p2i_ray.storage import locations, parquet

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

    from p2i_ray.judge.judge import Judge

Threshold = Literal["score", "expected_score"]
EXAMPLES = 3  # rows whose variations the report shows
COLUMNS = ["id", "score", "expected_score"]


class Example(BaseModel):
    """One row of the sample: what was made of it, and what the judge gave."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    order: str  # what was put behind the name
    lender: str | None  # id of the row whose picture it was swapped for
    expected: dict[str, float]  # variation, as_is among them -> expected score; without those set aside


class Calibration(BaseModel):
    """What was found."""

    model_config = ConfigDict(frozen=True)

    gamma: float  # lowest score that is kept
    threshold_on: Threshold  # what gamma is compared with
    gold: people.Agreement | None = None
    sample: int = 0  # rows of the checks below
    shifts: list[verdicts.Shift] = []
    exemplars: verdicts.Spread | None = None
    examples: list[Example] = []  # those of the sample with the highest scores
    files: dict[str, list[str]] = {}  # folder of scores -> its files that count
    passes: dict[str, dict[str, Any]] = {}  # the same folder -> what the judge found out besides, e.g. what it cost

    @property
    def checks(self) -> list[verdicts.Check]:
        """Those that need no gold."""
        return [*self.shifts, *([self.exemplars] if self.exemplars else [])]

    @property
    def failed(self) -> list[verdicts.Check]:
        """Checks that the judge failed."""
        return [check for check in self.checks if check.passed is False]


def check(settings: CalibrationConfig) -> None:
    """Raises UserError if the settings ask for no calibration at all."""
    if not settings.rows and not settings.gold:
        raise UserError(
            "there is nothing to calibrate with; set calibration.rows (e.g. 200) for checks without gold, or "
            "calibration.gold to a Parquet or CSV file with id and score"
        )


def calibrate(
    judge: Judge,
    rows: ray.data.Dataset,
    settings: CalibrationConfig,
    gamma: float,
    seed: int,
    image: ImageConfig,
    out: str,
    exemplars: Sequence[Exemplar] = (),
    threshold_on: Threshold = "score",
    progress: parquet.Progress | None = None,
) -> dict[str, Any]:
    """Compare the judge with gold, where the settings name some, and check it on a sample, where they say how large.

    Args:
        judge: asked without feedback, as in the first round.
        rows: columns id, name, category, image; read several times, pictures only of the rows that are judged.
        settings: what to compare and check.
        gamma: lowest score that is kept.
        seed: of the run; decides which rows the sample has.
        image: limits of pictures.
        out: folder, a path or URI.
        exemplars: c_R, shown in all checks, in the order given but for the check of that order.
        threshold_on: which score gamma is compared with.
        progress: told the number of replies just written.

    Returns:
        `Calibration` as plain values, the content of out/calibration.json.

    Raises:
        UserError: nothing is asked for, or the gold scores are wrong or of other rows.
    """
    check(settings)
    gold = people.read(locations.absolute(settings.gold)) if settings.gold else {}
    sample, matched = sampling.scan(rows, settings.rows, seed, gold)
    if gold and not matched:
        raise UserError(
            f"gold scores {settings.gold} have no id in common with the rows, not even {min(gold)!r}; check the split"
        )
    files: dict[str, list[str]] = {}
    passes: dict[str, dict[str, Any]] = {}

    def ask(folder: str, dataset: ray.data.Dataset, shown: Sequence[Exemplar] = exemplars) -> pa.Table:
        below = locations.join(out, "scores", folder)
        written = judge.score(dataset, below, "", progress, shown)
        files[folder], passes[folder] = written.files, dict(written.facts)
        return _with_expected(parquet.read_parquet(below, written.files, COLUMNS))

    found: dict[str, Any] = {"gamma": gamma, "threshold_on": threshold_on, "sample": len(sample)}
    if gold:
        found["gold"] = people.agreement(gold, ask("gold", sampling.only(rows, matched)), gamma, threshold_on)
    if sample:
        scores = _by_variant(ask("variants", sampling.varied(rows, sample, image, judge.settings.max_name_chars)))
        found["shifts"] = [_shift(name, scores, sample, gamma, threshold_on) for name in sanity.VARIANTS]
        found["examples"] = _examples(sample, scores)
        if exemplars:
            tables = [scores[sanity.AS_IS]]
            for number, order in enumerate(_orders(exemplars, settings.orders, seed), 2):
                tables.append(_by_id(ask(f"order-{number}", sampling.only(rows, [row.id for row in sample]), order)))
            found["exemplars"] = _spread(tables, gamma, threshold_on)
    facts = Calibration(**found, files=files, passes=passes)
    locations.write_text(locations.join(out, "calibration.json"), facts.model_dump_json(indent=1))
    return facts.model_dump(mode="json")


Given = dict[str, dict[str, Any]]  # id -> score and expected_score, of rows that the judge gave any


def _orders(exemplars: Sequence[Exemplar], number: int, seed: int) -> list[tuple[Exemplar, ...]]:
    """Other orders than the given one: number - 1 of them, or all there are."""
    others = list(itertools.permutations(exemplars))[1:]  # eight exemplars, the most there can be: 40,319
    dice = random.Random(locations.seed_for(seed, "calibrate", "orders"))
    return dice.sample(others, min(number - 1, len(others)))


def _with_expected(scores: pa.Table) -> pa.Table:
    """Where an endpoint tells no probabilities, the whole score is the best guess of the expected one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    expected = pc.coalesce(scores["expected_score"], scores["score"].cast(pa.float64()))
    return scores.set_column(scores.schema.get_field_index("expected_score"), "expected_score", expected)


def _by_id(scores: pa.Table) -> Given:
    return {row["id"]: row for row in scores.to_pylist() if row["score"] is not None}


def _by_variant(scores: pa.Table) -> dict[str, Given]:
    """The judge's scores by variation and row."""
    found: dict[str, Given] = {variant: {} for variant in (sanity.AS_IS, *sanity.VARIANTS)}
    for varied_id, row in _by_id(scores).items():
        id_, variant = sanity.split_id(varied_id)
        found[variant][id_] = row
    return found


def _scores(given: Given, ids: Sequence[str], gamma: float, threshold_on: Threshold) -> verdicts.Scores:
    expected = np.array([given[id_]["expected_score"] for id_ in ids], float)
    return verdicts.Scores(expected, np.array([given[id_][threshold_on] for id_ in ids], float) >= gamma)


def _shift(
    name: str, scores: dict[str, Given], sample: Sequence[sanity.Sampled], gamma: float, threshold_on: Threshold
) -> verdicts.Shift:
    given = [scores[sanity.AS_IS], scores[name]]
    ids = [row.id for row in sample if all(row.id in table for table in given)]
    before, after = (_scores(table, ids, gamma, threshold_on) for table in given)
    if name == "swapped" and not sanity.lenders(sample):
        return verdicts.shifted(name, before, after, "all rows of the sample are of one category")
    return verdicts.shifted(name, before, after)


def _spread(tables: Sequence[Given], gamma: float, threshold_on: Threshold) -> verdicts.Spread:
    ids = sorted(set.intersection(*(set(table) for table in tables)))
    scores = [_scores(table, ids, gamma, threshold_on) for table in tables]
    if len(tables) < 2:
        return verdicts.spread(scores, "one exemplar has one order")
    return verdicts.spread(scores)


def _examples(sample: Sequence[sanity.Sampled], scores: dict[str, Given]) -> list[Example]:
    """The rows that have most to lose: the highest scores as they are."""
    as_is, borrowed, plans = scores[sanity.AS_IS], sanity.lenders(sample), sanity.plans(sample)
    judged = sorted((row for row in sample if row.id in as_is), key=lambda row: -as_is[row.id]["expected_score"])
    return [
        Example(
            id=row.id,
            name=row.name,
            order=plans[row.id].order,
            lender=borrowed.get(row.id),
            expected={name: given[row.id]["expected_score"] for name, given in scores.items() if row.id in given},
        )
        for row in judged[:EXAMPLES]
    ]
