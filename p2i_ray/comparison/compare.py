"""Run a whole comparison: arms, methods and variants, each painted once and measured; what is done is not done again.

<out>/evaluations/<subject>-<split>-<seed>/   an evaluation, as jobs/evaluate.py makes them
<out>/evaluated.json                          all of them, written last
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property

from p2i_ray.cluster import connection, placement, preflight, resources
from p2i_ray.cluster.resources import Phase
from p2i_ray.comparison import arms as known_arms
from p2i_ray.comparison import subjects
from p2i_ray.comparison.arm_runs import ArmRuns, in_turn
from p2i_ray.comparison.arms import BY_NAME, Arm, changed_config
from p2i_ray.comparison.evaluation import Evaluation, check_judge, lasting, made_judge
from p2i_ray.comparison.methods import Methods
from p2i_ray.comparison.results import EVALUATED, Evaluated
from p2i_ray.comparison.subjects import Subject
from p2i_ray.comparison.turns import Turns, room_beside
from p2i_ray.config import Config
from p2i_ray.config.baseline import BaselineConfig
from p2i_ray.config.comparison import REFERENCE, ComparisonConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.console.progress import say
from p2i_ray.diffusion.baselines.methods import Painting
from p2i_ray.diffusion.sampling.painting_method import PaintingMethod
from p2i_ray.errors import UserError
from p2i_ray.evaluate import catalogue, measure
from p2i_ray.judge.judge import Judge
from p2i_ray.run import lease, step_table
from p2i_ray.storage import folders, locations

MARKER = "comparison.txt"
ASKED = "evaluated-with.json"


@dataclass(frozen=True)
class Comparison:
    """A comparison.

    Attributes:
        config: the settings that all arms and methods share.
        settings: which they are.
        baseline: of the methods.
        generators: of the methods that are generators.
        data: location of the EPBD folder.
        out: the comparison's folder.
    """

    config: Config
    settings: ComparisonConfig
    baseline: BaselineConfig
    generators: GeneratorsConfig
    data: str
    out: str

    @cached_property
    def arms(self) -> list[Arm]:
        """The arms, the loop itself first."""
        return known_arms.chosen(self.settings)

    @cached_property
    def runs(self) -> ArmRuns:
        """The arms' runs."""
        return ArmRuns(self.config, self.settings, self.baseline.prompt, data=self.data, out=self.out)

    @cached_property
    def methods(self) -> Methods:
        """The settings that the methods paint with."""
        return Methods(self.settings, self.baseline, self.generators, base=self._base, data=self.data)

    @property
    def rounds(self) -> int:
        """R."""
        return self.config.idr.rounds

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of every evaluation."""
        return measure.known(self.settings.metrics)

    def check(self) -> None:
        """Find before anything is started what would end it hours later.

        Raises:
            UserError: an arm, a method or a metric lacks something.
        """
        self.runs.check(self.arms)
        for split in self.settings.splits:
            self.evaluation(Subject(REFERENCE, 0), split, self.settings.seeds[0], model=self._base).check()
        for method in self.settings.methods:
            try:
                model = self.methods.model(method, loop=self._base)  # the loop's last one isn't there yet
                self.evaluation(Subject(method), self.settings.splits[0], self.settings.seeds[0], model=model).check()
            except UserError as error:
                raise UserError(f"method {method}: {error}") from None

        self._check_judge()

    def _check_judge(self) -> None:
        """Check that the judge of all evaluations can be made, and asked what metrics need of it."""
        judge = self._held_out_judge() if self.config.held_out_judge else self._judge()
        asked = any(catalogue.NEEDS[name].judge for name in self.metrics)
        for split in self.settings.splits if asked else ():
            check_judge(judge, self.config, data=self.data, split=split, metrics=self.metrics)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Work on the comparison's folder alone; it is a new one, or that of a comparison. `check` comes before it.

        Raises:
            UserError: the folder holds something else, or another process works on it.
        """
        marker = locations.join(self.out, MARKER)
        if locations.exists(self.out) and not locations.exists(marker) and not folders.is_empty(self.out, lease.FILE):
            raise UserError(f"{self.out} is there already, and is no comparison; give another out, or remove it")
        lease.check_free(locations.join(self.out, lease.FILE))
        preflight.check_rights(self.out)
        with lease.held(locations.join(self.out, lease.FILE)):
            locations.write_text(marker, "The same command goes on with this comparison.\n")
            yield

    def run(self) -> list[Evaluated]:
        """Run all that isn't done yet; the evaluations."""
        connection.connect(self.config.ray)
        first = self.evaluation(Subject(REFERENCE, 0), self.settings.splits[0], 0, model=self._base)
        preflight.check(self._phases(first), writes=[self.out], reads=first.reads)
        with self._judge() as selecting, self._evaluating(selecting) as judge:
            found = self._evaluations(selecting, judge)
        content = [one.model_dump() for one in found]
        locations.write_text(locations.join(self.out, EVALUATED), json.dumps(content, indent=1))
        return found

    def _phases(self, first: Evaluation) -> list[Phase]:
        settings = self.runs.settings(BY_NAME[REFERENCE], self.settings.seeds[0])
        warm = settings.judge.keep_warm and self.config.held_out_judge  # the arms' judge, beside the evaluations'
        stays = (resources.judge(settings.judge),) if warm else ()
        return [*step_table.phases(settings), *((*phase, *stays) for phase in first.phases)]

    def _judge(self) -> Judge:
        """The judge of all arms: its decoding is greedy, so that no seed changes its answers."""
        config = self.config
        return Judge(config.judge, config.image, config.seed, cache=locations.join(self.out, "judge-cache"))

    def _held_out_judge(self) -> Judge:
        return made_judge(self.config, locations.join(self.out, "judge-cache"))

    def _evaluating(self, selecting: Judge) -> AbstractContextManager[Judge]:
        """The judge of all evaluations: the held-out one if there is one, else that of the arms."""
        judge = self._held_out_judge() if self.config.held_out_judge else selecting
        return nullcontext(judge) if judge is selecting else judge

    def _evaluations(self, selecting: Judge, judge: Judge) -> list[Evaluated]:
        turns: Turns[Evaluated] = Turns(self._beside(), "evaluation")
        for arm, seed in in_turn(self.arms, self.settings):
            self.runs.run(arm, seed, selecting)
            if judge is not selecting:
                selecting.release()  # the other one may need its GPUs
            cases = list(subjects.of_arms([arm], self.settings, self.rounds))
            if arm.name == REFERENCE:  # some methods and all variants paint with its last model
                cases += subjects.of_methods(self.settings, seed)
                cases += subjects.variants(self.settings, self.rounds, self.config.generate.guidance_scale, seed)
            turns.take(functools.partial(self._evaluate, cases, seed, judge))
        return sorted(turns.finish(), key=lambda one: one.name not in BY_NAME or bool(one.variant))

    def _beside(self) -> bool:
        """Whether an arm is evaluated beside the next one's run."""
        first = self.evaluation(Subject(REFERENCE, 0), self.settings.splits[0], 0, model=self._base)
        arm = self.runs.settings(BY_NAME[REFERENCE], self.settings.seeds[0])
        return room_beside(self.config, [*step_table.phases(arm), *first.phases], first.phases, placement.totals())

    def _evaluate(self, cases: Sequence[tuple[Subject, str]], seed: int, judge: Judge) -> list[Evaluated]:
        return [self.evaluate(subject, split, seed, judge=judge) for subject, split in cases]

    def evaluate(self, subject: Subject, split: str, seed: int, *, judge: Judge) -> Evaluated:
        """One evaluation, unless it is done."""
        out = self.folder(subject, split, seed)
        evaluation = self.evaluation(subject, split, seed)
        asked = self._asked(evaluation)
        note = locations.join(out, ASKED)
        if not (locations.exists(note) and lasting(json.loads(locations.read_text(note))) == lasting(asked)):
            say(f"evaluate {subject.key} on {split}, seed {seed}")
            folder, files = evaluation.paint(self._pictures(subject, split, seed))
            evaluation.measure(folder, files, out, judge)
            if self.config.held_out_judge:
                judge.release()  # what comes next may need its GPUs
            locations.write_text(note, json.dumps(asked))
        return Evaluated(
            name=subject.name,
            number=subject.number,
            variant=subject.variant,
            split=split,
            seed=seed,
            folder=locations.relative(out, self.out),
        )

    def folder(self, subject: Subject, split: str, seed: int) -> str:
        """The location of an evaluation."""
        return locations.join(self.out, "evaluations", f"{subject.key}-{split}-{seed}")

    def evaluation(self, subject: Subject, split: str, seed: int, *, model: str | None = None) -> Evaluation:
        """The evaluation of a subject on a split.

        Args:
            subject: that is evaluated.
            split: that is painted.
            seed: of the arm, or of the method's noise.
            model: location of what paints (none: the subject's own).
        """
        is_arm = subject.name in BY_NAME
        config = changed_config(self.config, {"seed": seed, **subject.changed})
        if is_arm:
            model = model or self.runs.model(subject.name, seed, subject.number)
            settings = self.runs.settings(BY_NAME[subject.name], seed, kept=[1] * self.rounds)
            config = config.model_copy(update={"diffusion": settings.diffusion})
            painting: PaintingMethod = Painting(config.diffusion)
        else:
            model = model or self.methods.model(subject.name, self.runs.model(REFERENCE, seed, self.rounds))
            painting = self.methods.painting(subject.name, config.diffusion, split)
        return Evaluation(config, self.data, split, model=model, painting=painting, metrics=self.metrics)

    @property
    def _base(self) -> str:
        return locations.absolute(self.config.diffusion.base)

    def _pictures(self, subject: Subject, split: str, seed: int) -> str:
        """The evaluation's folder whose pictures are measured: its own, or that of the same pictures."""
        if any(key.startswith("generate.") for key in subject.changed):
            return self.folder(subject, split, seed)
        return self.folder(Subject(subject.name, subject.number), split, seed)

    def _asked(self, evaluation: Evaluation) -> dict[str, object]:
        """Facts that an evaluation's figures depend on."""
        return {**evaluation.painted_by, **evaluation.measured_by, "metrics": list(self.metrics)}
