"""The house's plan, held by reading the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("lmm", "diffusion", "evaluate", "epbd", "mini")
# Lower floors know nothing of higher ones; rooms on one floor do not know each other.
FLOOR = {
    "errors": 0, "config": 1, "storage": 1, "resources": 2, "packing": 2, "cluster": 2, "growth": 2, "sink": 2,
    "keyed": 2, "timeline": 2, "manifests": 2, "runs": 3, "standing": 3, "selection": 3, "progress": 3, "capacity": 3,
    "nodes": 3, "preflight": 4, "cli": 3, "epbd": 3, "lmm": 4, "diffusion": 4, "evaluate": 4, "steps": 5, "report": 6,
    "idr": 6, "serve": 6, "mini": 7, "disk": 2,
    "sharing": 2, "logs": 0, "forecast": 5,
}  # fmt: skip
SAME_ROOM_ONLY = {"lmm", "diffusion", "evaluate", "mini"}
WITHOUT_A_CLUSTER = [
    "resources.py", "packing.py", "sharing.py", "logs.py", "manifests.py", "standing.py", "timeline/spans.py",
    "timeline/pace.py", "forecast/schedule.py", "forecast/activities.py", "forecast/text.py",
    "timeline/record.py", "timeline/use.py",
    "diffusion/losses.py", "diffusion/step.py", "diffusion/folder.py", "diffusion/tokens.py", "diffusion/pipeline.py",
    "diffusion/lora.py", "diffusion/trained.py", "diffusion/card.py", "diffusion/checks.py",
    "diffusion/plan/full_size.py", "diffusion/plan/live.py", "diffusion/plan/needs.py", "diffusion/plan/text.py",
    "diffusion/features/encoders.py", "diffusion/features/schema.py", "diffusion/features/shards.py",
    "diffusion/features/store.py", "diffusion/training/messenger.py", "diffusion/training/samples.py",
    "diffusion/training/tools.py", "diffusion/training/tracking.py",
    "serve/denoising.py", "serve/rounding.py", "serve/expansion.py", "serve/orders.py", "serve/http/app.py",
    "serve/http/edits.py", "serve/http/intake.py", "serve/http/studio.py", "serve/http/bounds.py", "serve/lmm/chats.py",
    "serve/lmm/forms.py", "serve/lmm/pictures.py", "serve/lmm/answers.py", "serve/lmm/upstream.py",
    "lmm/prompts.py", "lmm/replies.py", "lmm/calibration/gold.py", "lmm/calibration/sanity.py",
    "lmm/calibration/verdicts.py", "lmm/cascade/head.py", "lmm/cascade/learning.py", "lmm/hosted/endpoint.py",
    "lmm/hosted/pacing.py", "lmm/hosted/spending.py", "serve/batching.py", "serve/watching.py",
]  # fmt: skip
FILES = sorted((ROOT / "p2i_ray").rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "p2i_ray" and len(parts) > 1 else None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    own = path.relative_to(ROOT / "p2i_ray").with_suffix("").parts[0]
    if own == "__init__":
        return
    for module in imported(path):
        other = room(module)
        if other is None or other == own:
            continue
        assert other in FLOOR, f"{path.name} imports {module}: which floor is {other} on?"
        assert FLOOR[other] <= FLOOR[own], f"{path.name} ({own}) imports {module}, which is above it"
        assert not (other in SAME_ROOM_ONLY and own in SAME_ROOM_ONLY and own != "mini"), f"{own} must not know {other}"
        assert other != "mini", f"{path.name} imports the toy world"


@pytest.mark.parametrize("name", WITHOUT_A_CLUSTER)
def test_maths_and_models_need_no_cluster(name: str) -> None:
    assert not {m for m in imported(ROOT / "p2i_ray" / name) if m.split(".")[0] in {"ray", "deepspeed", "vllm"}}


def test_no_pickle_and_no_remote_code() -> None:
    for path in [*FILES, *(ROOT / "jobs").glob("*.py")]:
        modules = {m.split(".")[0] for m in imported(path)}
        assert not modules & {"pickle", "cloudpickle", "dill", "joblib"}, path
        assert "trust_remote_code=True" not in path.read_text("utf-8"), path
