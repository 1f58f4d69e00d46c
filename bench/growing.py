"""A cluster that grows and shrinks on one machine: Ray's own stand-in for a cloud, with its second autoscaler.

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

from p2i_ray.cluster import ray_internals

STORE_BYTES = 200_000_000  # object store of a node, bytes
IDLE_MINUTES = 0.4
STOP_S = 20.0
HEAD = "ray.head.default"  # as the stand-in calls its head
RAY_START = [sys.executable, "-m", "ray.scripts.scripts", "start"]
EMPTY_LISTS = (  # that a cluster's configuration must have
    "setup_commands",
    "initialization_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
    "rsync_exclude",
    "rsync_filter",
)


@contextmanager
def cluster(folder: Path, head_cpus: int, worker: Mapping[str, float], max_workers: int) -> Iterator[str]:
    """Start a head without workers, yield its address, and stop all that was started.

    Args:
        folder: for the configuration and the log.
        head_cpus: logical CPUs of the head.
        worker: resources of a worker node.
        max_workers: number of workers that there may be.
    """
    import ray.util

    get_ip: Any = ray.util.get_node_ip_address  # has no types
    address = f"{get_ip()}:{_free_port()}"
    head_id = ray_internals.fake_head_id()
    config = folder / "cluster.yaml"
    settings = _config(address, head_id, head_cpus=head_cpus, worker=worker, max_workers=max_workers)
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    environment = {
        **os.environ,
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_CLOUD_INSTANCE_ID": head_id,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": head_id,
    }
    command = [*RAY_START, "--head", f"--port={address.rpartition(':')[2]}", f"--num-cpus={head_cpus}"]
    command += [f"--object-store-memory={STORE_BYTES}", "--include-dashboard=false"]
    command += [f"--autoscaling-config={config}", "--block"]
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


def _config(
    address: str, head_id: str, *, head_cpus: int, worker: Mapping[str, float], max_workers: int
) -> dict[str, Any]:
    provider = {
        "type": "external",
        "module": ray_internals.FAKE_PROVIDER,
        "launch_multiple": True,
        "disable_node_updaters": True,  # there is nothing to install over SSH
        "head_node_id": head_id,
        "gcs_address": address,
    }
    types = {
        HEAD: {"resources": {"CPU": head_cpus}, "node_config": {}, "min_workers": 0, "max_workers": 0},
        "gpu": {
            "resources": {**worker, "object_store_memory": STORE_BYTES},
            "node_config": {},
            "min_workers": 0,
            "max_workers": max_workers,
        },
    }
    return {
        "cluster_name": "growing",
        "max_workers": max_workers,
        "idle_timeout_minutes": IDLE_MINUTES,
        "upscaling_speed": 100.0,
        "provider": provider,
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in EMPTY_LISTS},
        "head_node_type": HEAD,
        "available_node_types": types,
    }


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
