"""A node answers for itself, also one whose p2i_ray is another version or is absent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

from p2i_ray.cluster import node_facts

ROOT = Path(__file__).parents[2]
# As the worker of a node that doesn't find this checkout.
NODE = """
import json, pickle, sys
facts = pickle.load(sys.stdin.buffer)
print(json.dumps(facts(("numpy", "no-such-library"), *json.loads(sys.argv[1]))))
"""


def answer_of_a_node(python_path: Path, *files: list[Any]) -> dict[str, Any]:
    """The facts of a process with nothing but `python_path` before the installed libraries."""
    cloudpickle.register_pickle_by_value(node_facts)
    code = f"import sys; sys.modules.update(p2i_ray=None)\n{NODE}" if not (python_path / "p2i_ray").exists() else NODE
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(files or [[], []])],
        input=cloudpickle.dumps(node_facts.facts),
        env={"PYTHONPATH": str(python_path)},
        cwd=python_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_node_without_the_package_answers(tmp_path: Path) -> None:
    found = answer_of_a_node(tmp_path)
    assert (found["code"], found["digest"], list(found["versions"])) == ("", "", ["numpy"])
    assert found["host"] and found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_node_with_another_version_answers_with_its_own_digest(tmp_path: Path) -> None:
    (tmp_path / "p2i_ray").mkdir()
    (tmp_path / "p2i_ray" / "__init__.py").write_text("raise ImportError('from another time')")
    found = answer_of_a_node(tmp_path)
    assert found["code"] == str(tmp_path / "p2i_ray")
    assert found["digest"] != node_facts.package_digest()[1]


def test_a_node_looks_for_the_files_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "probe").write_text("secret")
    here, absent = str(tmp_path / "probe"), str(tmp_path / "nosuch")
    probes = [["run", here, "secret"], ["other", here, "else"], ["gone", absent, ""]]
    found = answer_of_a_node(tmp_path, probes, [[here, 6], [here + "", 6], [absent, 1]])
    assert found["unreadable"] == {
        "other": "it is another folder there",
        "gone": "No such file or directory",
        absent: "No such file or directory",
    }
    assert found["unwritable"] == {} and [path.name for path in tmp_path.iterdir()] == ["probe"]


@pytest.mark.parametrize("name", ["a", "mug::1"])
def test_a_file_of_another_size_is_another_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("abc")
    location = str(tmp_path / name)
    assert node_facts.unreadable_witnesses([(location, 3)]) == {}
    assert node_facts.unreadable_witnesses([(location, 4)]) == {location: "it is another file there"}


def test_the_digest_is_of_code_and_presets() -> None:
    folder, digest = node_facts.package_digest()
    assert folder == str(ROOT / "p2i_ray") and len(digest) == 64


@pytest.mark.parametrize(
    ("error", "says"), [(FileNotFoundError(2, "No such file"), "No such file"), (KeyError("x"), "KeyError")]
)
def test_reasons_are_short(error: Exception, says: str) -> None:
    assert node_facts.short_reason(error) == says
