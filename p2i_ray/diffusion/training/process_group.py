"""Join the training processes into one process group, whose store listens on the first one's own address alone.

Ray's own backend lets torch open the store, which then listens on all interfaces whatever address it is given, and
asks for nothing. On one machine, where Ray has the address 127.0.0.1, no other machine reaches it here.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ray.train.backend import Backend, BackendConfig
from ray.train.torch import TorchConfig

from p2i_ray.cluster.ray_internals import LOOPBACK

LEAVE_S = 30  # most seconds for the processes to leave their group at the end
_stores: list[Any] = []  # the TCPStore of this process; a group doesn't keep the server alive by itself


@dataclass
class ProcessGroupConfig(TorchConfig):
    """Ray's configuration of a training by torch, with the process group of this module."""

    @property
    def backend_cls(self) -> type[Backend]:
        """The class that joins the processes."""
        return ProcessGroupBackend


class ProcessGroupBackend(Backend):
    """Starts and ends the process group of a training's workers."""

    share_cuda_visible_devices = True  # as with Ray's own: NCCL's processes see each other's GPUs

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Open the store on the first worker, and join all of them; returns when every one has."""
        import ray

        assert isinstance(backend_config, ProcessGroupConfig)
        count, timeout_s = len(worker_group), backend_config.timeout_s
        host, port = worker_group.execute_single(0, open_store, count, timeout_s)
        joined = [
            worker_group.execute_single_async(
                rank, join, backend_config.backend, host=host, port=port, timeout_s=timeout_s
            )
            for rank in range(count)
        ]
        ray.get(joined)

    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Let all of them leave the group; workers that are gone have left it."""
        import ray

        ray.wait(worker_group.execute_async(leave), num_returns=len(worker_group), timeout=LEAVE_S)


def open_store(world_size: int, timeout_s: int) -> tuple[str, int]:
    """Open the store of a group in this process; its address, that of this node, and its port."""
    import ray

    host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    listening = listen(host)
    port = int(listening.getsockname()[1])
    # The store owns the socket from now on.
    _set_store(host, port, world_size, timeout_s, is_master=True, master_listen_fd=listening.detach())
    return host, port


def listen(host: str) -> socket.socket:
    """A listening socket on a free port of this node's address alone.

    On all addresses if that one is translated on its way here, so that no interface of this machine has it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, 0), family=family)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        return socket.create_server(("", 0), family=family)


def join(backend: str, *, host: str, port: int, timeout_s: int) -> None:
    """Join the group whose store listens at host and port, as the worker of Ray Train that this process is."""
    import torch.distributed as dist
    from ray import train

    context = train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    os.environ.update(
        MASTER_ADDR=host,
        MASTER_PORT=str(port),
        RANK=str(rank),
        WORLD_SIZE=str(world_size),
        LOCAL_RANK=str(context.get_local_rank()),
        LOCAL_WORLD_SIZE=str(context.get_local_world_size()),
        NODE_RANK=str(context.get_node_rank()),
    )
    if host == LOOPBACK:
        # Gloo would listen on the address that the machine's name has, which other machines may reach.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback_interface())
    if rank:
        _set_store(host, port, world_size, timeout_s, is_master=False)
    timeout = timedelta(seconds=timeout_s)
    dist.init_process_group(backend, store=_stores[0], rank=rank, world_size=world_size, timeout=timeout)


def leave() -> None:
    """Leave the group, and close the store."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
    _stores.clear()


def loopback_interface() -> str:
    """Name of the interface whose address is 127.0.0.1: lo on Linux, lo0 on macOS."""
    import psutil

    addresses: dict[str, list[Any]] = psutil.net_if_addrs()
    return next(name for name, found in addresses.items() if any(one.address == LOOPBACK for one in found))


def _set_store(host: str, port: int, world_size: int, timeout_s: int, **role: Any) -> None:
    """Make this process's store, the server or a client of it; nobody waits for the others here."""
    import torch.distributed as dist

    make: Any = dist.TCPStore  # type: ignore[attr-defined]
    _stores[:] = [make(host, port, world_size, timeout=timedelta(seconds=timeout_s), wait_for_workers=False, **role)]
