"""The Grafana dashboard asks for metrics that the server has, with labels that they have."""

import json
import re
from typing import Any

import pytest

from asr.metrics import Metrics
from tests.conftest import ROOT

FILE = ROOT / "images" / "deploy" / "grafana" / "dashboard.json"
DASHBOARD = json.loads(FILE.read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
SAMPLES = {  # what a metric's samples are called, after its name
    "counter": ["_total"],
    "gauge": [""],
    "histogram": ["_bucket", "_sum", "_count"],
}
COLUMNS = 24  # Grafana's grid has so many.
SCRAPED = {"instance", "le"}  # Prometheus adds the first, a histogram's buckets have the second.


def exported() -> dict[str, set[str]]:
    """The names of all samples, with their labels."""
    metrics = Metrics()
    labels = {
        collector._name: set(collector._labelnames)
        for collector in vars(metrics).values()
        if hasattr(collector, "_labelnames")
    }
    return {
        family.name + end: labels[family.name] | SCRAPED
        for family in metrics.registry.collect()
        for end in SAMPLES[family.type]
    }


def queries() -> list[str]:
    asked = [target["expr"] for panel in PANELS for target in panel["targets"]]
    chosen = [variable["definition"] for variable in DASHBOARD["templating"]["list"][1:]]
    return asked + chosen


@pytest.mark.parametrize("query", queries())
def test_every_metric_is_one_of_the_servers_and_has_the_labels(query: str) -> None:
    samples = exported()
    names = set(re.findall(r"\basr_\w+", query))
    assert names
    assert names <= samples.keys()
    known = set.union(*(samples[name] for name in names))
    selected = {label for part in re.findall(r"\{(.*?)\}", query) for label in names_in(part)}
    grouped = {label for part in re.findall(r"by \((.*?)\)", query) for label in part.split(", ")}
    assert selected | grouped <= known


def test_a_share_of_requests_is_0_and_not_missing_where_none_has_failed() -> None:
    shares = [query for query in queries() if " / " in query]
    assert len(shares) == 2
    assert all(share.split(" / ")[0].endswith("or vector(0))") for share in shares)


def names_in(selector: str) -> list[str]:
    return re.findall(r"(\w+)=~", selector)


def test_a_counter_is_never_shown_bare_and_a_rate_is_only_asked_of_counters() -> None:
    for query in queries():
        for before, name in re.findall(r"(\w*\(?)(asr_\w+)", query):
            assert name.endswith(("_total", "_bucket")) == (before == "rate("), query


def test_no_metric_is_missing_from_the_dashboard() -> None:
    asked = " ".join(queries())
    names = {family.name for family in Metrics().registry.collect()}
    assert {name for name in names if name not in asked} == set()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_what_grafana_needs_to_draw_it(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"timeseries", "stat"}
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in {"s", "reqps", "percentunit", "none"}
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    marks = [target["refId"] for target in panel["targets"]]
    assert marks == sorted(set(marks))
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert label == "instance" or re.search(rf"by \([^)]*\b{label}\b", target["expr"])


def test_panels_have_ids_of_their_own_and_cover_each_other_nowhere() -> None:
    assert DASHBOARD["uid"] == DASHBOARD["title"] == "asr-api"
    assert isinstance(DASHBOARD["schemaVersion"], int)
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    cells: list[tuple[int, int]] = []
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells += [
            (place["x"] + column, place["y"] + line)
            for column in range(place["w"])
            for line in range(place["h"])
        ]
    assert len(cells) == len(set(cells))


def test_requests_latency_queue_engine_jobs_and_webhooks_each_have_panels() -> None:
    assert [row["title"] for row in ROWS] == [
        "Requests",
        "Latency",
        "Queue and engine",
        "Jobs",
        "Who speaks",
        "Live",
    ]
    titles = " ".join(panel["title"] for panel in PANELS)
    for topic in ("Stages", "Queue", "Engine", "Jobs by their end", "Wait", "Attempts", "webhooks"):
        assert topic in titles
