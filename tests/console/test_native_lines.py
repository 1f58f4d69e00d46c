"""Lines on standard error: one kind is dropped, all others stay."""

from __future__ import annotations

import os

import pytest

from p2i_ray.console.native_lines import STDERR, without


def test_lines_with_the_text_are_dropped_and_others_stay(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(STDERR, b"before\n")
    with without(b"logging.cc:"):
        os.write(STDERR, b"[x I 1 2] logging.cc:303: Set ray log level\nan error of C++\n")
        os.write(STDERR, b"half a line")
    os.write(STDERR, b" and its end\n")
    assert capfd.readouterr().err == "before\nan error of C++\nhalf a line and its end\n"


def test_an_error_passes(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), without(b"x"):
        raise ZeroDivisionError
    os.write(STDERR, b"x is there again\n")
    assert capfd.readouterr().err == "x is there again\n"
