"""Exceptions in one line."""

from __future__ import annotations

import pytest

from p2i_ray.errors import UserError, causes, one_line, reason, user_error_line

RAYS = 'ray::Map.submit() (pid=7)\n  File "/app/steps.py", line 3, in submit\n    work()\n{}\n'


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ZeroDivisionError("division by zero\nand more"), "ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (RuntimeError("\n  \n"), "RuntimeError"),
        (UserError("no rows are left; lower idr.gamma"), "no rows are left; lower idr.gamma"),
        (RuntimeError(RAYS.format("ValueError: too few")), "ValueError: too few"),
        (OSError(28, "No space left on device", "/data/x"), "OSError: [Errno 28] No space left on device: '/data/x'"),
    ],
)
def test_an_exception_is_one_line(error: BaseException, line: str) -> None:
    assert one_line(error) == line


def test_what_a_user_error_quotes_breaks_no_line() -> None:
    assert str(UserError("no column 'a\nb\r\n\x1b[31m\u2028c'; two  spaces — stay")) == (
        "no column 'a b [31m c'; two  spaces — stay"
    )


def test_the_reason_leaves_out_what_the_sentence_says() -> None:
    assert reason(FileNotFoundError(2, "No such file or directory", "/x")) == "No such file or directory"
    assert reason(OSError("timed out")) == "OSError: timed out"
    assert reason(PermissionError("Access Denied")) == "PermissionError: Access Denied"


def test_a_user_error_of_another_process_is_found_in_its_trace() -> None:
    assert user_error_line(UserError("a")) == "a"
    assert user_error_line(RuntimeError(RAYS.format("p2i_ray.errors.UserError: a picture is broken"))) == (
        "a picture is broken"
    )
    assert user_error_line(ValueError("a")) is None


def test_causes_are_found_in_every_attribute_that_holds_them() -> None:
    inner, worker = KeyError("inner"), OSError("of a worker")
    outer = RuntimeError("outer")
    outer.__cause__, outer.worker_failures = inner, {0: worker}  # type: ignore[attr-defined]
    inner.__context__ = outer  # refers back
    assert list(causes(outer)) == [outer, inner, worker]
