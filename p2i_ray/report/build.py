"""Write a run folder as `report.html`, a single file that needs no network: `python -m p2i_ray.report RUN_DIR`.

Figures come from data.py, pictures from gallery.py, plots from plots.py; here they are put
together for the template. Product names, feedback and reasons are other people's text: the template escapes all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from p2i_ray.config import ImageConfig
from p2i_ray.config.flaws import name_of
from p2i_ray.report import calibration as report_calibration
from p2i_ray.report import held_out as report_held_out
from p2i_ray.report import selection as report_selection
from p2i_ray.report import timeline as report_timeline
from p2i_ray.report import training as report_training
from p2i_ray.report.data import Round, RunFolder, load
from p2i_ray.report.gallery import strips, training_examples
from p2i_ray.report.page import percent, render
from p2i_ray.report.plots import metric_plot, score_plot
from p2i_ray.run.step_table import RANKING, SELECT, STEPS
from p2i_ray.storage import locations

# Metric -> what it is called, and whether lower is better.
METRICS = {"fid": ("FID", True), "clip_c_i": ("CLIP-c-I", False), "clip_c_b": ("CLIP-c-B", False)}
DIVERSITY = "diversity"


class Change(NamedTuple):
    """A figure at the start and at the end of the run."""

    label: str
    note: str
    before: str
    after: str
    better: bool | None  # none: neither


def write(run_dir: str) -> str:
    """Write <run_dir>/report.html from what is there, however far the run got.

    Returns:
        The page's location.

    Raises:
        UserError: there is no run in the folder.
    """
    run = load(locations.absolute(run_dir))
    page = render("report.html", **view(run))
    location = locations.join(run.location, "report.html")
    locations.write_text(location, page)
    return location


def view(run: RunFolder) -> dict[str, Any]:
    """The template's values."""
    config, rounds, idr = run.config, run.rounds, run.config["idr"]
    limits = ImageConfig.model_validate(config["image"])
    trained = [r for r in rounds if r.number]
    scored = [r for r in trained if r.scores is not None]
    examples, examples_note = training_examples(scored, config, limits)
    return {
        "run": run,
        "config": config,
        "judged": idr["select"] and idr["given_scores"] is None,
        "rule": selection_rule(idr),
        "settings": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        "rounds": rounds,
        "trained": trained,
        "scored": scored,
        "measured": [r for r in rounds if r.metrics],
        "criticised": [r for r in rounds if r.flaws],
        "steps": [step.name for step in STEPS if any(step.name in r.steps for r in rounds)],
        "flaws": flaw_names(rounds, config["judge"].get("flaws", [])),
        "metrics": METRICS,
        "changes": changes(rounds),
        "metric_plots": metric_plots(rounds),
        "trust": report_calibration.of_run(run),
        "held_out": report_held_out.of_run(run),
        "score_plots": [
            (
                r,
                score_plot(
                    r.title,
                    r.scores,
                    gamma=r.setting(SELECT.name, "idr.gamma", config),
                    threshold_on=idr["threshold_on"],
                    ranked=any(r.setting(SELECT.name, name, config) for name in RANKING),
                ),
            )
            for r in scored
        ],
        "selection": report_selection.of_run(run),
        "strips": strips(rounds, limits),
        "examples": examples,
        "examples_note": examples_note,
        "diverse": any(DIVERSITY in r.metrics for r in rounds),
        "few_images": few_images(rounds),
        "timeline": report_timeline.of_run(run),
        "training": report_training.of_run(run),
    }


def selection_rule(idr: dict[str, Any]) -> str:
    """The rows that a round keeps, in a few words; idr: the settings of that group."""
    if not idr["select"]:
        return "no judge, no selection: all photos are trained on"
    if idr["keep_rows"]:
        return f"keeps the best {' · '.join(f'{rows:,}' for rows in idr['keep_rows'])} rows"
    if idr["keep_fraction"]:
        return f"keeps the best {percent(idr['keep_fraction'])}"
    return f"γ = {idr['gamma']:g}"


def changes(rounds: list[Round]) -> list[Change]:
    """The headline: first and last figure of every metric, and of the flawless share."""
    found = []
    measured = [r for r in rounds if r.metrics]
    for key, (label, lower) in METRICS.items():
        having = [r for r in measured if key in r.metrics]
        if having:
            first, last = having[0].metrics[key], having[-1].metrics[key]
            better = None if first == last or len(having) == 1 else (last < first) == lower
            note = f"{'lower' if lower else 'higher'} is better"
            found.append(
                Change(
                    label=label,
                    note=note,
                    before=f"{first:.2f}" if len(having) > 1 else "",
                    after=f"{last:.2f}",
                    better=better,
                )
            )
    criticised = [r for r in rounds if r.flawless is not None]
    if criticised:
        first, last = criticised[0].flawless or 0.0, criticised[-1].flawless or 0.0
        before = percent(first) if len(criticised) > 1 else ""
        note = f"says the judge, from round {criticised[0].number} on"
        found.append(
            Change(
                label="Pictures without a flaw",
                note=note,
                before=before,
                after=percent(last),
                better=last > first if last != first else None,
            )
        )
    return found


def metric_plots(rounds: list[Round]) -> list[tuple[str, bool, Any]]:
    """(label, lower is better, SVG) of every metric that two rounds have."""
    plots = []
    for key, (label, lower) in METRICS.items():
        having = [r for r in rounds if key in r.metrics]
        if len(having) > 1:
            names = [f"round {r.number}" if r.number else "before" for r in having]
            plots.append((label, lower, metric_plot(label, names, [r.metrics[key] for r in having], lower)))
    return plots


def flaw_names(rounds: list[Round], listed: list[str]) -> list[str]:
    """The flaws of judge.flaws, then whatever else a critique named (runs of older versions have no such list)."""
    known = list(map(name_of, listed))
    named = {flaw for r in rounds for flaws in r.flaws.values() for flaw in flaws}
    return [*known, *sorted(named - set(known))]


def few_images(rounds: list[Round]) -> tuple[int, int] | None:
    """(pictures, features), if FID was taken from no more pictures than it has features."""
    for r in rounds:
        images, features = r.metrics.get("fid_images"), r.metrics.get("fid_features")
        if images is not None and features is not None and images <= features:
            return int(images), int(features)
    return None
