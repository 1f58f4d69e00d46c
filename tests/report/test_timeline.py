"""The report's section "Timeline", against attempts written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2i_ray.report import build as report
from p2i_ray.report import timeline as report_timeline
from p2i_ray.report.timeline_plots import COLOURS, SHORT, Clock, node_names, timeline_plot
from p2i_ray.run.attempt_record import AttemptRecord
from p2i_ray.run.spans import Kind, Span
from p2i_ray.run.utilization import Utilization, UtilizationSample, table
from p2i_ray.storage.parquet import write_table
from tests.support.page import Page
from tests.support.run_folder import build

T = 1_750_000_000.0  # 2025-06-15 15:06:40 UTC


def span(kind: Kind, round_number: int, name: str, times: tuple[float, float | None]) -> Span:
    began, ended = times
    return Span(kind=kind, round=round_number, name=name, began=T + began, ended=None if ended is None else T + ended)


KILLED = AttemptRecord(
    host="first-host",
    pid=1,
    began=T,
    seen=T + 100,
    spans=[
        span("start", 0, "Ray", (0, 10)),
        span("step", 0, "generate", (10, 30)),
        span("step", 0, "measure", (30, 40)),
        span("step", 1, "score", (40, 90)),
        span("start", 1, "judge", (40, 60)),
        span("step", 1, "train", (92, None)),
    ],
)
FINISHED = AttemptRecord(
    host="second-host",
    pid=2,
    began=T + 7300,
    seen=T + 7500,
    ended=T + 7500,
    outcome="done",
    spans=[
        span("step", 1, "train", (7302, 7450)),
        span("ahead", 2, "engines", (7310, 7320)),
        span("step", 1, "generate", (7450, 7498)),
    ],
)


def leave(run: Path, *attempts: AttemptRecord, use: Utilization | None = None) -> None:
    """Attempts in a run folder, every node as busy as `use` says for as long as each of them lasted."""
    folder = run / "attempts"
    folder.mkdir()
    for place, attempt in enumerate(attempts):
        (folder / f"{place}.json").write_text(attempt.model_dump_json())
        if use:  # a local cluster gives its node another id each time
            rows = [
                UtilizationSample(began=s, seconds=5, node=f"n{place}", host="head", use=use)
                for s in range(int(attempt.began), int(attempt.until), 5)
            ]
            write_table(table(rows), str(folder / f"{place}.parquet"))


@pytest.fixture(scope="module")
def run(mini_data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(build(tmp_path_factory.mktemp("runs") / "whole", Path(mini_data)))
    leave(
        run, KILLED, FINISHED, use=Utilization(cpu=0.5, gpu=None, cpus=2, gpus=0, reserved_cpu=1.0, reserved_gpu=None)
    )
    return run


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(Path(report.write(str(run))).read_text("utf-8"))


def section(page: Page) -> str:
    return page.words.split("Timeline ")[1].split("Can the judge be trusted?")[0].split("What the judge gave")[0]


def test_the_time_is_accounted_for(page: Page) -> None:
    words = section(page)
    # 300 s in both attempts; 90-92, 7300-7302 and 7498-7500 are the driver's.
    assert "The driver overhead was 6.0 s of 5 min, 2.0 %." in words
    assert "The CPUs of the node worked 50 % of the time" in words
    for line in (
        "judging 50 s 16.7 % 50 %",
        "training 2 min 36 s 52.0 % 50 %",
        "painting 1 min 8 s 22.7 % 50 %",
        "measuring 10 s 3.3 % 50 %",
        "start of engines in part within steps 30 s 10.0 % 50 %",
        "ahead of time in part within steps 10 s 3.3 % 50 %",
        "driver overhead 6.0 s 2.0 % –",
    ):
        assert line in words
    assert "hatched: cut off, or not done yet grey band: between two attempts" in words
    assert "2025-06-15 15:06:40 UTC, 1 min 40 s on first-host: killed" in words
    assert "2025-06-15 17:08:20 UTC, 3 min 20 s on second-host: done" in words


def test_the_plot_is_told_in_words(page: Page) -> None:
    (told,) = [svg["aria-label"] or "" for svg in page.all("svg") if "Timeline of" in (svg["aria-label"] or "")]
    assert "score 50 s" in told and "train 2 min 36 s" in told and "start of engines 30 s" in told
    assert "a pause of 2 h between two attempts" in told
    assert "head: CPUs at work 50 % of the time" in told


def test_gpus_count_where_there_are_any(mini_data: str, tmp_path: Path) -> None:
    run = Path(build(tmp_path / "run", Path(mini_data), stop_after=(1, "select")))
    leave(run, FINISHED, use=Utilization(cpu=0.1, gpu=0.75, cpus=64, gpus=8, reserved_cpu=0.1, reserved_gpu=1.0))
    words = section(Page(Path(report.write(str(run))).read_text("utf-8")))
    assert "The GPUs of the node worked 75 % of the time" in words and "GPUs at work" in words
    big, small = (
        Utilization(cpu=None, gpu=1.0, cpus=0, gpus=6, reserved_cpu=None, reserved_gpu=None),
        Utilization(cpu=None, gpu=0.5, cpus=0, gpus=2, reserved_cpu=None, reserved_gpu=None),
    )
    moments = [
        UtilizationSample(began=0, seconds=5, node="a", host="a", use=big),
        UtilizationSample(began=0, seconds=5, node="b", host="b", use=small),
    ]
    assert report_timeline.busy(moments, gpus=True) == pytest.approx((6 * 1.0 + 2 * 0.5) / 8)


def test_what_is_done_ahead_stands_in_its_steps_row_and_waiting_is_not_drawn() -> None:
    record = AttemptRecord(
        host="h",
        pid=1,
        began=T,
        seen=T + 9,
        spans=[
            span("start", 1, "judge", (0, 1)),
            span("ahead", 1, "measure", (1, 4)),
            span("wait", 1, "measure", (3, 4)),
            span("step", 1, "measure", (4, 5)),
        ],
    )
    drawn = [(bar.row, bar.kind) for bar in report_timeline.bars_of(record)]
    assert drawn == [("start of engines", "start of engines"), ("measure", "ahead of time"), ("measure", "measuring")]


def test_a_run_that_goes_on_or_failed_says_so(mini_data: str, tmp_path: Path) -> None:
    run = Path(build(tmp_path / "run", Path(mini_data), stop_after=(1, "select")))
    leave(run, KILLED)
    words = section(Page(Path(report.write(str(run))).read_text("utf-8")))
    assert "on first-host: running, or killed" in words and "CPUs at work of" not in words
    failed = KILLED.model_copy(update={"ended": T + 100, "outcome": "stopped: round 1/3 · train: <b>no rows</b>"})
    bars = list(report_timeline.bars_of(failed))
    assert [bar.row for bar in bars if bar.cut] == ["train"]
    (run / "attempts" / "0.json").write_text(failed.model_dump_json())
    assert "stopped: round 1/3 · train: <b>no rows</b>" in Page(Path(report.write(str(run))).read_text("utf-8")).words


def test_without_attempts_the_manifests_tell_and_older_folders_have_no_timeline(mini_data: str, tmp_path: Path) -> None:
    run = Path(build(tmp_path / "run", Path(mini_data), stop_after=(1, "select")))
    for path in run.glob("round-*/steps/*.json"):
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps({**manifest, "began": None}))
    assert "Timeline" not in Page(Path(report.write(str(run))).read_text("utf-8")).words
    for path in run.glob("round-*/steps/*.json"):
        manifest = json.loads(path.read_text())
        began = T + (100 if manifest["step"] == "score" else 0)
        path.write_text(json.dumps({**manifest, "began": began, "seconds": 40}))
    words = section(Page(Path(report.write(str(run))).read_text("utf-8")))
    assert "judging 40 s" in words or "judging 1 min 20 s" in words


def test_long_pauses_are_drawn_short_and_order_is_kept() -> None:
    clock = Clock([(0, 100), (10_000, 10_300), (10_301, 10_400)])
    worked = 100 + 300 + 99
    assert clock.shortened and clock.pauses == [(100, 10_000), (10_300, 10_301)]
    assert [clock.at(t) for t in (0, 50, 100)] == [0, 50, 100]
    assert clock.at(10_000) == pytest.approx(100 + SHORT * worked)
    assert clock.at(10_150) == pytest.approx(100 + SHORT * worked + 150)
    assert clock.length == pytest.approx(worked + SHORT * worked + 1)  # a pause of a second is as long as it was
    assert clock.at(5050) == pytest.approx((clock.at(100) + clock.at(10_000)) / 2)


def test_drivers_that_overlap_are_drawn_at_one_time() -> None:
    clock = Clock([(0, 100), (50, 120)])
    assert not clock.pauses and [clock.at(t) for t in (60, 100, 120)] == [60, 100, 120]


def test_nodes_of_one_host_are_told_apart_and_many_are_not_all_drawn() -> None:
    use = Utilization(cpu=0.5, gpu=None, cpus=2, gpus=0, reserved_cpu=None, reserved_gpu=None)
    moments = [
        UtilizationSample(began=s, seconds=5, node=f"n{n}", host="one" if n < 2 else f"host{n}", use=use)
        for s in (0, 5)
        for n in range(12)
    ]
    assert list(node_names(moments).values())[:3] == ["one n0", "one n1", "host2"]
    bars = list(report_timeline.bars_of(FINISHED))
    svg = timeline_plot([(T + 7300, T + 7500)], bars, moments)
    assert ">host7<" in svg and ">host8<" not in svg
    assert all(COLOURS[bar.kind] in svg for bar in bars)
