"""A cluster that grows and shrinks, on one machine: Ray's own stand-in for a cloud, with its second autoscaler.

The nodes are Ray's node processes with the resources that their types name; they compute on this machine's cores.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

STORE = 200_000_000  # object store of a node, bytes
IDLE_MINUTES = 0.4
STOP_S = 20.0
HEAD = "ray.head.default"  # as the stand-in calls its head


@contextmanager
def cluster(folder: Path, head_cpus: int, worker: Mapping[str, float], most: int) -> Iterator[str]:
    """Start a head without workers; yields its address, and stops all that was started.

    Args:
        folder: for the configuration and the log.
        head_cpus: logical CPUs of the head.
        worker: resources of a worker node.
        most: workers that there may be.
    """
    from ray._private.services import get_node_ip_address
    from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID as HEAD_ID

    address = f"{get_node_ip_address()}:{_free_port()}"
    config = folder / "cluster.yaml"
    config.write_text(yaml.safe_dump(_config(address, HEAD_ID, head_cpus, worker, most)), encoding="utf-8")
    environment = {
        **os.environ, "RAY_FAKE_CLUSTER": "1", "RAY_enable_autoscaler_v2": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    }  # fmt: skip
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={address.rpartition(':')[2]}",
        f"--num-cpus={head_cpus}", f"--object-store-memory={STORE}", "--include-dashboard=false",
        f"--autoscaling-config={config}", "--block",
    ]  # fmt: skip
    with (folder / "head.log").open("wb") as log:
        head = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_until_up(address, head, folder)
        yield address
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):  # on a busy machine; the group is ended next
            head.wait(STOP_S)
        _kill(head.pid)
        head.wait()


def _config(address: str, head_id: str, head_cpus: int, worker: Mapping[str, float], most: int) -> dict[str, Any]:
    lists = (
        "setup_commands", "initialization_commands", "head_setup_commands", "worker_setup_commands",
        "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude", "rsync_filter",
    )  # fmt: skip
    provider = {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "launch_multiple": True,
        "disable_node_updaters": True,  # there is nothing to install over SSH
        "head_node_id": head_id,
        "gcs_address": address,
    }
    types = {
        HEAD: {"resources": {"CPU": head_cpus}, "node_config": {}, "min_workers": 0, "max_workers": 0},
        "gpu": {
            "resources": {**worker, "object_store_memory": STORE},
            "node_config": {},
            "min_workers": 0,
            "max_workers": most,
        },
    }
    return {
        "cluster_name": "growing", "max_workers": most, "idle_timeout_minutes": IDLE_MINUTES, "upscaling_speed": 100.0,
        "provider": provider, "auth": {}, "docker": {}, "file_mounts": {}, "file_mounts_sync_continuously": False,
        **{name: [] for name in lists}, "head_node_type": HEAD, "available_node_types": types,
    }  # fmt: skip


def _wait_until_up(address: str, head: subprocess.Popen[bytes], folder: Path) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and head.poll() is None:
        with socket.socket() as tried:
            tried.settimeout(1)
            if tried.connect_ex((host, int(port))) == 0 and "--block" in (folder / "head.log").read_text("utf-8"):
                return
        time.sleep(0.2)
    raise RuntimeError(f"the head doesn't start; see {folder}/head.log")


def _free_port() -> int:
    """A port below those of Ray's workers."""
    for port in range(6390, 6500):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port
    raise RuntimeError("no port between 6390 and 6500 is free")


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
