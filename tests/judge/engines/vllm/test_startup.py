"""Why an engine doesn't start, as the driver is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from p2i_ray.config import JudgeConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.engines.vllm.startup import remedy, startup_explained

HIDDEN = "Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
GPU = JudgeConfig(model="m", max_model_len=4096, max_num_seqs=64, gpu_memory_utilization=0.9)
CPU = GPU.model_copy(update={"num_gpus": 0.0})
# An engine core that is a process of its own writes where its parent writes, as vLLM's does.
REPLICA = f"""
import subprocess, sys
from p2i_ray.config import JudgeConfig
from p2i_ray.judge.engines.vllm.startup import startup_explained
core = "import sys; sys.exit('(EngineCore pid=7) ERROR 11-28 08:27:09 [core.py:946] ' + sys.argv[1])"
try:
    with startup_explained(JudgeConfig(model="m", max_num_seqs=64)):
        subprocess.run([sys.executable, "-c", core, sys.argv[1]])
        raise RuntimeError({HIDDEN!r})
except Exception as error:
    open(sys.argv[2], "w").write(f"{{type(error).__name__}}: {{error}}")
"""


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        ("ValueError: the weights are torn", ""),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
            "; lower judge.max_num_seqs=64, judge.max_model_len or judge.gpu_memory_utilization=0.9",
        ),
    ],
)
def test_the_cause_in_the_engine_s_log_becomes_the_line(tmp_path: Path, cause: str, advice: str) -> None:
    log = tmp_path / "worker.out"
    with log.open("wb") as out:
        command = [sys.executable, "-c", REPLICA, cause, str(tmp_path / "line")]
        subprocess.run(command, stdout=out, stderr=out, check=True)
    found = (tmp_path / "line").read_text()
    assert found.startswith(f"UserError: {cause} (log: ") and found.endswith(f":{log}){advice}")


def test_a_cause_that_is_said_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match="unknown dtype") as raised, startup_explained(GPU):
        raise ValueError("unknown dtype")
    assert type(raised.value) is ValueError


def test_memory_that_ran_out_says_what_lowers_the_need() -> None:
    with (
        pytest.raises(UserError, match=r"can't allocate memory; lower judge.max_model_len=4096, judge.max_num_seqs=64"),
        startup_explained(CPU),
    ):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (
            "ValueError: Free memory on device cuda:0 is less than desired GPU memory utilization (0.9, 71.3 GiB)",
            "lower judge.gpu_memory_utilization=0.9, or end what else uses the GPU",
        ),
        (
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
            "lower judge.max_model_len=4096, or raise judge.gpu_memory_utilization=0.9 or judge.tensor_parallel_size=1",
        ),
    ],
)
def test_the_remedy_is_the_cause_s(line: str, advice: str) -> None:
    assert remedy(line, GPU) == advice
