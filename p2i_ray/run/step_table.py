"""The table of a round's steps: what each is called, reads, writes and takes, and what may be done of it early.

The loop, the report, the forecast, the preflight checks and the fault tests all read this one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from p2i_ray.cluster import resources
from p2i_ray.cluster.resources import Phase, StepResources
from p2i_ray.config import Config

Key = tuple[int, str]  # a round and a step's name


class Kind(Enum):
    """The kind of work a step is, as the report colours it."""

    JUDGING = "judging"
    TRAINING = "training"
    PAINTING = "painting"
    MEASURING = "measuring"


class In(Enum):
    """The round whose step is read."""

    SAME = "same"
    BEFORE = "before"  # the round before; in the first round there is none
    FIRST = "first"


@dataclass(frozen=True)
class Input:
    """Another step whose output is read."""

    step: str
    round: In = In.SAME


@dataclass(frozen=True)
class Early:
    """The part of a step that may be done before its turn, where the cluster has room for it beside another step.

    Attributes:
        follows: the step whose files are worked on while they appear; none: the whole step may run beside what comes
            after it, because no step reads its output.
    """

    follows: str | None = None


@dataclass(frozen=True)
class Step:
    """One step of a round.

    Attributes:
        name: as in manifests, run.json and messages.
        output: the file or folder that it writes, below the round's folder.
        kind: of its work.
        takes: what it reserves, from the settings; none: it is the driver's own work on small files.
        wanted: whether a run with these settings has it in this round; 0 is before training.
        inputs: steps whose output it reads, besides the data.
        early: what may be done of it before its turn.
        by_row: its output folder has each row that it was given once, done or with an error.
        settings: settings and groups that its result depends on. Of all steps' entries the longest that fits a setting
            counts: `judge.cascade` is not one of those that have `judge`.
        uses: inputs from outside the run folder, by the names that steps/inputs.py gives them.
        unfinished: the folder, below the round's, from which it goes on when it was interrupted.
    """

    name: str
    output: str
    kind: Kind
    takes: Callable[[Config], StepResources] | None
    wanted: Callable[[Config, int], bool]
    inputs: tuple[Input, ...] = ()
    early: Early | None = None
    by_row: bool = field(default=False, kw_only=True)
    settings: tuple[str, ...] = field(default=(), kw_only=True)
    uses: tuple[str, ...] = field(default=(), kw_only=True)
    unfinished: str | None = field(default=None, kw_only=True)

    def key(self, number: int) -> Key:
        """The step of a round."""
        return number, self.name

    def needs(self, number: int) -> list[Key]:
        """The steps whose output it reads in a round; some of them may not be in the run."""
        rounds = {In.SAME: number, In.BEFORE: number - 1, In.FIRST: 1}
        return [(rounds[one.round], one.step) for one in self.inputs]


SCORING = ("judge.model", "judge.prompts/score", "judge.exemplars")  # inputs of whatever scores
ASKING = ("seed", "image", "judge")  # settings of whatever asks the judge
KEEPING = ("idr.gamma", "idr.threshold_on")
RANKING = ("idr.keep_fraction", "idr.keep_rows")


def _judge(config: Config) -> StepResources:
    return resources.judge(config.judge)


def _selected(config: Config, number: int) -> bool:
    return number > 0 and config.idr.select


def _judged(config: Config, number: int) -> bool:
    return number > 0 and config.idr.judged


def _trained(config: Config, number: int) -> bool:
    return number > 0


def _painted(config: Config, number: int) -> bool:
    return config.idr.validates(number) if number > 0 else config.idr.baseline


def _criticised(config: Config, number: int) -> bool:
    return _judged(config, number) and config.idr.validates(number)


def _audited(config: Config, number: int) -> bool:
    return bool(config.evaluate.judge.model) and config.idr.judged and _painted(config, number)


def _held_out_judge(config: Config) -> StepResources:
    return resources.judge(config.held_out_judge or config.judge)


CALIBRATE = Step(
    name="calibrate",
    output="calibration",
    kind=Kind.JUDGING,
    takes=_judge,
    wanted=lambda c, number: number == 1 and c.idr.judged and bool(c.calibration.rows or c.calibration.gold),
    settings=(*ASKING, *KEEPING, "calibration"),
    uses=("data/train", *SCORING, "judge.prompts/critique", "calibration.gold"),
)
SCORE = Step(
    name="score",
    output="scores",
    kind=Kind.JUDGING,
    takes=_judge,
    wanted=_selected,
    inputs=(Input("select", In.BEFORE), Input("feedback", In.BEFORE), Input("exemplars", In.BEFORE)),
    by_row=True,
    # with feedback, the prompt names gamma
    settings=(*ASKING, *KEEPING, "judge.cascade", "idr.select", "idr.given_scores"),
    uses=("data/train", *SCORING, "judge.cascade.clip", "idr.given_scores"),
)
SELECT = Step(
    name="select",
    output="kept.parquet",
    kind=Kind.JUDGING,
    takes=None,
    wanted=_selected,
    inputs=(Input("score"),),
    settings=(*KEEPING, *RANKING, "idr.select"),
)
INSPECT = Step(
    name="inspect",
    output="inspection",
    kind=Kind.JUDGING,
    takes=_judge,
    wanted=lambda config, number: _judged(config, number) and bool(config.idr.inspect),
    inputs=(Input("score"), Input("select")),
    settings=(*ASKING, *KEEPING, *RANKING, "idr.inspect"),
    uses=("data/train", *SCORING, "judge.prompts/critique"),
)
EXEMPLARS = Step(
    name="exemplars",
    output="exemplars",
    kind=Kind.JUDGING,
    takes=None,
    wanted=lambda config, number: _judged(config, number) and bool(config.idr.exemplars),
    inputs=(Input("score"),),
    settings=("idr.exemplars",),
    uses=("data/train",),
)
ENCODE = Step(
    name="encode",
    output="features",
    kind=Kind.TRAINING,
    takes=lambda config: resources.features(config.features),
    wanted=lambda config, number: number == 1,
    inputs=(Input("select"),),
    early=Early(follows="score"),
    by_row=True,
    settings=("image", "diffusion", "features", "idr.select"),
    uses=("data/train", "diffusion.base", "diffusion.clip"),
)
TRAIN = Step(
    name="train",
    output="checkpoint",
    kind=Kind.TRAINING,
    takes=lambda config: resources.train(config.train),
    wanted=_trained,
    inputs=(Input("encode", In.FIRST), Input("select"), Input("train", In.BEFORE)),
    settings=("seed", "diffusion", "train", "idr.steps", "idr.select"),
    uses=("diffusion.base", "diffusion.clip"),
    unfinished="train",
)
GENERATE = Step(
    name="generate",
    output="generated",
    kind=Kind.PAINTING,
    takes=lambda config: resources.generate(config.generate),
    wanted=_painted,
    inputs=(Input("train"),),
    by_row=True,
    settings=("seed", "image", "diffusion", "generate", "idr.dev_split", "idr.baseline", "idr.validate_rounds"),
    uses=("data/dev", "diffusion.base"),
)
MEASURE = Step(
    name="measure",
    output="metrics.json",
    kind=Kind.MEASURING,
    takes=lambda config: resources.evaluate(config.evaluate),
    wanted=_painted,
    inputs=(Input("generate"),),
    early=Early(),
    settings=("image", "evaluate", "idr.dev_split", "idr.baseline", "idr.validate_rounds"),
    uses=("data/dev", "evaluate.clip", "evaluate.fid_features"),
)
CRITIQUE = Step(
    name="critique",
    output="critiques",
    kind=Kind.JUDGING,
    takes=_judge,
    wanted=_criticised,
    inputs=(Input("generate"),),
    early=Early(follows="generate"),
    by_row=True,
    settings=ASKING,
    uses=("judge.model", "judge.prompts/critique"),
)
FEEDBACK = Step(
    name="feedback",
    output="feedback.txt",
    kind=Kind.JUDGING,
    takes=_judge,
    wanted=lambda config, number: _criticised(config, number) and config.idr.feedback,
    inputs=(Input("critique"),),
    settings=(*ASKING, "judge.summary_examples", "judge.max_summary_tokens", "idr.feedback", "idr.given_feedback"),
    uses=("judge.model", "judge.prompts/summary"),
)

AUDIT = Step(
    name="audit",
    output="audit",
    kind=Kind.JUDGING,
    takes=_held_out_judge,
    wanted=_audited,
    inputs=(Input("generate"), Input("critique")),
    settings=(*ASKING, "evaluate.judge"),
    uses=(
        "judge.model",
        "judge.prompts/score",
        "judge.prompts/critique",
        "evaluate.judge.model",
        "evaluate.judge.prompts/score",
        "evaluate.judge.prompts/critique",
    ),
)

# In the order of a round.
STEPS = (CALIBRATE, SCORE, SELECT, INSPECT, EXEMPLARS, ENCODE, TRAIN, GENERATE, MEASURE, CRITIQUE, FEEDBACK, AUDIT)
BY_NAME = {step.name: step for step in STEPS}


def order_of(name: str) -> int:
    """A step's place in a round; names that older or newer versions used come last."""
    return STEPS.index(BY_NAME[name]) if name in BY_NAME else len(STEPS)


def kind_of(name: str) -> str:
    """The kind of work of a step by its name; of a name that isn't in the table it is the judge's."""
    return (BY_NAME[name].kind if name in BY_NAME else Kind.JUDGING).value


def depending_on(setting: str) -> list[Step]:
    """The steps whose result depends on a setting, in the order of a round; all where no entry of the table fits."""
    entries = {entry for step in STEPS for entry in step.settings}
    fitting = [entry for entry in entries if setting == entry or setting.startswith(f"{entry}.")]
    longest = max(fitting, key=len, default=None)
    return [step for step in STEPS if longest is None or longest in step.settings]


def of_run(config: Config) -> Iterator[tuple[int, Step]]:
    """The steps of a run with their rounds, in the order in which the loop does them one after the other."""
    for number in range(config.idr.rounds + 1):
        yield from ((number, step) for step in STEPS if step.wanted(config, number))


def phases(config: Config) -> list[Phase]:
    """The resources that a run holds at a time: each step's turn, beside it the judge where its engines stay up."""
    judge = config.judge
    done = {step for _, step in of_run(config)}
    taken = [step.takes(config) for step in STEPS if step in done and step.kind is not Kind.JUDGING and step.takes]
    if not config.idr.judged:
        return [(one,) for one in taken]
    stays = (resources.judge(judge),) if judge.keep_warm or judge.hosted.url else ()
    audit: list[Phase] = [(_held_out_judge(config), *stays)] if AUDIT in done else []
    return [resources.scoring(judge), *((one, *stays) for one in taken), *audit]
