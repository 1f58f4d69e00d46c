"""The cost of an approved picture: the base model against the model of a run, judged by the run's own judge.

    approved_SIDE_fraction            of the painted pictures that are approved, for SIDE base and run
    approved_SIDE_seconds             of a sampler replica for each approved picture, refused ones included
    approved_SIDE_dollars             the same at DOLLARS_PER_HOUR a replica, which is a stand-in for your own price
    approved_seconds_ratio            run / base

The mini preset on the CPU, one order of PRODUCTS products of no split with accept=approved. It needs runs/mini, which
`make idr` makes: without it there is no model to compare, and the benchmark says so.
"""

from __future__ import annotations

import io
import json
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx

from bench.serve import HELD_OUT, PORT, TOKEN, cutout, disconnect, with_service
from p2i_ray.cluster import connection
from p2i_ray.config import load
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.mini.world import CLEAN, render

PRODUCTS, MOST = 16, 8  # products of the order, pictures painted at most for each
MODEL = Path("runs/mini/model")
DOLLARS_PER_HOUR = 2.0
POLL_S = 2.0


def run() -> dict[str, float]:
    """Return all figures."""
    if not MODEL.is_dir():
        raise SystemExit(f"error: {MODEL} is not there, so there is nothing to compare; make idr")
    connection.connect(load(ServeJobConfig, "mini").ray)
    sides = {"base": None, "run": str(MODEL)}
    summaries = {side: _ordered(model) for side, model in sides.items()}
    disconnect()
    figures = {}
    for side, found in summaries.items():
        own = found["by_accept"]["approved"]
        print(side, json.dumps({"refused": found["refused"], **own}), flush=True)
        figures[f"approved_{side}_fraction"] = own["images"] / found["candidates"]
        figures[f"approved_{side}_seconds"] = _or_nan(own["seconds_per_image"])
        figures[f"approved_{side}_dollars"] = _or_nan(own["dollars_per_image"])
    figures["approved_seconds_ratio"] = figures["approved_run_seconds"] / figures["approved_base_seconds"]
    return figures


def _or_nan(value: float | None) -> float:
    """None, that is no picture was approved, as NaN."""
    return float("nan") if value is None else value


def _ordered(model: str | None) -> dict[str, Any]:
    """The totals of an order that a model paints."""
    changes = {"judge": True, "model": model, "dollars_per_hour": DOLLARS_PER_HOUR}
    with tempfile.TemporaryDirectory() as jobs:
        found, _ = with_service(jobs, changes, _order)
    return dict(found)


def _order() -> dict[str, Any]:
    """Send the order, wait for its end; its totals."""
    products = {f"{number}.png": cutout(render(HELD_OUT, number, CLEAN)) for number in range(PRODUCTS)}
    lines = [json.dumps({"image": file, "name": name, "seed": 1}) for file, (_, name) in products.items()]
    files = {"table": "\n".join(lines).encode(), **{file: content for file, (content, _) in products.items()}}
    form = {"accept": "approved", "max_candidates": str(MOST)}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", headers=headers, timeout=120) as client:
        job = client.post("/v1/jobs", data=form, files=files).raise_for_status().json()["id"]
        while client.get(f"/v1/jobs/{job}").raise_for_status().json()["status"] != "completed":
            time.sleep(POLL_S)
        result = client.get(f"/v1/jobs/{job}/result").raise_for_status().content
    totals: dict[str, Any] = json.loads(zipfile.ZipFile(io.BytesIO(result)).read("summary.json"))
    return totals
