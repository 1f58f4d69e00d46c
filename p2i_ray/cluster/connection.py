"""Join a Ray cluster, or start one on this machine."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import ray_internals, reachable
from p2i_ray.cluster.root_cause import RAY_LOGS
from p2i_ray.config import RayConfig
from p2i_ray.config.environment import ENVIRONMENT
from p2i_ray.console import cli, interrupts, native_lines
from p2i_ray.errors import UserError

if TYPE_CHECKING:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

LEVEL_NOTE = b"Set ray log level from environment variable"  # Ray's C++ core says so before the level holds
STARTS_TOO_SLOWLY = "node timed out during startup"
_joined: list[tuple[RayConfig, bool]] = []  # the settings, and whether this process has started the cluster


@interrupts.kept()
def connect(settings: RayConfig) -> None:
    """Join the cluster that the settings, RAY_ADDRESS or a running job name; else start a local one, on loopback.

    Workers import p2i_ray from where the driver does, so a checkout needs no installation.

    Raises:
        UserError: the named cluster doesn't answer, or doesn't take this process; or Ray doesn't start here in time.
    """
    import ray

    _set_up_data()
    if ray.is_initialized():
        return
    package_root = str(Path(__file__).parents[2])
    python_path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
    environment = {name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()}
    runtime = {"env_vars": {**environment, "PYTHONPATH": python_path}}
    address = settings.address or os.environ.get("RAY_ADDRESS")
    named = f"{'ray.address' if settings.address else 'RAY_ADDRESS'}={address}" if address else ""
    if address:
        reachable.check(address, named.partition("=")[0], otherwise="to start one on this machine")
    _joined[:] = [(settings, not address)]
    if not address:  # a cluster that this process joins is left by its end
        interrupts.before_end(ray_internals.end_cluster)
    try:
        if address:
            with native_lines.without(LEVEL_NOTE):
                ray.init(address=address, runtime_env=runtime, log_to_driver=False, logging_level=logging.WARNING)
            return
        object_store = settings.object_store_mb * 1_000_000 if settings.object_store_mb else None
        with ray_internals.on_loopback(), native_lines.without(LEVEL_NOTE):
            ray.init(
                address="local",
                num_cpus=settings.local_cpus,
                object_store_memory=object_store,
                runtime_env=runtime,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
    except Exception as error:
        if line := refusal(error, named):
            raise UserError(line) from None
        raise
    cli.look_first(raylet_line)


def raylet_line() -> str | None:
    """The line for a job on a cluster of its own whose raylet has ended; none: it runs, or the cluster is another's."""
    if not ray_internals.raylet_has_ended():
        return None
    return (
        "Ray on this machine ended in the middle: its raylet was killed, as the kernel does when memory runs out "
        f"(dmesg tells), or failed; its last words are in raylet.out of {RAY_LOGS}; the same command goes on"
    )


def refusal(error: Exception, named: str) -> str | None:
    """Advice for a user about a cluster that can't be joined or started; none: it is a fault of another kind.

    Args:
        error: of ray.init.
        named: the setting with the cluster's address; empty: one was to be started.
    """
    from ray.exceptions import AuthenticationError

    told = " ".join(str(error).split())
    if STARTS_TOO_SLOWLY in told:  # Ray raises no class of its own
        return (
            "Ray did not start on this machine in time, as when other programs keep it busy; give the same command "
            "again"
        )
    if isinstance(error, RuntimeError) and "Version mismatch" in told:
        return f"the cluster at {named} is of another version: {told}"
    if isinstance(error, AuthenticationError):
        return f"Ray's token can't be used: {told}"
    if named and isinstance(error, ConnectionError):  # also with another token, of which Ray says nothing more
        return (
            f"no Ray cluster at {named} takes this process: {told}; if one runs there, set RAY_AUTH_MODE and "
            "RAY_AUTH_TOKEN as its head has them"
        )
    if named and isinstance(error, ValueError):
        return f"{named} is no address of a Ray cluster: {told}; give HOST:PORT"
    return None


def settings() -> RayConfig:
    """The settings that this process has connected with."""
    return _joined[0][0] if _joined else RayConfig()


def started_here() -> bool:
    """Whether this process has started the cluster itself: it has one node, and doesn't grow."""
    return bool(_joined) and _joined[0][1]


def live_nodes() -> list[dict[str, Any]]:
    """The entries of ray.nodes() whose node is alive."""
    import ray

    nodes: Any = ray.nodes  # has no types
    return [node for node in nodes() if node["Alive"]]


def this_node() -> NodeAffinitySchedulingStrategy:
    """The strategy for an actor that outlasts the steps: on the driver's node, so that it keeps no other one up."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _set_up_data() -> None:
    """Configure Ray Data before the first dataset: no progress bars (the steps show theirs), and the older reader.

    The newer Parquet reader starts 32 actors for the footers of a handful of files and lists them in a task of one
    whole CPU, for which a two-CPU machine has no room beside a warm judge and the samplers: the step would wait for
    ever.
    """
    from ray.data import DataContext

    # Ray Data's named parameters can't bound retries, so what it calls deprecated is used; a job's user can't help it.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.use_datasource_v2 = False
    context.issue_detectors_config.detectors = []  # they report models held in memory as a leak
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ray_internals.NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
