"""A cluster whose second node is another machine, as far as files go: its run folder and its p2i_ray are others.

Run as a program, because a process has one cluster: `python node_faults.py FOLDER` prints what the checks say.
FOLDER has `run`, `shared` and `other`, a copy of p2i_ray/config that isn't the same.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def join_with_files_of_its_own(address: str, folder: Path) -> subprocess.Popen[bytes]:
    """A node in a mount namespace: an empty disk lies over FOLDER/run, and FOLDER/other over p2i_ray/config."""
    config = ROOT / "p2i_ray" / "config"
    script = (
        f"mount -t tmpfs tmpfs {folder}/run && mount --bind {folder}/other {config} && "
        f"exec {sys.executable} -m ray.scripts.scripts start --address={address} --num-cpus=1 "
        "--object-store-memory=100000000 --block"
    )
    return subprocess.Popen(["unshare", "-m", "sh", "-c", script], start_new_session=True, stdout=subprocess.DEVNULL)


class Holder:
    """Somebody else's."""

    def held(self) -> bool:
        return True


def main(folder: Path) -> None:
    import ray
    from ray.cluster_utils import Cluster

    from p2i_ray.cluster import connection, node_checks, placement, preflight, resources
    from p2i_ray.config import Config, RayConfig, load
    from p2i_ray.errors import UserError
    from p2i_ray.run import step_table

    head = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "object_store_memory": 10**8})
    head.add_node(num_cpus=1, object_store_memory=10**8)
    connection.connect(RayConfig(address=head.address, wait_for_nodes_s=3))
    preflight.check([], [str(folder / "run")], [str(folder / "shared")])
    node = join_with_files_of_its_own(head.address, folder)
    try:
        deadline = time.monotonic() + 300
        while len([one for one in ray.nodes() if one["Alive"]]) < 3:
            assert time.monotonic() < deadline and node.poll() is None
            time.sleep(0.2)
        phases = step_table.phases(load(Config, "mini"))
        for writes, reads in [
            (["memory://nobody-else-sees-this"], []),
            ([str(folder / "run")], []),
            ([], [str(folder / "run")]),
            ([str(folder / "shared")], [str(folder / "shared")]),
        ]:
            start = time.monotonic()
            try:
                preflight.check(phases, writes, reads)
                said = "nothing"
            except UserError as error:
                said = str(error)
            print(f"{time.monotonic() - start:.1f} {said}", flush=True)
        holder = ray.remote(num_cpus=3)(Holder).remote()
        ray.get(holder.held.remote())
        need = resources.StepResources(
            step="train", count=1, bundle=resources.ResourceSpec(cpus=3), around=(), lower=("train.num_workers",)
        )
        for room in (
            lambda: placement.check(step_table.phases(load(Config, "mini", ["generate.num_workers=99"]))),
            lambda: placement.wait_for(need),
        ):
            try:
                room()
            except UserError as error:
                print(f"0 {error}", flush=True)
        os.killpg(node.pid, signal.SIGSTOP)
        node_checks.compare(node_checks.unchecked(), node_checks.NodeQuestions(), answer_s=2)
        os.killpg(node.pid, signal.SIGCONT)
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.wait()
        ray.shutdown()
        head.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
