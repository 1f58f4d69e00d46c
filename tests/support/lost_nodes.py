"""A judge on a cluster that loses both of its worker nodes, one after the other, while rows are scored.

A program, because a process has one cluster: `python lost_nodes.py OUT` prints the rows, the set-aside rows, whether
all ids came out, and the number of original nodes left.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from ray.cluster_utils import Cluster

from tests.support.stub_engine import StubEngine

NUMBER = 4000


def main(out: str) -> None:
    """Score the rows while nodes are lost."""
    import ray

    from p2i_ray.cluster import connection
    from p2i_ray.config import PRESETS, ImageConfig, JudgeConfig, RayConfig
    from p2i_ray.data.images import encode_png
    from p2i_ray.judge.judge import Judge
    from p2i_ray.storage import parquet

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 10**8})
    workers = [nodes.add_node(num_cpus=2, object_store_memory=10**8) for _ in range(2)]
    nodes.wait_for_nodes()
    connection.connect(RayConfig(address=nodes.address))
    picture = {"bytes": encode_png(np.full((8, 8, 3), 90, np.uint8)), "path": ""}
    done = [0]

    def lose(count: int) -> None:
        """Remove one node after a quarter of the rows and one after half of them, each after adding another."""
        done[0] += count
        if workers and done[0] * 4 > NUMBER * (3 - len(workers)):
            nodes.add_node(num_cpus=2, object_store_memory=10**8)
            nodes.remove_node(workers.pop(), allow_graceful=False)

    def rows(batch: dict[str, Any]) -> dict[str, Any]:
        ids = [f"{i:05}" for i in batch["id"]]
        return {"id": ids, "name": ["mug"] * len(ids), "image": [picture] * len(ids)}

    data = ray.data.range(NUMBER, override_num_blocks=16).map_batches(rows, num_cpus=0.1)
    settings = JudgeConfig(model=str(PRESETS.parent / "mini/weights/judge"), num_gpus=0, num_cpus=0.5, max_num_seqs=64)
    with Judge(settings, ImageConfig(), engine=StubEngine) as judge:
        written = judge.score(data, out, progress=lose)
    ids = parquet.read_parquet(out, written.files)["id"].to_pylist()
    print(written.rows, written.set_aside, ids == [f"{i:05}" for i in range(NUMBER)], len(workers))


if __name__ == "__main__":
    main(sys.argv[1])
