"""A run's gauges on the driver's node, and the dashboard that shows them."""

from __future__ import annotations

import http.client
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from p2i_ray.run import utilization as uses
from p2i_ray.run.attempt import Attempt
from p2i_ray.run.attempt_record import AttemptRecord, CurrentStep
from p2i_ray.run.gauges import GAUGES, Reading, readings
from p2i_ray.run.spans import Span

ROOT = Path(__file__).parents[2]


def test_training_counts_images_and_scoring_rows() -> None:
    spans = [Span(kind="step", round=2, name="train", began=1), Span(kind="start", round=3, name="judge", began=2)]
    at = CurrentStep(round=2, step="train", began=1, done=10, total=40, unit="steps", rate=0.5, images=32)
    record = AttemptRecord(host="a", pid=1, began=0, seen=9, now=at, spans=spans, kept_fraction=0.25, set_aside=3)
    assert set(readings(record)) == {
        Reading("p2i_round", (), 2),
        Reading("p2i_step", (("step", "train"),), 1),
        Reading("p2i_step_images_done", (), 320),
        Reading("p2i_step_images_expected", (), 1280),
        Reading("p2i_step_images_per_second", (), 16),
        Reading("p2i_kept_ratio", (), 0.25),
        Reading("p2i_set_aside_rows", (), 3),
    }
    scoring = at.model_copy(update={"step": "score", "total": None, "rate": 7.0, "images": 0})
    found = {reading.name: reading for reading in readings(record.model_copy(update={"now": scoring}))}
    assert found["p2i_step_rows_per_second"] == Reading("p2i_step_rows_per_second", (), 7)
    assert found["p2i_step_rows_done"].value == 10 and found["p2i_step_rows_expected"].value == 0
    assert not [name for name in found if "images" in name]


def test_between_two_steps_the_round_stays() -> None:
    spans = [Span(kind="step", round=n, name="score", began=n, ended=n + 1) for n in (1, 2)]
    record = AttemptRecord(host="a", pid=1, began=0, seen=9, spans=spans)
    assert set(readings(record)) == {Reading("p2i_round", (), 2), Reading("p2i_set_aside_rows", (), 0)}


def page() -> dict[tuple[str, str], dict[str, float]]:
    """(metric, run) -> the other tag's value -> value, from the node's own endpoint."""
    import ray

    (node,) = [node for node in ray.nodes() if node["Alive"]]
    connection = http.client.HTTPConnection(node["NodeManagerAddress"], node["MetricsExportPort"], timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    found: dict[tuple[str, str], dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            tags = sample.labels
            if "run" in tags:
                other = tags.get("step") or ""
                found.setdefault((sample.name, tags["run"]), {})[other] = sample.value
    return found


def test_two_runs_on_one_cluster_are_seen_at_the_nodes_endpoint(ray_cluster: None, tmp_path: Path) -> None:
    one, two = f"{tmp_path}/one", f"{tmp_path}/m%C3%B6bel"
    with Attempt(one) as first, Attempt(f"{tmp_path}/m\u00f6bel") as second, second.span("step", 3, "generate"):
        with first.span("step", 0, "measure"):
            pass
        with first.span("step", 1, "score"), first.working(500) as progress:
            first.saw(set_aside=4, kept_fraction=0.5)
            progress(120)
            deadline = time.monotonic() + 300
            while not {("ray_p2i_step", one), ("ray_p2i_step", two)} <= (found := page()).keys():
                assert time.monotonic() < deadline, sorted({name for name, _ in found})
                time.sleep(1)  # Ray hands metrics on every ten seconds
            location = first.location.removesuffix(".json") + ".parquet"
            while not uses.read(location):
                assert time.monotonic() < deadline, "the nodes are looked at every five seconds"
                time.sleep(1)
                first.flush()
    assert found["ray_p2i_step", one] == {"score": 1} and found["ray_p2i_step", two] == {"generate": 1}
    assert found["ray_p2i_round", one] == {"": 1} and found["ray_p2i_round", two] == {"": 3}
    assert found["ray_p2i_step_rows_done", one] == {"": 120} and found["ray_p2i_step_rows_expected", one] == {"": 500}
    assert found["ray_p2i_kept_ratio", one] == {"": 0.5} and found["ray_p2i_set_aside_rows", one] == {"": 4}
    assert found["ray_p2i_step_rows_per_second", one][""] > 0
    moments = uses.read(location)
    assert moments and all(moment.node and 0 <= (moment.use.cpu or 0) <= 1 for moment in moments), moments
    assert any(m.use.cpu for m in moments) and all(m.use.reserved_cpu is not None for m in moments)
    assert json.loads(Path(first.location).read_text())["job"]


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "cluster" / "grafana.json").read_text("utf-8"))
    return loaded


def expressions(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def exported() -> set[str]:
    """Every metric of ours as Prometheus names it: Ray puts ray_ before those of its own library."""
    found = {f"ray_{name}" for name in GAUGES}
    kind = re.compile(r'\b(Gauge|Counter|Histogram)\(\s*"(p2i_\w+)"')
    for path in (ROOT / "p2i_ray" / "serve").rglob("*.py"):
        text = path.read_text("utf-8")
        prefix = "ray_" if "ray.util.metrics" in text else ""
        for what, name in kind.findall(text):
            endings = {"Counter": ["_total"], "Histogram": ["_bucket", "_sum", "_count"]}.get(what, [""])
            found |= {f"{prefix}{name}{ending}" for ending in endings}
    return found


def test_the_dashboard_names_metrics_and_tags_that_there_are(dashboard: dict[str, Any]) -> None:
    known = exported()
    named = {name for expression in expressions(dashboard) for name in re.findall(r"\b(?:ray_)?p2i_\w+", expression)}
    assert named and not named - known
    assert {f"ray_{name}" for name in GAUGES} <= named, "a gauge that nobody sees"
    for expression in expressions(dashboard):
        for name, labels in re.findall(r"\bray_(p2i_\w+)\{([^}]*)\}", expression):
            if name in GAUGES:
                assert set(re.findall(r"(\w+)\s*=~?", labels)) <= set(GAUGES[name][1]), expression
                assert 'run=~"$run"' in labels, f"{expression} mixes runs"


def test_the_dashboard_loads_anywhere(dashboard: dict[str, Any]) -> None:
    assert dashboard["schemaVersion"] >= 39 and dashboard["id"] is None and dashboard["uid"] and dashboard["title"]
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    assert variables["run"]["query"]["query"] == "label_values(ray_p2i_round, run)"
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert all(panel["datasource"] == source for panel in panels) and variables["run"]["datasource"] == source
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells)), "panels lie on each other"
    for expression in expressions(dashboard):
        assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")
