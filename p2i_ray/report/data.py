"""A run folder, read for the report: rounds, scores, flaws, feedback, settings. Figures only; no pictures.

Which files count, and which steps are done, comes from the steps' manifests (run/folder.py), so a run that was stopped
anywhere is read as far as it got.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from p2i_ray.errors import UserError
from p2i_ray.judge.requests.prompts import Prompts, load_prompts
from p2i_ray.run import changes, manifests
from p2i_ray.run.manifests import Manifest
from p2i_ray.run.status import read_settings, read_summary
from p2i_ray.run.step_table import CRITIQUE, FEEDBACK, SCORE, SELECT, STEPS, order_of
from p2i_ray.storage import locations, parquet


@dataclass(frozen=True)
class Round:
    """One round as far as it got; 0 is before training."""

    number: int
    folder: str
    steps: dict[str, Manifest]
    scores: pa.Table | None = None  # id, score, expected_score, kept (bool), null scores included
    flaws: dict[str, list[str]] = field(
        default_factory=dict
    )  # id of a generated picture -> flaws that the critique named
    metrics: dict[str, float] = field(default_factory=dict)
    feedback: str | None = None
    reasons: dict[str, Counter[str]] = field(default_factory=dict)  # step -> why rows were set aside

    @property
    def title(self) -> str:
        """The round's heading."""
        return f"Round {self.number}" if self.number else "Before training"

    @property
    def scored(self) -> int | None:
        """|D_{i-1}|: the number of rows that the judge scored."""
        return self.steps[SCORE.name].rows_in if SCORE.name in self.steps else None

    @property
    def kept(self) -> int | None:
        """|S_i|: the number of rows kept."""
        return self.steps[SELECT.name].rows_out if SELECT.name in self.steps else None

    def setting(self, step: str, key: str, config: dict[str, Any]) -> Any:
        """The value of an adjustable setting that a step was done with; of an older version's, that of the run."""
        done = self.steps.get(step)
        group, _, name = key.rpartition(".")
        return done.settings[key] if done and key in done.settings else config[group].get(name)

    @property
    def set_aside(self) -> int:
        """Rows set aside in all steps."""
        return sum(manifest.set_aside for manifest in self.steps.values())

    @property
    def seconds(self) -> float:
        """The time of all steps."""
        return sum(manifest.seconds for manifest in self.steps.values())

    @property
    def flawless(self) -> float | None:
        """Share of the criticised pictures in which no flaw was named, 0..1."""
        return sum(not named for named in self.flaws.values()) / len(self.flaws) if self.flaws else None

    def flaw_share(self, flaw: str) -> float | None:
        """Share of the criticised pictures that show a flaw, 0..1."""
        return sum(flaw in named for named in self.flaws.values()) / len(self.flaws) if self.flaws else None


@dataclass(frozen=True)
class RunFolder:
    """A run folder."""

    location: str
    config: dict[str, Any]  # config.yaml
    summary: dict[str, Any]  # run.json
    rounds: list[Round]
    prompts: Prompts | None  # none: they can't be read any more
    prompts_note: str = ""
    changes: list[dict[str, Any]] = field(default_factory=list)  # changes.json: settings that others were before


def load(run_dir: str) -> RunFolder:
    """Read a run folder, whole or stopped anywhere.

    Raises:
        UserError: there is no run in it.
    """
    config, summary = read_settings(run_dir), read_summary(run_dir)
    rounds = [_round(run_dir, number) for number in range(config["idr"]["rounds"] + 1)]
    try:
        prompts, note = load_prompts(config["judge"]["prompts"]), ""
    except UserError as error:
        prompts, note = None, str(error)
    return RunFolder(
        location=run_dir,
        config=config,
        summary=summary,
        rounds=[r for r in rounds if r.steps],
        prompts=prompts,
        prompts_note=note,
        changes=changes.read(run_dir),
    )


def _round(run_dir: str, number: int) -> Round:
    folder, found = manifests.folder(run_dir, number), manifests.read(run_dir, number)
    steps = {name: found[name] for name in sorted(found, key=order_of)}
    advised = steps.get(FEEDBACK.name)
    return Round(
        number,
        folder,
        steps,
        scores=_scores(folder, steps),
        flaws=_flaws(folder, steps),
        metrics=manifests.metrics_of(steps),
        feedback=str(advised.facts["feedback"]) if advised else None,
        reasons=_reasons(folder, steps),
    )


def _scores(folder: str, steps: dict[str, Manifest]) -> pa.Table | None:
    if SCORE.name not in steps:
        return None
    scores = parquet.read_parquet(
        locations.join(folder, SCORE.output), steps[SCORE.name].files, ["id", "score", "expected_score"]
    )
    kept = pa.array([], pa.string())
    if SELECT.name in steps:
        kept = parquet.read_parquet(folder, [SELECT.output], ["id"])["id"].combine_chunks()
    return scores.append_column("kept", pc.is_in(scores["id"], value_set=kept))


def _flaws(folder: str, steps: dict[str, Manifest]) -> dict[str, list[str]]:
    if CRITIQUE.name not in steps or not steps[CRITIQUE.name].files:
        return {}
    table = parquet.read_parquet(locations.join(folder, CRITIQUE.output), steps[CRITIQUE.name].files, ["id", "flaws"])
    return {row["id"]: row["flaws"] for row in table.to_pylist() if row["flaws"] is not None}


def _reasons(folder: str, steps: dict[str, Manifest]) -> dict[str, Counter[str]]:
    found = {}
    for step, name in ((step.name, step.output) for step in STEPS if step.by_row):
        if step in steps and steps[step].set_aside:
            errors = parquet.read_parquet(locations.join(folder, name), steps[step].files, ["error"])["error"]
            found[step] = Counter({v["values"]: v["counts"] for v in pc.value_counts(errors.drop_null()).to_pylist()})
    return found
