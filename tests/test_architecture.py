"""The package's structure, held by reading its imports: layers, no circles, and what needs no cluster."""

from __future__ import annotations

import ast
import functools
import tomllib
from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "p2i_ray"
FILES = sorted(PACKAGE.rglob("*.py"))
# From the bottom up; a layer imports those below it. What stands on one line does not know each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("config",),
    ("storage",),
    ("console",),
    ("cluster",),
    ("run",),
    ("data",),
    ("provenance",),
    ("encoders",),
    ("judge", "diffusion", "evaluate"),
    ("compositing",),
    ("generators",),
    ("steps",),
    ("planning", "report", "serve", "idr"),
    ("idr_run",),
    ("comparison",),
    ("mini",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
LOOSE = 5  # most modules in the package's root
POSITIONAL = 4  # most arguments that a call passes by position
CLUSTER_LIBRARIES = {"ray", "deepspeed", "vllm"}
# What is maths, a model or data alone also runs on a machine without Ray, DeepSpeed and vLLM.
WITHOUT_A_CLUSTER = [
    "cluster/resources.py",
    "cluster/bin_packing.py",
    "cluster/gpu_sharing.py",
    "console/logs.py",
    "run/manifests.py",
    "run/status.py",
    "run/spans.py",
    "run/throughput.py",
    "run/attempt_record.py",
    "run/utilization.py",
    "planning/schedule.py",
    "planning/activities.py",
    "planning/run_text.py",
    "planning/full_size.py",
    "planning/live_memory.py",
    "planning/training_memory.py",
    "planning/training_text.py",
    "encoders/clip.py",
    "diffusion/losses.py",
    "diffusion/step.py",
    "diffusion/model",
    "diffusion/features/encoders.py",
    "diffusion/features/schema.py",
    "diffusion/features/shards.py",
    "diffusion/features/index.py",
    "diffusion/training/tracker_queue.py",
    "diffusion/training/samples.py",
    "diffusion/training/trackers.py",
    "diffusion/training/tracking.py",
    "diffusion/sampling/denoise.py",
    "diffusion/sampling/sampler.py",
    "diffusion/sampling/text_states.py",
    "diffusion/sampling/determinism.py",
    "diffusion/sampling/request.py",
    "compositing",
    "generators",
    "serve/images",
    "serve/edge/limits.py",
    "serve/http_app.py",
    "serve/chat/schema.py",
    "serve/chat/structured_output.py",
    "serve/chat/images.py",
    "serve/chat/responses.py",
    "serve/chat/protocol.py",
    "serve/sampler/batching.py",
    "serve/sampler/reload.py",
    "judge/requests",
    "judge/calibration/gold.py",
    "judge/calibration/sanity.py",
    "judge/calibration/verdicts.py",
    "judge/cascade/head.py",
    "judge/cascade/learning.py",
    "judge/engines/openai/endpoint.py",
    "judge/engines/openai/rate_limit.py",
    "judge/engines/openai/budget.py",
]

MODEL_LIBRARIES = {"torch", "diffusers", "transformers", "deepspeed", "vllm"}
# Drivers and Ray Train's controller hold these objects; each would load a model's libraries for seconds, into 500 MB.
WITHOUT_A_MODEL = [
    "diffusion.training.launch",
    "diffusion.training.ingest",
    "diffusion.training.product2img",
    "diffusion.features.encode",
    "diffusion.sampling.generate",
    "generators.choice",
    "generators.objective",
    "generators.painting",
    "generators.folder_check",
    "judge.judge",
    "judge.batch.ask",
    "evaluate.measure",
    "evaluate.scorers",
    "generators.methods",
    "comparison.evaluation",
    "serve.sampler.deployment",
    "idr_run",
]

TENSOR_METHODS = (".view", ".reshape")  # which take a size a dimension
RELATIVE = {"How", "What", "When", "Where", "Which", "Who", "Why"}  # first words that no docstring has
WITHOUT_A_MODULE = {"deploy", "test_architecture.py", "test_docs.py"}  # files of cluster/; structure; README, docs/


def imported(path: Path) -> set[str]:
    """Full names of what a file imports, wherever in it."""
    return {name for node in ast.walk(ast.parse(path.read_text("utf-8"))) for name in names_of(node)}


def names_of(node: ast.AST) -> set[str]:
    """Full names of what a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        return {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def loaded(path: Path) -> set[str]:
    """Full names of what is imported when a file is: not within functions, nor for type checkers alone."""
    names: set[str] = set()
    waiting: list[ast.stmt] = list(ast.parse(path.read_text("utf-8")).body)
    while waiting:
        node = waiting.pop()
        names |= names_of(node)
        if isinstance(node, ast.ClassDef | ast.Try | ast.With):
            waiting += node.body
        elif isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING":
            waiting += node.body + node.orelse
    return names


def module(path: Path) -> str:
    """A file's module: p2i_ray.run.folder."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(path): path for path in FILES}


@functools.cache  # not as this file is collected, which each process of the tests does
def imports() -> dict[str, set[str]]:
    """The modules that each module imports."""
    return {name: {other for other in imported(path) if other in MODULES} - {name} for name, path in MODULES.items()}


def room(name: str) -> str:
    """A module's layer: its folder in the package's root, or itself where it lies loose there."""
    return name.split(".")[1] if "." in name else ""


def folder(name: str) -> str:
    """The folder that a module lies in; one that lies loose in the package's root stands for itself."""
    path = MODULES[name]
    return name if path.parent == PACKAGE else str(path.parent.relative_to(ROOT))


def circle(graph: Mapping[str, Collection[str]]) -> list[str]:
    """Nodes that lead back to the first, if there are any."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name: str) -> None:
    own = room(name)
    for other in {room(found) for found in imports()[name]} - {own, ""}:
        assert own in LAYER and other in LAYER, f"on which layer are {own} and {other}?"
        assert LAYER[other] < LAYER[own], f"{name} imports {other}, which is not below {own}"
        assert other != "mini", f"{name} imports the toy world"


def test_files_import_each_other_in_no_circle() -> None:
    # A package's own name, where a file imports one of its modules, is no file.
    assert not circle(
        {name: {o for o in found if MODULES[o].name != "__init__.py"} for name, found in imports().items()}
    )


def test_folders_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for name, found in imports().items():
        others = {o for o in found if MODULES[o].name != "__init__.py" or MODULES[o].stat().st_size}
        graph.setdefault(folder(name), set()).update({folder(o) for o in others} - {folder(name)})
    assert not circle(graph)


def test_few_modules_lie_loose() -> None:
    assert len([path for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]) <= LOOSE


@pytest.mark.parametrize("place", WITHOUT_A_CLUSTER)
def test_maths_and_models_need_no_cluster(place: str) -> None:
    found = PACKAGE / place
    paths = sorted(found.rglob("*.py")) if found.is_dir() else [found]
    for path in paths:
        assert not {name.split(".")[0] for name in imported(path)} & CLUSTER_LIBRARIES, path


@pytest.mark.parametrize("name", WITHOUT_A_MODEL)
def test_drivers_load_no_model_s_libraries(name: str) -> None:
    waiting, seen = [f"p2i_ray.{name}"], set()
    found: set[str] = set()
    while waiting:
        here = waiting.pop()
        if here in seen or here not in MODULES:
            continue
        seen.add(here)
        names = loaded(MODULES[here])
        found |= {f"{here} loads {library}" for one in names if (library := one.partition(".")[0]) in MODEL_LIBRARIES}
        waiting += names
    assert len(seen) > 5, "it reads nothing"
    assert not found


def test_what_is_not_python_is_installed_too() -> None:
    """Every file of the package is one that pyproject.toml's package-data names."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    named = {path for pattern in patterns["p2i_ray"] for path in PACKAGE.glob(pattern)}
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert not files - named and all(any(PACKAGE.glob(pattern)) for pattern in patterns["p2i_ray"])


def test_no_pickle_and_no_remote_code() -> None:
    for path in [*FILES, *(ROOT / "jobs").glob("*.py")]:
        if path == PACKAGE / "diffusion" / "model" / "unpickle.py":  # the converter: tensors alone, in its own process
            assert "weights_only=True" in path.read_text("utf-8") and "pickle.load" not in path.read_text("utf-8")
            continue
        modules = {name.split(".")[0] for name in imported(path)}
        assert not modules & {"pickle", "cloudpickle", "dill", "joblib"}, path
        assert "trust_remote_code=True" not in path.read_text("utf-8"), path


def test_one_place_opens_file_systems() -> None:
    """Each opened elsewhere could remember listings, which other processes make wrong."""
    openers = {"fsspec", "fsspec.core", "s3fs", "gcsfs", "pyarrow.fs"}
    found = {str(path.relative_to(PACKAGE)) for path in FILES if openers & imported(path)}
    # The second wraps those that the first has opened; the third is sent to nodes without p2i_ray.
    assert found == {"storage/locations.py", "storage/arrow_files.py", "cluster/node_facts.py"}


def test_a_docstring_s_first_line_says_what_a_thing_is_or_does() -> None:
    """An imperative or a noun phrase, no question and no relative clause, which have to be read twice."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for path in [*FILES, *(file for folder in ("jobs", "bench", "chaos") for file in (ROOT / folder).glob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            said = (ast.get_docstring(node) or "") if isinstance(node, documented) else ""
            assert said.split(" ")[0] not in RELATIVE, f"{path}: {said}"


def test_tests_mirror_the_package() -> None:
    """A test file has the name and folder of a module of the package, of jobs/, bench/ or chaos/."""
    homes = {"jobs": ROOT / "jobs", "bench": ROOT / "bench", "chaos": ROOT / "chaos"}
    lost = []
    for test in sorted((ROOT / "tests").rglob("test_*.py")):
        first, *rest = test.relative_to(ROOT / "tests").parts
        base, parts = (homes[first], rest) if first in homes else (PACKAGE, [first, *rest])
        name = parts[-1].removeprefix("test_")
        home = base.joinpath(*parts[:-1])
        stem = name.removesuffix(".py")
        own = [home / name, home / f"__{stem}__.py", home / f"{stem}.js"]
        whole_folder = home.name == stem  # a folder's behaviour as a whole: run/test_run.py
        if first not in WITHOUT_A_MODULE and not any(file.is_file() for file in own) and not whole_folder:
            lost.append(str(test.relative_to(ROOT)))
    assert not lost


def test_calls_of_our_own_pass_at_most_four_arguments_by_position() -> None:
    """Beyond four, a call says which argument is which. Functions that take any number (*args) may be given them."""
    places = [*FILES, *(path for folder in ("jobs", "bench", "chaos") for path in (ROOT / folder).rglob("*.py"))]
    trees = {path: ast.parse(path.read_text("utf-8")) for path in places}
    own = {
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        or (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.args.vararg)
    }
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and len([one for one in node.args if not isinstance(one, ast.Starred)]) > POSITIONAL
        and ast.unparse(node.func).removesuffix(".remote").removesuffix(".bind").rpartition(".")[2] in own
        and not ast.unparse(node.func).endswith(TENSOR_METHODS)
    ]
    assert not found
