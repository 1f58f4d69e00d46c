"""Training on a cluster of a head and two nodes, one of which is lost after a checkpoint.

Run as a program, because a process has one cluster: `python lost_node.py OUT INDEX SHARDS BASE CLIP WHAT`, where WHAT
is calm (no node is lost), replaced (another comes for it) or fewer (none does). OUT is then the model folder.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from p2i_ray.cluster import connection
from p2i_ray.config import DiffusionConfig, RayConfig, TrainConfig
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.diffusion.training import launch as training

STEPS = 60


def main(*arguments: str) -> None:
    out, index, shards, base, clip, what = arguments
    small = {"num_cpus": 1, "object_store_memory": 10**8}
    nodes = Cluster(initialize_head=True, head_node_args={**small, "num_cpus": 0})
    workers = [nodes.add_node(**small) for _ in range(2)]
    nodes.wait_for_nodes()
    connection.connect(RayConfig(address=nodes.address))
    files = sorted(path.name for path in Path(index).glob("*.parquet"))
    settings = TrainConfig(
        batch_size=8,
        num_workers=2,
        min_workers=1 if what == "fewer" else None,
        num_gpus=0,
        num_cpus=1,
        zero_stage=1,
        mixed_precision="no",
        lr_unet=1e-3,
        lr_text=1e-3,
        checkpointing_steps=10,
        max_failures=2,
    )
    diffusion = DiffusionConfig(base=base, clip=clip)

    def lose_one() -> None:
        work = Path(f"{out}-work")
        while not list(work.glob("train/checkpoint_manager_snapshot.json")):
            threading.Event().wait(0.05)
        if what == "replaced":
            nodes.add_node(**small)
        nodes.remove_node(workers[0], allow_graceful=False)

    if what != "calm":
        threading.Thread(target=lose_one, daemon=True).start()
    training.train(
        FeatureIndex(index, files, shards),
        keep=None,
        base=base,
        diffusion=diffusion,
        settings=settings,
        steps=STEPS,
        seed=0,
        out=out,
        work=f"{out}-work",
        tracking=f"{out}-tracking",
    )
    ray.shutdown()  # before the head goes, which takes its drivers along
    nodes.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
