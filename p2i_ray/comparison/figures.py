"""Figures 6 and 8: the same products by every method; the size and the quality of each round's training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from markupsafe import Markup

from p2i_ray.comparison.results import Case, Results
from p2i_ray.config import ImageConfig
from p2i_ray.report import pictures
from p2i_ray.report.plots import KEPT, LINE, canvas, inline
from p2i_ray.run import manifests
from p2i_ray.run.step_table import INSPECT, SELECT
from p2i_ray.storage import folders, locations

SIDE = 192  # longest side of a picture on the page, pixels


class Shown(NamedTuple):
    """One picture of Figure 6."""

    uri: str | None  # none: it could not be painted or read
    label: str  # the method's


class Product(NamedTuple):
    """One row of Figure 6."""

    name: str
    shown: list[Shown]


@dataclass(frozen=True)
class RoundData:
    """One round's training data.

    Attributes:
        number: of the round.
        kept: rows of it, by seed.
        clean: by flaw the fraction of its rows, of an inspected sample, in which the judge names no such flaw; by seed.
    """

    number: int
    kept: Mapping[int, int]
    clean: Mapping[str, Mapping[int, float]]


def shown_seed(results: Results, cases: Sequence[Case], seeds: Sequence[int]) -> int | None:
    """The seed of Figure 6: the first one that all methods have; none: they share none, or there are no methods.

    Args:
        results: of the comparison.
        cases: methods, all of one split; those that were not evaluated don't count.
        seeds: of the comparison, in their order.
    """
    there = [found for case in cases if (found := results.seeds(case))]
    return next((seed for seed in seeds if there and all(seed in found for found in there)), None)


def products(
    results: Results, cases: Sequence[tuple[str, Case]], *, seed: int, count: int, limits: ImageConfig
) -> list[Product]:
    """Figure 6.

    Args:
        results: of the comparison.
        cases: methods with their titles, all of one split.
        seed: that all of them have.
        count: of products, taken from each category in turn.
        limits: of decoding.
    """
    there = [(title, results.seeds(case)) for title, case in cases if results.seeds(case)]
    found: list[dict[str, dict[str, Any]]] = []
    ids: list[str] = []
    for _, seeds in there:
        files = folders.files(locations.join(seeds[seed], "generated"), ".parquet")
        ids = ids or _chosen(files, count)
        found.append(pictures.rows_by_id(files, ids, ["name", "image", "cutout"]))
    return [
        _product(id_, [(title, rows.get(id_)) for (title, _), rows in zip(there, found, strict=True)], limits)
        for id_ in ids
        if id_ in found[0]
    ]


def _chosen(files: Sequence[str], count: int) -> list[str]:
    import pyarrow as pa

    from p2i_ray.storage import parquet

    tables = [parquet.read_parquet(*_split(file), columns=["id", "category"]) for file in files]
    return pictures.spread(pa.concat_tables(tables), count)


def _split(file: str) -> tuple[str, list[str]]:
    folder, _, name = file.rpartition("/")
    return folder, [name]


def _product(id_: str, rows: Sequence[tuple[str, dict[str, Any] | None]], limits: ImageConfig) -> Product:
    first = next(row for _, row in rows if row)
    shown = [Shown(_uri(first["cutout"], limits), "cutout")]
    shown += [Shown(_uri(row["image"], limits) if row else None, title) for title, row in rows]
    return Product(first["name"], shown)


def _uri(image: dict[str, Any] | None, limits: ImageConfig) -> str | None:
    return pictures.data_uri((image or {}).get("bytes"), limits, SIDE)


def round_data(run_dirs: Mapping[int, str], rounds: int) -> list[RoundData]:
    """The training data of the loop's rounds, of its runs by seed."""
    found = []
    for number in range(1, rounds + 1):
        kept: dict[int, int] = {}
        clean: dict[str, dict[int, float]] = {}
        for seed, run_dir in run_dirs.items():
            done = manifests.read(run_dir, number)
            if SELECT.name in done:
                kept[seed] = done[SELECT.name].rows_out
            flaws = done[INSPECT.name].facts["flaws"] if INSPECT.name in done else {}
            for flaw, shares in flaws.items():
                if shares["kept"] is not None:
                    clean.setdefault(flaw, {})[seed] = 1 - shares["kept"]
        found.append(RoundData(number, kept, clean))
    return found


def data_plot(rounds: Sequence[RoundData]) -> Markup | None:
    """Figure 8: rows of each round as bars, their quality by aspect as lines; means over the seeds."""
    rounds = [one for one in rounds if one.kept]
    if not rounds:
        return None
    sizes = [_mean(one.kept) for one in rounds]
    labels = [f"round {one.number}" for one in rounds]
    aspects = list(dict.fromkeys(flaw for one in rounds for flaw in one.clean))
    with canvas(7, 3.2) as (figure, out):
        bars, lines = figure.subplots(1, 2, width_ratios=[1, 2])
        bars.bar(labels, sizes, 0.6, color=KEPT)
        bars.set_ylabel("training photos", fontsize=9)
        for place, size in enumerate(sizes):
            bars.annotate(
                f"{size:.0f}", (place, size), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8
            )
        for place, flaw in enumerate(aspects):
            values = [_mean(one.clean.get(flaw, {})) for one in rounds]
            lines.plot(labels, values, marker="o", label=f"no {flaw}", color=None if place else LINE)
        lines.set_ylabel("fraction of kept photos", fontsize=9)
        lines.set_ylim(-0.03, 1.05)
        lines.grid(axis="y", alpha=0.2)
        lines.legend(fontsize=8, frameon=False, loc="lower right")
        for axes in (bars, lines):
            axes.tick_params(labelsize=8)
            axes.set_axisbelow(True)
    told = "; ".join(
        f"round {one.number}: {_mean(one.kept):.0f} photos"
        + "".join(f", {_mean(clean):.2f} without {flaw}" for flaw, clean in one.clean.items())
        for one in rounds
    )
    return inline(out, f"Training data by round: {told}")


def _mean(values: Mapping[int, float]) -> float:
    return sum(values.values()) / len(values) if values else float("nan")
