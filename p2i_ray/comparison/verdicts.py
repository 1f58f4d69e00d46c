"""A comparison's figures on the method's claims, in plain sentences, also where they refute it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from p2i_ray.comparison.arms import BY_NAME
from p2i_ray.comparison.formats import told
from p2i_ray.comparison.results import Case, Results
from p2i_ray.comparison.table import LOWER, metric_column
from p2i_ray.config.comparison import REFERENCE
from p2i_ray.evaluate.table import PICTURES

FEWEST = 10  # products: of fewer, an interval leaves zero out too often where there is no difference
# The claims: the loop is better than an arm by these metrics, where they are measured.
CLAIMS = (
    ("no_filter", ("scene_fit", "kid")),
    ("random", ("scene_fit", "kid")),
    ("no_feedback", ("scene_fit", "kid")),
    ("placebo", ("scene_fit", "kid")),
    ("self_training", ("scene_fit", "kid")),
    ("no_cba", ("clip_c_b", "scene_fit")),
)


def of(results: Results, *, split: str, rounds: int, metrics: tuple[str, ...]) -> Iterator[str]:
    """A sentence for each claim and metric that was measured.

    Args:
        results: of the comparison.
        split: on which arms are compared.
        rounds: R.
        metrics: that were measured.
    """
    reference = Case(REFERENCE, rounds, split)
    for arm, by in CLAIMS:
        for metric in by:
            if metric in metrics and results.seeds(case := Case(arm, rounds, split)):
                yield _sentence(results, reference, case, metric)


def _sentence(results: Results, reference: Case, case: Case, metric: str) -> str:
    label, other = metric_column(metric).label, BY_NAME[case.name].title
    found = results.difference(reference, case, metric)
    if found is None or found.low is None:
        return f"{label}: the loop and «{other}» can't be compared in pairs."
    better = (found.difference < 0) == (metric in LOWER) and found.difference != 0
    each = ", ".join(f"{value:+.3g}" for value in found.by_seed.values())
    figures = f"{told(found)}; by seed {each}; {found.pictures} products"
    otherwise = _otherwise(results, (reference, case), metric)
    if found.pictures < FEWEST:
        return f"{label}: too few products to tell the loop from «{other}»: {figures}{otherwise}."
    if not found.excludes_zero:
        return f"{label}: no clear difference between the loop and «{other}»: {figures}{otherwise}."
    return f"{label}: the loop is {'better' if better else 'worse'} than «{other}»: {figures}{otherwise}."


def _otherwise(results: Results, cases: Sequence[Case], metric: str) -> str:
    """Differences of two cases' measurements, besides the number of pictures: those of both are compared."""
    found = [one.model_dump(exclude={*PICTURES}) for one in results.conditions(cases, metric)]
    different = sorted({key for one in found for key in one if one[key] != found[0][key]})
    return f"; but they were measured otherwise ({', '.join(different)})" if different else ""
