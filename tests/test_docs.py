"""README.md and docs/ name only what there is: links, files, settings, make targets. The README stays one page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2i_ray.config import describe
from p2i_ray.config.base import Effect
from p2i_ray.config.loading import effects
from p2i_ray.config.planning import RunPlanConfig
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.config.study import StudyConfig
from p2i_ray.data.sources.tasks import IngestConfig
from tests.support.load_job import load_job

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "cluster" / "README.md", *(ROOT / "docs").glob("*.md")]
README_LINES = 160
MADE = ("docs/", "cluster/", "p2i_ray/", "jobs/", "bench/", "chaos/", "tests/", "tools/")  # folders in the checkout
PARTS = ("judge", "diffusion", "evaluate", "serve", "steps", "run", "config", "storage")  # named without p2i_ray/
FILES = (".json", ".html", ".py", ".yaml", ".csv")
CONTINUING = "## Continuing a run with other settings"

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def settings() -> dict[str, str]:
    """Every dotted setting of any job, and its default."""
    found = {key: default for key, default, _ in describe(ServeJobConfig)}
    for prefix, group in (("plan.", RunPlanConfig), ("ingest.", IngestConfig), ("study.", StudyConfig)):
        found |= {key: default for key, default, _ in describe(group, prefix)}
    return found | {"plan.gpu_memory_gib": "null"}


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named_settings(text: str) -> Iterator[str]:
    """Settings that are named in code quotes or given on a command line."""
    groups = {key.split(".")[0] for key in settings() if "." in key}
    for quoted in [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^ {4}(.+)$", text, re.M)]:
        for name in re.findall(r"(?<![\w/.-])([a-z_]+(?:\.[a-z_]+)+)(?![\w/.(-])", quoted):
            if name.split(".")[0] in groups and not name.endswith(FILES):
                yield name


def test_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= README_LINES


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        if not link.startswith("http"):
            place, _, anchor = link.partition("#")
            target = (page.parent / place) if place else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@pages
def test_files_that_are_named_are_there(page: Path) -> None:
    for name in re.findall(r"`([\w./-]+/[\w./-]*)`", page.read_text("utf-8")):
        if name.startswith(MADE):
            assert (ROOT / name).exists(), name
        elif name.split("/")[0] in PARTS and name.endswith((".py", "/")):
            assert (ROOT / "p2i_ray" / name).exists(), name


@pages
def test_settings_that_are_named_exist(page: Path) -> None:
    known = settings()
    for name in named_settings(page.read_text("utf-8")):
        assert name in known or any(key.startswith(f"{name}.") for key in known), name


@pages
def test_make_targets_and_jobs_that_are_named_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"(?:^ {4}|`)make ([a-z-]+)", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for job in re.findall(r"jobs/([a-z_]+)\.py", text):
        assert (ROOT / "jobs" / f"{job}.py").is_file(), job


def test_jobs_and_presets_are_all_listed() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    presets, keys = (text.split(f"\n## {title}\n")[1].split("\n## ")[0] for title in ("Presets", "Keys of each job"))
    first = [re.findall(r"`([a-z0-9_-]+)`", row) for row in re.findall(r"^\| (`.+?) \|", keys, re.M)]
    jobs = {path.stem for path in (ROOT / "jobs").glob("*.py")} - {"build_mini"}  # of `make zoo`
    assert sorted(name for names in first for name in names) == sorted(jobs)
    kept = {path.stem for path in (ROOT / "p2i_ray" / "presets").glob("*.yaml")}
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", presets, re.M)) == kept


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.py")), ids=lambda path: path.stem)
def test_a_job_shows_its_commands_as_they_are_typed(path: Path) -> None:
    """A backslash at a line's end that Python takes out joins two lines of `--help`."""
    shown = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    assert max(map(len, shown.splitlines())) <= 120


@pytest.mark.parametrize(
    ("effect", "heading"), [(Effect.RUNTIME, "\n`Runtime`:"), (Effect.ADJUSTABLE, "\n`Adjustable`;")]
)
def test_settings_that_a_continued_run_may_change_are_all_listed(effect: Effect, heading: str) -> None:
    """The tables of docs/configuration.md have each setting that is marked `Runtime` or `Adjustable`, and no other."""
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8").split(CONTINUING)[1]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", text.split(heading)[1].split("\n`")[0], re.M)
    listed = {
        name if group == "(top)" else f"{group.strip('`')}.{name}"
        for group, cell in rows
        if group.startswith(("`", "(top)"))
        for name in re.findall(r"`([a-z_0-9]+)`", cell)
    }
    marked = {key for key, found in effects(load_job("idr").IdrJob) if found is effect}
    reserved = {key for key in marked if key.endswith((".accelerator_type", ".memory_gib"))}  # their row is about all
    assert listed == marked - reserved
