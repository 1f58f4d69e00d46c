"""The cause of an engine that doesn't start, in one line: vLLM's exception often says only that it is in its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from p2i_ray.cluster import root_cause
from p2i_ray.config import JudgeConfig
from p2i_ray.errors import UserError, one_line


@contextmanager
def startup_explained(settings: JudgeConfig) -> Iterator[None]:
    """Turn vLLM's exceptions with a hidden cause, or for lack of memory, into one line.

    Raises:
        UserError: the line, with the settings that need less memory, where that ran out.
    """
    log = root_cause.OwnLog()
    try:
        yield
    except Exception as error:
        found = explanation(error, log, settings)
        if found is None:
            raise
        raise UserError(found) from error


def explanation(error: BaseException, log: root_cause.OwnLog, settings: JudgeConfig) -> str | None:
    """The line for an exception of vLLM's; none for one that says itself what is wrong."""
    text = str(error)
    memory = root_cause.memory_line(error)
    if memory is None and not root_cause.is_hidden(text):
        return None
    line = memory or log.cause() or f"{one_line(error)} (log: {log.places() or 'not kept'})"
    return f"{line}; {remedy(line, settings)}" if root_cause.is_out_of_memory(line) else line


def remedy(line: str, settings: JudgeConfig) -> str:
    """The settings that help an engine for which memory ran out.

    Args:
        line: the cause, in vLLM's or torch's words.
        settings: of the judge.
    """
    length = f"lower judge.max_model_len={settings.max_model_len}"
    if not settings.num_gpus:
        return f"{length}, judge.max_num_seqs={settings.max_num_seqs} or judge.kv_cache_gb, or use a larger machine"
    share = f"judge.gpu_memory_utilization={settings.gpu_memory_utilization}"
    if "less than desired GPU memory utilization" in line:
        return f"lower {share}, or end what else uses the GPU"
    if "cache" in line:
        return f"{length}, or raise {share} or judge.tensor_parallel_size={settings.tensor_parallel_size}"
    return f"lower judge.max_num_seqs={settings.max_num_seqs}, judge.max_model_len or {share}"
