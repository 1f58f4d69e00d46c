"""The cause of a failure, from logs as vLLM, torch and multiprocessing write them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray.exceptions

from p2i_ray.cluster import root_cause
from p2i_ray.cluster.resources import READ
from p2i_ray.errors import UserError, WorkerDiedError

ENGINE = """\
(EngineCore pid=6268) WARNING 11-28 08:27:06 [vllm.py:1371] Enforce eager set, disabling torch.compile
(EngineCore pid=6268) ERROR 11-28 08:27:09 [core.py:946] EngineCore failed to start.
(EngineCore pid=6268) ERROR 11-28 08:27:09 [core.py:946] Traceback (most recent call last):
(EngineCore pid=6268) ERROR 11-28 08:27:09 [core.py:946]   File "/x/vllm/v1/engine/core.py", line 937, in run
(EngineCore pid=6268) ERROR 11-28 08:27:09 [core.py:946]     raise ValueError(
(EngineCore pid=6268) ERROR 11-28 08:27:09 [core.py:946] {cause}
(EngineCore pid=6268) Process EngineCore:
(EngineCore pid=6268) Traceback (most recent call last):
(EngineCore pid=6268) {cause}
Traceback (most recent call last):
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{'EngineCore': 1}}
"""
NO_ROOM = (
    "ValueError: Free memory on device cuda:0 (3.1/79.2 GiB) on startup is less than desired GPU memory utilization "
    "(0.9, 71.3 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
)
TENSOR_PARALLEL = """\
(Worker_TP1 pid=90) ERROR 11-28 08:27:09 [multiproc_executor.py:900] torch.OutOfMemoryError: CUDA out of memory. Tried
(EngineCore pid=88) ERROR 11-28 08:27:10 [core.py:946] Exception: WorkerProc initialization failed due to an exception \
in a background process. See stack trace for root cause.
(Worker_TP0 pid=89) RuntimeError: [c10d] Broken pipe
(Worker_TP0 pid=89) RuntimeError: NCCL communicator was aborted on rank 0.
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (
            ENGINE.format(cause="ValueError: the model's hidden size 127 is odd"),
            "ValueError: the model's hidden size 127 is odd",
        ),
        (ENGINE.format(cause=NO_ROOM), NO_ROOM),
        (TENSOR_PARALLEL, "torch.OutOfMemoryError: CUDA out of memory. Tried"),
        ("\x1b[31mKeyError: 'lm_head'\x1b[0m\nINFO all is well\n", "KeyError: 'lm_head'"),
        ("EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.", None),
        ("an Error: in the middle of a line\nINFO ValueError: no\n", None),
        ("", None),
    ],
)
def test_the_last_error_that_is_no_consequence(log: str, cause: str | None) -> None:
    assert root_cause.last_error(log) == cause


def test_a_long_cause_is_cut() -> None:
    found = root_cause.last_error(f"ValueError: {'x' * 5000}")
    assert found and len(found) < 450 and found.endswith("…")


@pytest.mark.parametrize(
    ("message", "memory", "hidden"),
    [
        (NO_ROOM, True, False),
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried",
            True,
            False,
        ),
        (
            "ValueError: To serve at least one request with the models's max seq len (32768), (7.0 GiB KV cache is "
            "needed, which is larger than the available KV cache memory (4.9 GiB).",
            True,
            False,
        ),
        ("Engine core initialization failed. See root cause above. Failed core proc(s): {}", False, True),
        ("ValueError: unknown dtype", False, False),
    ],
)
def test_kinds_of_messages(message: str, memory: bool, hidden: bool) -> None:
    assert (root_cause.is_out_of_memory(message), root_cause.is_hidden(message)) == (memory, hidden)


PROCESS = """
import subprocess, sys
from p2i_ray.cluster.root_cause import OwnLog
print("ValueError: of before", flush=True)
log = OwnLog()
assert log.cause() is None
child = "import sys; sys.exit('(EngineCore pid=1) OSError: the weights are torn')"
subprocess.run([sys.executable, "-c", child])
open(sys.argv[1], "w").write(log.cause())
"""


def test_what_a_process_that_it_started_wrote(tmp_path: Path) -> None:
    log = tmp_path / "worker.err"
    with log.open("wb") as out:
        subprocess.run([sys.executable, "-c", PROCESS, tmp_path / "cause"], stdout=out, stderr=out, check=True)
    found = (tmp_path / "cause").read_text()
    assert found.startswith("OSError: the weights are torn (log: ") and found.endswith(f":{log})")


def test_a_worker_s_exception_that_memory_ran_out_is_one_line_with_a_remedy() -> None:
    trace = '\x1b[36mray::_Paint()\x1b[39m (pid=7)\n  File "a.py", line 3, in paint\n    x = f()\n'
    with pytest.raises(UserError) as raised, root_cause.failures_explained("generation", "lower generate.batch_size=8"):
        raise RuntimeError(f"{trace}torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert str(raised.value) == (
        "generation ran out of memory (torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.); "
        "lower generate.batch_size=8"
    )


def test_a_guess_of_ray_s_that_memory_may_have_run_out_is_not_taken_for_it() -> None:
    died = "Some common causes include: (1) the process was killed by the OOM killer due to high memory usage"
    with pytest.raises(RuntimeError, match="common causes"), root_cause.failures_explained("generation", "lower it"):
        raise RuntimeError(died)
    with pytest.raises(UserError, match=r"^too large$"), root_cause.failures_explained("generation", "lower it"):
        raise UserError("too large")


def test_a_row_that_ends_its_process_each_time_ends_the_step_in_one_line(ray_cluster: None) -> None:
    import ray.data

    rows = ray.data.range(4, override_num_blocks=4).map_batches(_end_at_2, **READ.task_options())
    with pytest.raises(WorkerDiedError) as raised, root_cause.failures_explained("encoding", "lower its batch."):
        rows.materialize()
    line = str(raised.value)
    assert line.startswith("encoding: a worker's process ended without an exception, again each time")
    assert line.endswith("then lower its batch.") and "The worker died unexpectedly" in line and "\n" not in line


def test_an_actor_whose_constructor_fails_has_not_died() -> None:
    failed = ray.exceptions.RayActorError(
        "7", "The actor died because of an error raised in its creation task, ray::A()"
    )
    died = ray.exceptions.RayActorError("7", "The actor died unexpectedly before finishing this task.\n\tpid: 9")
    assert root_cause.death_line(failed) is None
    assert "before finishing this task. pid: 9)" in (root_cause.death_line(died) or "")
    assert root_cause.death_line(ValueError("no")) is None


def _end_at_2(batch: dict[str, Any]) -> dict[str, Any]:
    if 2 in batch["id"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return batch
