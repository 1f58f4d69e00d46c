"""Ten minutes of ten times as many clients as the generator service can paint for.

overload_pictures_per_s                   of the whole time
overload_refused, overload_other          answers of 429 and 503; any that are neither those nor a picture
overload_longest_s                        the longest time until any answer: nothing hangs
overload_memory_mb_minute_N               of all replicas, beyond what they had after the first minute

The mini preset on the CPU, as in bench.serve.
"""

from __future__ import annotations

import tempfile

from bench import serve
from bench.serve import CLIENTS, OVERLOAD, Measurement

MINUTES = 10
MINUTE_S = 60.0


def run(minutes: int = MINUTES, minute_s: float = MINUTE_S) -> dict[str, float]:
    """Return all figures; the first minute warms up."""
    from p2i_ray.cluster import connection
    from p2i_ray.config import load
    from p2i_ray.config.serve import ServeJobConfig

    connection.connect(load(ServeJobConfig, "mini").ray)
    seen: list[Measurement] = []
    memory: list[float] = []

    def minute() -> None:
        seen.append(serve.measure(CLIENTS * OVERLOAD, minute_s))
        memory.append(serve.memory_mb())

    with tempfile.TemporaryDirectory() as jobs:
        serve.with_service(jobs, {}, *([minute] * (minutes + 1)))
    serve.disconnect()
    found = {f"overload_memory_mb_minute_{k}": mb - memory[0] for k, mb in enumerate(memory[1:], start=1)}
    return found | counted(seen[1:])


def counted(seen: list[Measurement]) -> dict[str, float]:
    """The figures of all minutes together."""
    statuses = [(status, times) for one in seen for status, times in one.statuses.items()]
    answered = [seconds for one in seen for seconds in (*one.painted_s, *one.refused_s)]
    return {
        "overload_pictures_per_s": sum(len(one.painted_s) for one in seen) / sum(one.seconds for one in seen),
        "overload_refused": float(sum(times for status, times in statuses if status in (429, 503))),
        "overload_other": float(sum(times for status, times in statuses if status not in (200, 429, 503))),
        "overload_longest_s": max(answered),
    }
