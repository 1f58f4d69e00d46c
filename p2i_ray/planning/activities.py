"""The loop's parts and what each would take, from the settings and what is taken for granted. In the loop's order."""

from __future__ import annotations

import math
from collections.abc import Iterator

from p2i_ray.cluster import resources
from p2i_ray.cluster.resources import ResourceSpec
from p2i_ray.config import Config, FeatureConfig, GenerateConfig, TrainConfig
from p2i_ray.config.planning import RunPlanConfig
from p2i_ray.errors import UserError
from p2i_ray.planning.schedule import Activity, Key
from p2i_ray.planning.training_memory import default_images_per_s

PASSES = 4  # of a calibration over its rows: as they are, swapped, blanked, overlaid
LAST = 0.1  # share of the pictures that are finished too late to be criticised while others are painted
ON_GPU_PER_S, ON_CPU_PER_S = 50.0, 5.0  # products measured
Group = FeatureConfig | TrainConfig | GenerateConfig
REPLY_S = 10.0  # for the summary's few hundred tokens


class RunPlan:
    """A run's activities.

    Args:
        config: the settings as the steps use them; see sharing.
        assumed: rates and starts.
        rows, dev_rows: of the training split and of idr.dev_split.

    Raises:
        UserError: no step has a GPU.
    """

    def __init__(self, config: Config, assumed: RunPlanConfig, rows: int, dev_rows: int) -> None:
        self.config, self.assumed = config, assumed
        self.rows, self.dev_rows = rows, dev_rows
        judge, hosted = config.judge, bool(config.judge.hosted.url)
        self.stays = judge.keep_warm or hosted  # and leaves room for the others
        self.beside = config.idr.overlap and config.idr.select and self.stays
        self.engines = (
            0.0 if hosted or not config.idr.select else judge.replicas * self.works_on(resources.engine(judge))
        )
        self.gpus = self._gpus()
        if not self.gpus:
            raise UserError("a forecast is of GPUs, and no step of these settings has one; give num_gpus to its steps")
        self.engine_start_s = assumed.engine_start_s if self.engines else 0.0
        self.restart_s = 0.0 if self.stays else self.engine_start_s  # of engines that had to give way

    def activities(self) -> Iterator[Activity]:
        """All of them."""
        idr = self.config.idr
        yield Activity((0, "engines"), (), self.engine_start_s if self.stays else 0.0)
        last: tuple[Key, ...] = ((0, "engines"),)
        if idr.baseline:
            yield self.paint(0, () if self.beside else last)
            yield self.measure(0)
            last = (*last, (0, "generate" if self.early_figures else "measure"))
        checked = self.config.calibration.rows * PASSES if idr.select else 0
        if checked:
            yield self.judged((1, "calibrate"), last, checked, self.assumed.scored_per_s, self.restart_s)
            last = ((1, "calibrate"),)
        if idr.baseline:
            last = (*last, (0, "measure"))  # done before rows are encoded beside the judge
        candidates = self.rows
        for number in range(1, idr.rounds + 1):
            if idr.select:
                start = 0.0 if number > 1 or checked else self.restart_s
                yield self.judged((number, "score"), last, candidates, self.assumed.scored_per_s, start)
                candidates = round(candidates * self.assumed.kept_fraction)
                yield self.inspect(number)
            begun = last if self.encodes_early else ((number, "inspect"), *last)
            if number == 1:
                yield self.encode(candidates, begun)
            yield self.train(number, last)
            yield self.paint(number, ((number, "train"),))
            yield self.measure(number)
            last = ((number, "generate"),) if self.early_figures else ((number, "measure"),)
            if idr.select:
                early = (1 - LAST) if self.beside else 0.0
                if early:
                    start = self.assumed.worker_start_s  # no picture is finished before
                    yield self.criticise(number, "critique ahead", ((number, "train"),), early, start)
                after = (*last, (number, "critique ahead"))
                yield self.criticise(number, "critique", after, 1 - early, self.restart_s)
                yield Activity((number, "feedback"), ((number, "critique"),), REPLY_S)
                last = ((number, "feedback"),)

    @property
    def early_figures(self) -> bool:
        """Whether a round is measured beside what comes next."""
        idr = self.config.idr
        return idr.overlap and idr.select and (self.stays or not self.config.evaluate.num_gpus)

    @property
    def encodes_early(self) -> bool:
        """Whether rows are encoded while others are scored; see steps.ahead.encoding."""
        return self.beside and self.config.idr.keep_fraction is None and not self.config.judge.cascade.clip

    def judged(self, key: Key, after: tuple[Key, ...], rows: float, per_s: float, start_s: float = 0.0) -> Activity:
        """Rows that the engines are asked about."""
        return Activity(key, after, start_s, rows / (per_s * self.config.judge.replicas), self.engines / self.gpus)

    def inspect(self, number: int) -> Activity:
        """A sample, criticised, and scored without the feedback in rounds that have one."""
        assumed, rows = self.assumed, self.config.idr.inspect
        each_s = 1 / assumed.criticised_per_s + (number > 1) / assumed.scored_per_s
        return self.judged((number, "inspect"), ((number, "score"),), rows * each_s, 1.0)

    def criticise(self, number: int, name: str, after: tuple[Key, ...], share: float, start_s: float = 0.0) -> Activity:
        """A share of the painted pictures."""
        return self.judged((number, name), after, share * self.dev_rows, self.assumed.criticised_per_s, start_s)

    def encode(self, rows: int, after: tuple[Key, ...]) -> Activity:
        """Features of S_1."""
        settings = self.config.features
        work_s = rows / (self.assumed.encoded_per_s * settings.num_workers)
        return Activity((1, "encode"), after, self.assumed.worker_start_s, work_s, self._share(settings))

    def train(self, number: int, last: tuple[Key, ...]) -> Activity:
        """Eq. 5, with its checkpoints."""
        settings, assumed, steps = self.config.train, self.assumed, self.config.idr.steps[number - 1]
        each = assumed.images_per_s or default_images_per_s(settings, self.config.image.resolution)
        held_up = steps // settings.checkpointing_steps * assumed.checkpoint_s
        after = (*last, (number, "inspect"), (1, "encode"), (number - 1, "measure"))
        work_s = steps * settings.batch_size / (each * settings.num_workers)
        return Activity((number, "train"), after, assumed.worker_start_s + held_up, work_s, self._share(settings))

    def paint(self, number: int, after: tuple[Key, ...]) -> Activity:
        """I_dev."""
        settings = self.config.generate
        work_s = self.dev_rows / (self.assumed.painted_per_s * settings.num_workers)
        return Activity((number, "generate"), after, self.assumed.worker_start_s, work_s, self._share(settings))

    def measure(self, number: int) -> Activity:
        """The ruler, one process."""
        gpus, after = self.works_on(resources.evaluate(self.config.evaluate).bundle), ((number, "generate"),)
        per_s, share = self.assumed.measured_per_s or (ON_GPU_PER_S if gpus else ON_CPU_PER_S), gpus / self.gpus
        return Activity((number, "measure"), after, self.assumed.worker_start_s, self.dev_rows / per_s, share)

    def _share(self, group: Group) -> float:
        return group.num_workers * self.works_on(ResourceSpec(gpus=group.num_gpus)) / self.gpus

    def works_on(self, bundle: ResourceSpec) -> float:
        """GPUs that a process keeps busy: whole ones, where it has a share of each in idr.judge_gpu_fraction's way."""
        return math.ceil(bundle.gpus) if self.config.idr.judge_gpu_fraction else bundle.gpus

    def _gpus(self) -> int:
        """As many as the run takes at a time."""
        phases = resources.loop(self.config)
        if self.config.idr.judge_gpu_fraction:  # what is beside the engines is on their GPUs
            phases = [phase[:1] for phase in phases]
        taken = (sum(self.works_on(bundle) for bundle in resources.bundles(phase)) for phase in phases)
        return math.ceil(max(taken))
