"""How pytest-xdist hands out files: those that share the judge to one process, whose engine takes half a minute."""

from __future__ import annotations

import re
from pathlib import Path

from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parents[2]
TAKES_THE_JUDGE = re.compile(r"\bjudge: Judge\b")  # as a fixture; this process only hands out, it collects nothing


class JudgeTogether(LoadFileScheduling):
    """A file's tests run in one process, and all of those of the judge's files in the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "judge" if takes_the_judge(ROOT / file) else file


def takes_the_judge(file: Path) -> bool:
    """Whether a test file has tests or fixtures that take the judge of conftest.py."""
    return TAKES_THE_JUDGE.search(file.read_text("utf-8")) is not None
