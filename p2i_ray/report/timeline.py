"""The report's section "Timeline": the time of each kind of work, and the utilisation of the machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from markupsafe import Markup

from p2i_ray.console.durations import duration
from p2i_ray.report.data import RunFolder
from p2i_ray.report.timeline_plots import COLOURS, CPU, GPU, NODES, Bar, node_names, timeline_plot
from p2i_ray.run import attempt_record as records
from p2i_ray.run import utilization as uses
from p2i_ray.run.attempt_record import AttemptRecord
from p2i_ray.run.spans import Span, length, union
from p2i_ray.run.step_table import STEPS, kind_of
from p2i_ray.run.utilization import UtilizationSample

ENGINES, AHEAD = "start of engines", "ahead of time"
SHORTEST_S = 0.05  # less is not worth a line
NOT_STEPS = {"start": ENGINES, "ahead": AHEAD}


class Work(NamedTuple):
    """A line of the table: a kind of work, and its time."""

    kind: str
    seconds: float
    share: float  # of the attempts' time, 0..1
    busy: float | None  # accelerators at work meanwhile, 0..1
    within: bool = False  # its time is, in part, counted in other lines, too


class Section(NamedTuple):
    """The template's values."""

    plot: Markup
    colours: dict[str, str]  # of the kinds that are there
    cut: bool  # some bars are hatched
    uses: dict[str, str]  # what a node's strip shows -> its colour
    accelerators: str  # "GPUs" or "CPUs"
    busy: float | None  # accelerators at work, as a fraction of the recorded time; 0..1
    works: list[Work]
    account: records.TimeAccount
    attempts: list[str]
    nodes: int  # that were seen
    left_out: int  # of them, not drawn


def of_run(run: RunFolder) -> Section | None:
    """The section of a run; none if no step says when it was."""
    attempts, moments = records.read(run.location), _moments(run.location)
    if not attempts:  # a program without attempts, as a notebook, made this run
        attempts = _from_manifests(run)
    bars = [bar for attempt in attempts for bar in bars_of(attempt)]
    if not bars:
        return None
    gpus = any(moment.use.gpus for moment in moments)
    plot = timeline_plot([(attempt.began, attempt.until) for attempt in attempts], sorted(bars, key=_place), moments)
    account, names = records.account(attempts), node_names(moments)
    return Section(
        plot=plot,
        colours={kind: colour for kind, colour in COLOURS.items() if any(bar.kind == kind for bar in bars)},
        cut=any(bar.cut for bar in bars),
        uses={"CPUs at work": CPU} | ({"GPUs at work": GPU} if gpus else {}) if moments else {},
        accelerators="GPUs" if gpus else "CPUs",
        busy=busy(moments, gpus),
        works=list(_works(bars, account, moments, gpus)),
        account=account,
        attempts=[
            attempt_line(attempt, place == len(attempts), run.summary["status"])
            for place, attempt in enumerate(attempts, 1)
        ],
        nodes=len(names),
        left_out=max(0, len(names) - NODES),
    )


def bars_of(attempt: AttemptRecord) -> Iterator[Bar]:
    """An attempt's spans, as they are drawn."""
    failed = attempt.outcome not in (None, "done")
    steps = [span for span in attempt.spans if span.kind == "step"]
    for span in attempt.spans:
        if span.kind == "wait":  # the account has it
            continue
        ended = attempt.until if span.ended is None else span.ended
        row = ENGINES if span.kind == "start" else span.name  # what is done ahead stands in its step's row
        kind = NOT_STEPS.get(span.kind) or kind_of(span.name)
        cut = span.ended is None or (failed and span is steps[-1])
        yield Bar(row=row, kind=kind, round=span.round, began=span.began, ended=max(span.began, ended), cut=cut)


def busy(moments: Sequence[UtilizationSample], gpus: bool) -> float | None:
    """The utilisation of all GPUs, or of all CPUs where there is no GPU, over the recorded time; 0..1."""
    worked = whole = 0.0
    for moment in moments:
        share, count = (moment.use.gpu, moment.use.gpus) if gpus else (moment.use.cpu, moment.use.cpus)
        if share is not None:
            worked += share * count * moment.seconds
            whole += count * moment.seconds
    return worked / whole if whole else None


def attempt_line(attempt: AttemptRecord, last: bool, status: str) -> str:
    """The time of an attempt, and its outcome.

    Args:
        attempt: the attempt.
        last: no other came after it.
        status: the run's.
    """
    unknown = ("done" if status == "done" else "running, or killed") if last else "killed"
    began = datetime.fromtimestamp(attempt.began, UTC)
    worked = duration(attempt.until - attempt.began)
    return f"{began:%Y-%m-%d %H:%M:%S} UTC, {worked} on {attempt.host}: {attempt.outcome or unknown}"


def _works(
    bars: Sequence[Bar], account: records.TimeAccount, moments: Sequence[UtilizationSample], gpus: bool
) -> Iterator[Work]:
    for kind in COLOURS:
        spans = list(union((bar.began, bar.ended) for bar in bars if bar.kind == kind))
        seconds = length(spans)
        if seconds >= SHORTEST_S:
            share = seconds / account.wall_s if account.wall_s else 0.0
            yield Work(
                kind=kind,
                seconds=seconds,
                share=share,
                busy=busy(_during(moments, spans), gpus),
                within=kind in NOT_STEPS.values(),
            )
    if account.ahead_s >= SHORTEST_S:
        yield Work("waiting for early work", account.ahead_s, account.ahead_s / account.wall_s, None)
    yield Work("driver overhead", account.driver_s, account.driver_share, None)


def _during(moments: Sequence[UtilizationSample], spans: Sequence[tuple[float, float]]) -> list[UtilizationSample]:
    """Those whose middle lies in a span."""
    middles = ((moment, moment.began + moment.seconds / 2) for moment in moments)
    return [moment for moment, middle in middles if any(begin <= middle <= end for begin, end in spans)]


def _moments(run_dir: str) -> list[UtilizationSample]:
    """Samples of the nodes during all attempts.

    A machine has another id in every cluster that it was in: ids of one host are one node unless they were seen at
    the same time.
    """
    files = (location.removesuffix(".json") + ".parquet" for location in records.files(run_dir))
    moments = [moment for file in files for moment in uses.read(file)]
    seen = Counter((moment.began, moment.host) for moment in moments)
    shared = {host for (_, host), nodes in seen.items() if nodes > 1}
    return [moment if moment.host in shared else moment._replace(node=moment.host) for moment in moments]


def _from_manifests(run: RunFolder) -> list[AttemptRecord]:
    spans = [
        Span(kind="step", round=r.number, name=name, began=m.began, ended=m.began + m.seconds)
        for r in run.rounds
        for name, m in r.steps.items()
        if m.began is not None
    ]
    if not spans:
        return []
    began, ended = min(span.began for span in spans), max(span.ended or 0 for span in spans)
    return [AttemptRecord(host="a host that isn't on record", pid=0, began=began, seen=ended, spans=spans)]


def _place(bar: Bar) -> tuple[int, float]:
    """Rows in the order of the loop, below them what isn't a step."""
    order = [ENGINES, *(step.name for step in STEPS)]
    return (order.index(bar.row) if bar.row in order else len(order), bar.began)
