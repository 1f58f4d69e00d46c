"""The forecast as people read it: what `jobs/idr.py --plan` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from p2i_ray.cluster.gpu_sharing import with_shared_gpus
from p2i_ray.config import Config
from p2i_ray.config.planning import RunPlanConfig
from p2i_ray.planning.activities import RunPlan
from p2i_ray.planning.schedule import Planned, busy, length, schedule

WIDTH = 60  # of the drawing, characters
IDLE, WORK = "·", "█"


def as_lines(config: Config, assumed: RunPlanConfig, rows: int, dev_rows: int) -> list[str]:
    """The forecast of a run, and beside it that of the same run with everything in its turn.

    Args:
        config: the settings as given.
        assumed: rates, starts and price.
        rows: of the training split.
        dev_rows: of idr.dev_split.
    """
    loop = RunPlan(with_shared_gpus(config), assumed, rows, dev_rows)
    planned, gpus = schedule(list(loop.activities())), loop.gpus
    turns = {"overlap": False, "judge_gpu_fraction": None}
    one_by_one = plan(config.model_copy(update={"idr": config.idr.model_copy(update=turns)}), assumed, rows, dev_rows)
    hours, in_turn = ((length(one) + assumed.node_start_s) / 3600 for one in (planned, one_by_one))
    return [
        f"rows         {rows:,} to judge, {dev_rows:,} to paint after every round",
        *_drawing(planned),
        "",
        f"hours        {hours:.2f}, of which {assumed.node_start_s / 60:.0f} minutes until the node comes",
        f"GPUs at work {busy(planned):.0%} of the time from then on",
        f"in turn      {in_turn:.2f} hours, {busy(one_by_one):.0%} (idr.overlap=false idr.judge_gpu_fraction=null)",
        f"US dollars   {hours * gpus * assumed.usd_per_gpu_hour:.0f} on {gpus:g} x GPU at {assumed.usd_per_gpu_hour:g} "
        "an hour (plan.usd_per_gpu_hour)",
        "assumed      rates and starts, none of them measured here: plan.… in --help; give your own",
    ]


def plan(config: Config, assumed: RunPlanConfig, rows: int, dev_rows: int) -> list[Planned]:
    """A run's activities in time."""
    return schedule(list(RunPlan(with_shared_gpus(config), assumed, rows, dev_rows).activities()))


def _drawing(planned: Sequence[Planned]) -> Iterator[str]:
    """A line an activity: when it starts and loads (·), when it works (█), and its minutes."""
    whole = length(planned)
    yield f"{'':12} minutes  {IDLE} starts and loads   {WORK} works"
    for activity, began, ended in planned:
        if ended - began < whole / WIDTH / 8:
            continue
        first, last = int(began / whole * WIDTH), max(int(ended / whole * WIDTH), int(began / whole * WIDTH) + 1)
        idle = min(last, int((began + activity.idle_s) / whole * WIDTH))
        bar = " " * first + IDLE * max(0, idle - first) + WORK * (last - max(idle, first))
        number, name = activity.key
        yield f"{number} {name:<15}{(ended - began) / 60:5.1f}  {bar}".rstrip()
