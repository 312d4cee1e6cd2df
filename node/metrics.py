"""What Prometheus reads: how the node stands, and what it did since its start.

Counters listen to the ledger, so that they do not depend on the log level; what
stands in the records is read when it is asked for. No label names a series or a
patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.health import Readiness
from node.state import (
    DeliveryRecord,
    DeliveryState,
    Generation,
    Ledger,
    SeriesRecord,
    State,
    now_s,
)

_SECONDS: Final = (0.5, 1, 2, 3, 5, 8, 13, 21, 34, 60, 120, 300, 900, 3600)
_STAGE_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 120)
_ENDS: Final = frozenset(
    {State.DONE, State.REJECTED, State.FAILED, State.IGNORED, State.CANCELLED, State.SUPERSEDED}
)


Notifications = Mapping[tuple[str, str], int]
"""How many notifications stand how, by target and state."""


class Metrics:
    """Counts from now on, and reads the rest when asked.

    Parameters
    ----------
    ledger : Ledger
    readiness : callable
    notifications : callable
    """

    def __init__(
        self,
        ledger: Ledger,
        readiness: Callable[[], Readiness],
        notifications: Callable[[], Notifications] = dict,
    ) -> None:
        self._registry = CollectorRegistry()
        self._images = Counter(
            "aspects_node_images_total",
            "Images in series that were complete.",
            registry=self._registry,
        )
        self._finished = Counter(
            "aspects_node_series_finished_total",
            "Computations that came to an end, by state and quality.",
            ["state", "quality"],
            registry=self._registry,
        )
        self._attempts = Counter(
            "aspects_node_deliveries_total",
            "Ends of deliveries and failed attempts, by destination.",
            ["destination", "outcome"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "aspects_node_result_seconds",
            "From the last image to results that all destinations accepted.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "aspects_node_stage_seconds",
            "Seconds of each stage of the computation.",
            ["stage"],
            buckets=_STAGE_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_Standing(ledger, readiness, notifications))
        ledger.subscribe(self.note)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def note(self, before: SeriesRecord | None, after: SeriesRecord) -> None:
        """Count what a change of a record brings; listens to the ledger."""
        earlier = {} if before is None else {item.number: item for item in before.generations}
        for generation in after.generations:
            self._note(earlier.get(generation.number), generation)

    def _note(self, before: Generation | None, after: Generation) -> None:
        if before is None:
            self._images.inc(len(after.images))
        if after.timings_s and (before is None or not before.timings_s):
            for stage, seconds in after.timings_s.items():
                self._stages.labels(stage).observe(seconds)
        deliveries = {} if before is None else before.deliveries
        for name, delivery in after.deliveries.items():
            if name in deliveries:
                self._note_delivery(name, deliveries[name], delivery)
        if after.state in _ENDS and (before is None or before.state is not after.state):
            self._finished.labels(after.state, after.quality or "none").inc()
            if after.state is State.DONE and not _was_sent_again(after):
                self._seconds.observe(max(0.0, now_s() - after.last_received))

    def _note_delivery(self, name: str, before: DeliveryRecord, after: DeliveryRecord) -> None:
        if after.state is not before.state and after.state is not DeliveryState.WAITING:
            self._attempts.labels(name, after.state.lower()).inc()
        elif after.reason and after.next_attempt and after.next_attempt != before.next_attempt:
            self._attempts.labels(name, "refused").inc()


def _was_sent_again(generation: Generation) -> bool:
    """Tell whether a person had it sent later: its seconds say nothing of the node."""
    return any(item.since > generation.complete + 3600 for item in generation.deliveries.values())


class _Standing(Collector):
    """What stands in the records now."""

    def __init__(
        self,
        ledger: Ledger,
        readiness: Callable[[], Readiness],
        notifications: Callable[[], Notifications],
    ) -> None:
        self._ledger = ledger
        self._readiness = readiness
        self._notifications = notifications

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names are fixed, and asking would cost a look at all records."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        found, records = self._readiness(), self._ledger.survey(tuple)
        yield GaugeMetricFamily(
            "aspects_node_ready", "1 where the node is fit to work.", float(found.is_ready)
        )
        yield GaugeMetricFamily(
            "aspects_node_free_disk_bytes", "Free where the data folder lies.", found.free_disk
        )
        yield _by_label(
            "aspects_node_series",
            "Series in each state.",
            "state",
            {str(state): float(found.counts.get(state, 0)) for state in State},
        )
        yield _by_label(
            "aspects_node_oldest_seconds",
            "Age of the oldest series in each state that is not at an end.",
            "state",
            {str(state): age for state, age in found.oldest_s.items()},
        )
        yield _by_label(
            "aspects_node_problem",
            "1 for each problem that makes the node not ready, and each warning.",
            "code",
            {item.code: 1.0 for item in (*found.problems, *found.warnings)},
        )
        yield _by_label(
            "aspects_node_undelivered",
            "Deliveries that are not at an end, by destination.",
            "destination",
            _undelivered(records),
        )
        yield _notifications(self._notifications())
        yield GaugeMetricFamily(
            "aspects_node_last_image_timestamp_seconds",
            "When the newest image came, in seconds since the epoch; 0 where none did.",
            max((record.last_received for record in records), default=0.0),
        )
        info = GaugeMetricFamily("aspects_node_info", "Always 1.", labels=["version"])
        info.add_metric([version("aspects-node")], 1.0)
        yield info


def _by_label(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _notifications(standing: Notifications) -> Metric:
    family = GaugeMetricFamily(
        "aspects_node_notifications",
        "Notifications that wait, and those put aside as failed, by target.",
        labels=["target", "state"],
    )
    for labels, count in standing.items():
        family.add_metric(labels, float(count))
    return family


def _undelivered(records: Iterable[SeriesRecord]) -> dict[str, float]:
    found: dict[str, float] = {}
    for record in records:
        for name, item in (record.latest.deliveries if record.latest else {}).items():
            found[name] = found.get(name, 0.0) + (item.state is DeliveryState.WAITING)
    return found
