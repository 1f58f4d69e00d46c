"""What an operator reads on the terminal: lines while an application starts, and its requests."""

from __future__ import annotations

import logging
import threading

import pytest

from p2i_ray.serve import console
from p2i_ray.serve.edge.metrics import LOGGER, HTTPMetrics, RecentLines, log_to


def test_a_line_says_what_runs_and_what_is_missing() -> None:
    replicas = {"Front": {"RUNNING": 1}, "Sampler": {"STARTING": 1, "RUNNING": 1}, "Judge": {}}
    assert console.line(replicas, 12.4) == "starting for 12 s: Front 1 of 1, Sampler 1 of 2, Judge 0 of 1"
    assert console.line({}, 5) == "starting for 5 s: the application is being made"


def test_recent_lines_are_handed_out_once_and_old_ones_go() -> None:
    lines, metrics = RecentLines(capacity=3), HTTPMetrics()
    handler = log_to()  # the level of the service's log
    logging.getLogger(LOGGER).addHandler(lines)
    try:
        assert lines.after(0) == (0, [])
        metrics.log("one")
        metrics.log("two")
        seen, found = lines.after(0)
        assert seen == 2 and ['"event": "one"' in found[0], '"event": "two"' in found[1]] == [True, True]
        assert lines.after(2) == (2, [])
        for _ in range(4):
            metrics.log("more")
        seen, found = lines.after(2)
        assert seen == 6 and len(found) == 3  # the first of the four is no longer kept
        assert lines.after(5)[1] == found[2:]
    finally:
        logging.getLogger(LOGGER).removeHandler(lines)
        logging.getLogger(LOGGER).removeHandler(handler)


class Front:
    """A handle of a front that has written two lines, and is busy at first."""

    def __init__(self) -> None:
        self.request_log, self.asked, self.enough = self, list[int](), threading.Event()

    def remote(self, seen: int) -> Front:
        self.asked.append(seen)
        return self

    def result(self, timeout_s: float) -> tuple[int, list[str]]:
        if len(self.asked) == 1:
            raise TimeoutError
        if len(self.asked) > 3:
            self.enough.set()
        return 2, ['{"event": "one"}', '{"event": "two"}'][self.asked[-1] :]


def test_requests_are_printed_once_each(capsys: pytest.CaptureFixture[str]) -> None:
    front = Front()
    with console.requests(front, every_s=0.001):  # type: ignore[arg-type]
        assert front.enough.wait(30)
    assert capsys.readouterr().out == '{"event": "one"}\n{"event": "two"}\n'
    assert front.asked[:4] == [0, 0, 2, 2]
