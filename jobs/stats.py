"""Measure a data set: rows, categories, names, picture sizes, product fractions, duplicates, leaks between splits.

    python jobs/stats.py --config mini data=data/mini out=data/mini-stats

Writes stats.json, stats.png and the page stats.html into `out`.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from p2i_ray.cluster import connection, preflight
from p2i_ray.config import Config
from p2i_ray.console.cli import main
from p2i_ray.console.progress import phase
from p2i_ray.data import preset_data, reading, statistics
from p2i_ray.report import dataset
from p2i_ray.run import lease
from p2i_ray.storage import locations


class StatsJob(Config):
    """The settings of the stats job."""

    data: str = Field(description="EPBD folder, a path or URI that all nodes reach")
    out: str = Field(description="folder for stats.json, stats.png and stats.html, a path or URI that all nodes reach")


def run(job: StatsJob) -> None:
    """Run the job."""
    out = locations.absolute(job.out)
    work = locations.join(out, ".rows")
    preflight.check_rights(out)
    lease.check_free(f"{work}.{lease.FILE}")
    data = preset_data.ready(job, job.data)
    rows = sum(reading.count(data, split) for split in statistics.splits_of(data))
    connection.connect(job.ray)
    with lease.held(f"{work}.{lease.FILE}"):
        try:
            with phase("measure", rows) as progress:
                measured = statistics.measure(data, work, job.image, progress)
        finally:
            locations.remove(work)
        figures = statistics.summarise(measured)
        locations.write_text(locations.join(out, "stats.json"), json.dumps(figures, indent=2, ensure_ascii=False))
        locations.write_bytes(locations.join(out, "stats.png"), statistics.plot(measured, f"{data}: {rows} rows"))
        page = dataset.write(data, measured, figures, image=job.image, out=out)
    for key, value in figures.items():
        print(f"{key:<36}{_short(value)}")
    print(f"{'written':<36}{out}/stats.json, stats.png\n{'page':<36}{page}")


def _short(value: Any) -> str:
    if isinstance(value, dict):
        rows = {key: figure["rows"] if isinstance(figure, dict) else figure for key, figure in value.items()}
        return ", ".join(f"{key} {figure}" for key, figure in list(rows.items())[:5]) or "none"
    if isinstance(value, list):
        return ", ".join(value[:5]) or "none"
    return str(value)


if __name__ == "__main__":
    main(StatsJob, __doc__, run)
