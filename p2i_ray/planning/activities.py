"""The activities of a run and what each would take, derived from the step table, the settings and assumed rates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from p2i_ray.cluster import resources
from p2i_ray.cluster.resources import ResourceSpec
from p2i_ray.config import Config, FeatureConfig, GenerateConfig, TrainConfig
from p2i_ray.config.planning import RunPlanConfig
from p2i_ray.errors import UserError
from p2i_ray.planning import architectures
from p2i_ray.planning.schedule import Activity
from p2i_ray.planning.training_memory import default_images_per_s
from p2i_ray.run import step_table
from p2i_ray.run.step_table import AUDIT, CRITIQUE, ENCODE, MEASURE, SCORE, SELECT, Key, Kind, Step
from p2i_ray.storage import locations

PASSES = 4  # of a calibration over its rows: as they are, swapped, blanked, overlaid
LAST = 0.1  # fraction of the images that are finished too late to be criticised while others are painted
ON_GPU_PER_S, ON_CPU_PER_S = 50.0, 5.0  # products measured
REPLY_S = 10.0  # for the summary's few hundred tokens
ENGINES: Key = (0, "engines")
Group = FeatureConfig | TrainConfig | GenerateConfig


class Estimate(NamedTuple):
    """A step's time: seconds in which it leaves the GPUs alone, then seconds of work, on a fraction of all GPUs."""

    idle_s: float
    work_s: float
    fraction: float


class RunPlan:
    """A run's activities.

    Args:
        config: the settings as the steps use them; see gpu_sharing.
        assumed: rates and start-up times.
        rows, dev_rows: of the training split and of idr.dev_split.

    Raises:
        UserError: no step has a GPU, or the base model's settings can't be used.
    """

    def __init__(self, config: Config, assumed: RunPlanConfig, rows: int, dev_rows: int) -> None:
        self.config, self.assumed = config, assumed
        self.rows, self.dev_rows = rows, dev_rows
        self._architecture, _ = architectures.of(locations.absolute(config.diffusion.base), config.diffusion)
        judge, hosted = config.judge, bool(config.judge.hosted.url)
        self.stays = judge.keep_warm or hosted  # and leaves room for the others
        self.overlaps = config.idr.overlap and config.idr.judged and self.stays
        self.engines = (
            0.0 if hosted or not config.idr.judged else judge.replicas * self.works_on(resources.engine(judge))
        )
        self.gpus = self._gpus()
        if not self.gpus:
            raise UserError("a forecast is of GPUs, and no step of these settings has one; give num_gpus to its steps")
        self.engine_start_s = assumed.engine_start_s if self.engines else 0.0

    def activities(self) -> Iterator[Activity]:
        """All of them, in the order of the step table, each after what it waits for."""
        yield Activity(ENGINES, (), self.engine_start_s if self.stays else 0.0)
        turn: tuple[Key, ...] = () if self.overlaps else (ENGINES,)  # what the loop waits for before its next step
        beside: tuple[Key, ...] = ()  # steps that run in the background
        scoring: tuple[Key, ...] = ()  # what the first round's scores wait for
        engines_up, candidates = self.stays, self.rows
        for number, step in step_table.of_run(self.config):
            if step is SELECT:
                candidates = round(candidates * self.assumed.kept_fraction)
            judging = step.kind is Kind.JUDGING
            if step.takes is None or (judging and not self.config.idr.judged):
                continue
            joins = step.kind is Kind.TRAINING or (step is SCORE and number == 1)
            after = (*turn, *(beside if joins else ()), *((ENGINES,) if judging else ()))
            scoring = after if step is SCORE and number == 1 else scoring
            idle_s, work_s, fraction = self.estimate(number, step, candidates)
            if judging and not engines_up:
                idle_s, engines_up = idle_s + self.engine_start_s, True
            released = step.kind is Kind.TRAINING or step is AUDIT
            engines_up = self.stays or (engines_up and not released)
            key = step.key(number)
            if step is ENCODE and self.encodes_early:
                yield Activity(key=key, after=scoring, idle_s=idle_s, work_s=work_s, share=fraction)
                continue
            if step is CRITIQUE and self.overlaps:
                painting = step_table.GENERATE.needs(number)
                early = Activity((number, f"{step.name} ahead"), tuple(painting), self.assumed.worker_start_s)
                yield early._replace(work_s=(1 - LAST) * work_s, share=fraction)
                after, work_s = (*after, early.key), LAST * work_s
            yield Activity(key=key, after=(*after, *step.needs(number)), idle_s=idle_s, work_s=work_s, share=fraction)
            if step is MEASURE and self.defers_figures:
                beside = (key,)
            else:
                turn = (key,)

    @property
    def defers_figures(self) -> bool:
        """Whether a round is measured beside what comes next."""
        idr = self.config.idr
        return idr.overlap and idr.judged and (self.stays or not self.config.evaluate.num_gpus)

    @property
    def encodes_early(self) -> bool:
        """Whether rows are encoded while others are scored; see steps/overlap."""
        return self.overlaps and self.config.idr.keep_fraction is None and not self.config.judge.cascade.clip

    @property
    def scored_per_s(self) -> float:
        """Rows that an engine scores a second. Exemplars cost little: prompts begin with them alike."""
        return self.assumed.reasoned_per_s if self.config.judge.reasoned else self.assumed.scored_per_s

    def estimate(self, number: int, step: Step, candidates: int) -> Estimate:
        """A step's time, in a round whose candidates, or kept rows once they are selected, are so many."""
        config, assumed = self.config, self.assumed
        match step.name:
            case step_table.CALIBRATE.name:
                return self._judged(config.calibration.rows * PASSES / self.scored_per_s)
            case step_table.SCORE.name:
                return self._judged(candidates / self.scored_per_s)
            case step_table.INSPECT.name:  # criticised, and scored without the feedback in rounds that have one
                each_s = 1 / assumed.criticised_per_s + (number > 1) / self.scored_per_s
                return self._judged(config.idr.inspect * each_s)
            case step_table.CRITIQUE.name:
                return self._judged(self.dev_rows / assumed.criticised_per_s)
            case step_table.AUDIT.name:
                return self._audit(criticised=number == 0)
            case step_table.FEEDBACK.name:
                return Estimate(REPLY_S, 0.0, 1.0)
            case step_table.ENCODE.name:
                return self._workers(config.features, candidates / assumed.encoded_per_s)
            case step_table.TRAIN.name:
                return self._train(config.idr.steps[number - 1])
            case step_table.GENERATE.name:
                return self._workers(config.generate, self.dev_rows / assumed.painted_per_s)
            case step_table.MEASURE.name:
                return self._measure()
        raise AssertionError(f"no estimate for {step.name}")

    def _judged(self, engine_s: float) -> Estimate:
        """So many seconds of one engine."""
        return Estimate(0.0, engine_s / self.config.judge.replicas, self.engines / self.gpus)

    def _audit(self, criticised: bool) -> Estimate:
        """Both judges about the same images, one after the other; the held-out judge's engines start for it.

        Args:
            criticised: whether the selecting judge is asked for critiques, too: the round has none.
        """
        other, each_s = self.config.held_out_judge, (1 / self.scored_per_s, 1 / self.assumed.criticised_per_s)
        assert other is not None
        selecting = self._judged(self.dev_rows * (each_s[0] + criticised * each_s[1]))
        works_on = 0.0 if other.hosted.url else other.replicas * self.works_on(resources.engine(other))
        replicas = 1 if other.hosted.url else other.replicas
        held_out_s = self.dev_rows * sum(each_s) / replicas
        work_s = selecting.work_s + held_out_s
        share = (selecting.fraction * selecting.work_s + works_on / self.gpus * held_out_s) / work_s if work_s else 0.0
        return Estimate(self.assumed.engine_start_s if works_on else 0.0, work_s, share)  # a mean share of the GPUs

    def _workers(self, group: Group, worker_s: float) -> Estimate:
        """So many seconds of one worker of a group of settings."""
        fraction = group.num_workers * self.works_on(ResourceSpec(gpus=group.num_gpus)) / self.gpus
        return Estimate(self.assumed.worker_start_s, worker_s / group.num_workers, fraction)

    def _train(self, steps: int) -> Estimate:
        """Eq. 5, with its checkpoints."""
        settings, assumed = self.config.train, self.assumed
        each = assumed.images_per_s or default_images_per_s(self._architecture, settings, self.config.image.resolution)
        idle_s, work_s, fraction = self._workers(settings, steps * settings.batch_size / each)
        checkpoints = steps // settings.checkpointing_steps
        return Estimate(idle_s + checkpoints * assumed.checkpoint_s, work_s, fraction)

    def _measure(self) -> Estimate:
        """The metrics, one process."""
        gpus = self.works_on(resources.evaluate(self.config.evaluate).bundle)
        per_s = self.assumed.measured_per_s or (ON_GPU_PER_S if gpus else ON_CPU_PER_S)
        return Estimate(self.assumed.worker_start_s, self.dev_rows / per_s, gpus / self.gpus)

    def works_on(self, bundle: ResourceSpec) -> float:
        """GPUs that a process keeps busy: whole ones, where it has a fraction of each by idr.judge_gpu_fraction."""
        return math.ceil(bundle.gpus) if self.config.idr.judge_gpu_fraction else bundle.gpus

    def _gpus(self) -> int:
        """As many as the run takes at a time."""
        phases = step_table.phases(self.config)
        if self.config.idr.judge_gpu_fraction:  # what runs beside the engines is on their GPUs
            phases = [phase[:1] for phase in phases]
        taken = (sum(self.works_on(bundle) for bundle in resources.bundles(phase)) for phase in phases)
        return math.ceil(max(taken))
