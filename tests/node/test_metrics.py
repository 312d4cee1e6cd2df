"""What Prometheus reads is true, and its rules and the dashboard use nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.config import NodeConfig
from node.health import Watchdog
from node.metrics import Metrics
from node.state import (
    DeliveryRecord,
    DeliveryState,
    Generation,
    Ledger,
    SeriesRecord,
    State,
    now_s,
)
from tests.peers import REPOSITORY

RULES = REPOSITORY / "deploy/prometheus/aspects-node.rules.yml"
DASHBOARD = REPOSITORY / "deploy/grafana/aspects-node.json"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    (tmp_path / "incoming").mkdir()
    return Ledger(tmp_path / "series")


@pytest.fixture
def metrics(ledger: Ledger, tmp_path: Path) -> Metrics:
    config = NodeConfig(data_folder=tmp_path, min_free_disk=0)
    return Metrics(ledger, Watchdog(config, ledger, tmp_path / "incoming").readiness)


def values(metrics: Metrics) -> dict[str, float]:
    """Return each sample under its name and labels, as Prometheus writes them."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def add(ledger: Ledger, name: str = "one") -> str:
    record = SeriesRecord(
        key=name, series_uid=f"1.2.{name}", calling_ae="CT1", first_received=now_s() - 5,
        last_received=now_s() - 4,
    )  # fmt: skip
    ledger.add(record)
    return name


def complete(ledger: Ledger, key: str) -> None:
    with ledger.change(key) as record:
        record.receiving = False
        record.generations.append(
            Generation(number=1, images=["a", "b"], complete=now_s(), last_received=now_s() - 4)
        )


def test_a_series_is_followed_from_its_images_to_its_delivery(
    ledger: Ledger, metrics: Metrics
) -> None:
    key = add(ledger)
    assert values(metrics)["aspects_node_series{state=RECEIVING}"] == 1
    complete(ledger, key)
    assert values(metrics)["aspects_node_images_total"] == 2
    with ledger.change(key) as record:
        latest = record.generations[0]
        latest.state, latest.quality = State.DELIVERING, "warn"
        latest.timings_s = {"levels": 0.4}
        latest.deliveries = {"pacs": DeliveryRecord(since=now_s())}
    assert values(metrics)["aspects_node_undelivered{destination=pacs}"] == 1
    with ledger.change(key) as record:
        delivery = record.generations[0].deliveries["pacs"]
        delivery.reason, delivery.next_attempt = "cannot be reached", now_s() + 5
    with ledger.change(key) as record:
        record.generations[0].deliveries["pacs"].state = DeliveryState.DELIVERED
        record.generations[0].state = State.DONE
    found = values(metrics)
    assert found["aspects_node_series_finished_total{quality=warn,state=DONE}"] == 1
    assert found["aspects_node_deliveries_total{destination=pacs,outcome=refused}"] == 1
    assert found["aspects_node_deliveries_total{destination=pacs,outcome=delivered}"] == 1
    assert found["aspects_node_undelivered{destination=pacs}"] == 0
    assert found["aspects_node_result_seconds_count"] == 1
    assert 4 <= found["aspects_node_result_seconds_sum"] < 60
    assert found["aspects_node_stage_seconds_count{stage=levels}"] == 1
    assert found["aspects_node_ready"] == 1
    assert found["aspects_node_free_disk_bytes"] > 0


def test_what_changes_nothing_counts_nothing(ledger: Ledger, metrics: Metrics) -> None:
    key = add(ledger)
    complete(ledger, key)
    before = values(metrics)
    with ledger.change(key):
        pass
    after = values(metrics)
    same = [name for name in before if name.endswith(("_total", "_count"))]
    assert {name: before[name] for name in same} == {name: after[name] for name in same}


def test_no_label_names_a_series(ledger: Ledger, metrics: Metrics) -> None:
    complete(ledger, add(ledger, "secret"))
    assert "secret" not in metrics.text().decode()


def names_in(text: str) -> set[str]:
    found = set(re.findall(r"aspects_node_\w+", text))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=lambda path: path.name)
def test_rules_and_dashboard_use_metrics_that_there_are(
    path: Path, ledger: Ledger, metrics: Metrics
) -> None:
    families = {item.name for item in text_string_to_metric_families(metrics.text().decode())}
    known = families | {f"{name}_total" for name in families}
    assert names_in(path.read_text()) <= known
    assert names_in(path.read_text())


def test_the_dashboard_has_panels_that_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_promtool_accepts_rules_and_metrics(metrics: Metrics) -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("not installed: prometheus (deploy/install-test-peers)")
    tests = RULES.with_name("aspects-node.test.yml")
    for arguments in (["check", "rules", RULES], ["test", "rules", tests], ["check", "metrics"]):
        done = subprocess.run(
            [promtool, *arguments], input=metrics.text(), capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_operations_explain_every_metric(ledger: Ledger, metrics: Metrics) -> None:
    text = (REPOSITORY / "deploy/OPERATIONS.md").read_text()
    said = set(re.findall(r"^\| `(aspects_node_\w+)` \|", text, re.MULTILINE))
    there = {
        item.name + ("_total" if item.type == "counter" else "")
        for item in text_string_to_metric_families(metrics.text().decode())
        if not item.name.endswith("_created")
    }
    assert said == there
