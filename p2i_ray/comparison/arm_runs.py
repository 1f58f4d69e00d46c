"""Run the arms, each in a run folder of its own below the comparison's, with one judge for all of them.

<out>/arms/<arm>-<seed>/          a run folder, as jobs/idr.py makes them
<out>/scores/<scorer>[-<seed>]/   what arms select by that have no judge
<out>/self-training/<seed>/       the data of the arm that trains on its own pictures
<out>/feature-cache/              features that all arms share
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from p2i_ray import idr_run
from p2i_ray.comparison import row_scores, self_training
from p2i_ray.comparison.arms import BY_NAME, Arm, config_of
from p2i_ray.config import Config
from p2i_ray.config.comparison import REFERENCE, ComparisonConfig
from p2i_ray.console.progress import say
from p2i_ray.data import reading
from p2i_ray.errors import UserError
from p2i_ray.idr_run import RunConfig
from p2i_ray.judge.judge import Judge
from p2i_ray.run import manifests, status
from p2i_ray.run.step_table import SELECT, TRAIN
from p2i_ray.steps import checks, settings_check
from p2i_ray.storage import locations


@dataclass(frozen=True)
class ArmRuns:
    """The arms of a comparison.

    Attributes:
        config: the settings that all arms share.
        comparison: of the comparison.
        prompt: of the baselines.
        data: location of the EPBD folder.
        out: the comparison's folder.
    """

    config: Config
    comparison: ComparisonConfig
    prompt: str
    data: str
    out: str

    def folder(self, arm: str, seed: int) -> str:
        """The location of an arm's run."""
        return locations.join(self.out, "arms", f"{arm}-{seed}")

    def model(self, arm: str, seed: int, number: int) -> str:
        """The location of the model after a round."""
        return locations.join(manifests.folder(self.folder(arm, seed), number), TRAIN.output)

    def kept(self, arm: str, seed: int) -> list[int]:
        """The rows that each round of a finished run kept."""
        folder = self.folder(arm, seed)
        rounds = range(1, self.config.idr.rounds + 1)
        return [manifests.read_one(manifests.location(folder, one, SELECT.name)).rows_out for one in rounds]

    def check(self, arms: Sequence[Arm]) -> None:
        """Find before anything is started what would end an arm.

        Raises:
            UserError: with the arm's name.
        """
        rows = reading.count_scenes(self.data, "train")
        for arm in arms:
            try:
                self._check(arm, rows)
            except UserError as error:
                raise UserError(f"arm {arm.name}: {error}") from None

    def _check(self, arm: Arm, rows: int) -> None:
        if arm.own_pictures:
            self_training.budget(self.config, self.comparison, rows)
        if arm.scores and arm.scores != "truth":
            row_scores.check(arm.scores, self.config.evaluate)
            return  # its file is made later; all else it shares with the loop
        config = self.settings(arm, self.comparison.seeds[0], kept=[rows] * self.config.idr.rounds)
        settings_check.check(config)
        folder = self.folder(arm.name, self.comparison.seeds[0])
        checks.check(config, self.data, begun=status.is_run(folder))

    def settings(
        self,
        arm: Arm,
        seed: int,
        *,
        kept: Sequence[int] = (),
        given_scores: str | None = None,
        steps: Sequence[int] | None = None,
    ) -> Config:
        """The settings of an arm's run; arguments as of `arms.config_of`."""
        shared = self.config.features.cache or locations.join(self.out, "feature-cache")
        features = self.config.features.model_copy(update={"cache": shared})
        return config_of(
            arm,
            self.config.model_copy(update={"features": features}),
            self.comparison,
            seed=seed,
            prompt=self.prompt,
            kept=kept,
            given_scores=given_scores or (self.comparison.truth if arm.scores == "truth" else None),
            steps=steps,
        )

    def run(self, arm: Arm, seed: int, judge: Judge) -> str:
        """Run an arm, or continue it, unless it is finished; returns its run folder.

        An arm that keeps as many rows as the loop runs after the loop of the same seed.

        Raises:
            UserError: its finished steps were made with other settings, data or models.
        """
        folder = self.folder(arm.name, seed)
        shared, data = self._prepared(arm, seed, judge)
        config = RunConfig(**dict(shared), run_dir=folder, data=data)
        note, asked = f"{folder}.json", config.model_dump(mode="json")
        if status.is_run(folder):
            idr_run.check_begun(config, folder, data, "change it back, or give another out")
        if locations.exists(note) and json.loads(locations.read_text(note)) == asked:
            return folder
        say(f"arm {arm.name}, seed {seed}")
        with idr_run.opened(config, folder, data) as run:
            idr_run.refine(run, data, judge)
        locations.write_text(note, json.dumps(asked))
        return folder

    def _prepared(self, arm: Arm, seed: int, judge: Judge) -> tuple[Config, str]:
        """The settings and the data of an arm's run, with the files made that it needs."""
        if arm.own_pictures:
            rows = reading.count_scenes(self.data, "train")
            own = self_training.budget(self.config, self.comparison, rows)
            seeded = self.settings(BY_NAME[REFERENCE], seed)
            out = locations.join(self.out, "self-training", str(seed))
            made = self_training.data_of(own, seeded, self.comparison, data=self.data, out=out, judge=judge)
            return self.settings(arm, seed, steps=own.steps), made
        scores = self._scores(arm.scores, seed) if arm.scores else None
        kept = self.kept(REFERENCE, seed) if arm.sized else ()
        return self.settings(arm, seed, kept=kept, given_scores=scores), self.data

    def _scores(self, scorer: str, seed: int) -> str:
        if scorer == "truth":
            return locations.absolute(str(self.comparison.truth))
        name = f"{scorer}-{seed}" if scorer == "random" else scorer
        seeded = self.settings(BY_NAME[REFERENCE], seed)
        return row_scores.write(scorer, self.data, locations.join(self.out, "scores", name), config=seeded)


def in_turn(arms: Sequence[Arm], settings: ComparisonConfig) -> Iterator[tuple[Arm, int]]:
    """Arms and seeds in the order in which they run: seed by seed, the loop itself first."""
    for seed in settings.seeds:
        for arm in sorted(arms, key=lambda arm: arm.name != REFERENCE):
            if settings.runs(arm.name, seed):
                yield arm, seed
