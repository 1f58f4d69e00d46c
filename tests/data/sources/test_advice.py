"""Every reason for which a row can be set aside has advice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from p2i_ray.data import cleaning, sources, splits
from p2i_ray.data.sources import homes, repeats
from p2i_ray.data.sources.advice import ADVICE, advice
from p2i_ray.data.sources.tasks import KILLER

DATA = Path(sources.__file__).parents[1]
# These, and exports/, speak of EPBD's own rows; the rest is what ingest runs.
OTHERS = ("images.py", "statistics.py")
FILES = [path for path in DATA.rglob("*.py") if path.name not in OTHERS and path.parent.name != "exports"]
COMPOSED = {"text in the background", "people in the background"}  # by the rules for text and people
JUDGED = {"unattractive", "not judged"}  # by the rule that the judge decides
EMPTY = {f"empty {column}" for column in ("name", "category")}  # rows.py puts the column in


def reasons(path: Path) -> Iterator[str]:
    """The beginnings of the reasons that a module gives: of ImageErrors, and of what is set as or returned as one."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        value = given(node, returned=path.name in ("rows.py", "listing.py"))
        first = value.values[0] if isinstance(value, ast.JoinedStr) else value
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and ": " in first.value:
            yield first.value


def given(node: ast.AST, *, returned: bool) -> ast.expr | None:
    called = getattr(node.func, "id", "") or getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""
    if isinstance(node, ast.Call) and called in ("ImageError", "set_aside"):
        return node.args[-1] if node.args else None
    named = isinstance(node, ast.keyword) and node.arg == "reason"
    named |= isinstance(node, ast.Assign) and any("reason" in ast.unparse(target) for target in node.targets)
    return getattr(node, "value", None) if named or (returned and isinstance(node, ast.Return)) else None


def test_every_kind_of_reason_has_advice() -> None:
    found = {text for path in FILES for text in reasons(path)} | {
        *splits.REASONS,
        homes.ALIKE,
        homes.BETWEEN,
        repeats.FILE,
        repeats.ID,
    }
    kinds = {text.partition(": ")[0] for text in found}
    assert kinds >= {"unreadable", "poor cutout", "bad row", "duplicate id", "too plain", "near-duplicate"}
    assert kinds | COMPOSED | JUDGED | EMPTY | {KILLER} == ADVICE.keys()


def test_composed_reasons_are_those_of_the_rules() -> None:
    text = Path(cleaning.__file__).with_name("rules.py").read_text("utf-8")
    assert all(f'"{kind}"' in text for kind in COMPOSED)
    text = (DATA.parent / "judge" / "attractiveness.py").read_text("utf-8")
    assert all(f'f"{kind}: ' in text for kind in JUDGED)


def test_the_kind_decides() -> None:
    assert advice("bad mask: unreadable: the image is empty") == ADVICE["bad mask"]
    assert advice("file missing") == ADVICE["file missing"] and advice("something new: x") == ""
