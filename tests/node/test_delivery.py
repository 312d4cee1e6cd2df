from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage, SegmentationStorage
from pynetdicom import AE, evt

from node.config import Delivery, make_config
from node.delivery import Deliverer, delay_s, destinations
from node.presentation import accepted_contexts
from node.state import (
    DeliveryRecord,
    DeliveryState,
    Generation,
    Ledger,
    SeriesRecord,
    State,
)
from tests.node.series import write_series
from tests.peers import peer

PEERS = [peer("pacs", "PACS", 1), peer("ct", "CT1", 2, destination=False), peer("ws", "WS", 3)]


def route(calling_ae: str, **more: object) -> tuple[str, ...]:
    return destinations(make_config({"peers": PEERS, **more}, Path("x")), calling_ae)


def test_results_go_back_to_the_sender() -> None:
    assert route("PACS", default_peer="ws") == ("pacs",)


def test_padded_title_is_the_same_title() -> None:
    assert route("PACS    ", default_peer="ws") == ("pacs",)


def test_unknown_sender_means_default_peer() -> None:
    assert route("NOBODY", default_peer="ws") == ("ws",)


def test_sender_that_takes_no_results_means_default_peer() -> None:
    assert route("CT1", default_peer="pacs") == ("pacs",)


def test_more_destinations_come_once_each() -> None:
    assert route("PACS", also_send_to=["ws", "pacs"]) == ("pacs", "ws")


def test_no_destination() -> None:
    assert route("NOBODY") == ()


@given(st.integers(1, 10_000), st.integers())
def test_delay_stays_within_its_bounds(attempts: int, seed: int) -> None:
    settings = Delivery(first_delay_s=2, factor=3, longest_delay_s=100, jitter=0.1)
    plain = min(2 * 3 ** min(attempts - 1, 10), 100)
    assert 0.9 * plain <= delay_s(settings, attempts, random.Random(seed)) <= 1.1 * plain


ALL = (SegmentationStorage, Comprehensive3DSRStorage, EnhancedSRStorage)


class FakeArchive:
    """An SCP that answers C-STORE as it is told, and remembers."""

    def __init__(self, answers: list[int], *without: str) -> None:
        self._answers = answers
        self.stored: list[str] = []
        ae = AE(ae_title="ARCHIVE")
        ae.supported_contexts = [
            context for context in accepted_contexts() if context.abstract_syntax not in without
        ]
        self.server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._on_store)]
        )
        self.port = int(self.server.server_address[1])

    def _on_store(self, event: evt.Event) -> int:
        status = self._answers.pop(0)
        if status == 0x0000:
            self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return status


@dataclass(slots=True)
class Outbox:
    """Results of one series that wait for one destination."""

    deliverer: Deliverer
    ledger: Ledger

    def offer(self) -> float | None:
        return self.deliverer.attempt("key", 1, "archive")

    @property
    def generation(self) -> Generation:
        record = self.ledger.get("key")
        assert record is not None
        return record.generation(1)


@pytest.fixture
def make_outbox(tmp_path: Path) -> Callable[[int], Outbox]:
    """Return a function that makes an outbox for an archive on a port."""
    ledger = Ledger(tmp_path / "series")
    generation = Generation(
        number=1,
        images=["a.dcm"],
        state=State.DELIVERING,
        complete=0.0,
        last_received=0.0,
        objects=["seg.dcm", "sr.dcm"],
        deliveries={"archive": DeliveryRecord(since=time.time())},
    )
    ledger.add(
        SeriesRecord(
            key="key",
            series_uid="1.2.3",
            calling_ae="CT",
            first_received=0.0,
            last_received=0.0,
            receiving=False,
            generations=[generation],
        )
    )
    results = ledger.results("key", 1)
    results.mkdir(parents=True)
    for name, sop_class in (("seg", SegmentationStorage), ("sr", Comprehensive3DSRStorage)):
        _, (path,) = write_series(tmp_path, name, 1, sop_class=sop_class)
        path.rename(results / f"{name}.dcm")

    def make(port: int) -> Outbox:
        config = make_config({"peers": [peer("archive", "ARCHIVE", port)]}, Path("x"))
        return Outbox(Deliverer(config, ledger, random.Random(1)), ledger)

    return make


def test_refused_object_is_offered_again_alone(make_outbox: Callable[[int], Outbox]) -> None:
    archive = FakeArchive([0x0000, 0xA700, 0x0000])
    try:
        outbox = make_outbox(archive.port)
        assert outbox.offer() is not None
        refused = outbox.generation.deliveries["archive"]
        assert (refused.state, refused.code) == (DeliveryState.WAITING, "store-refused")
        assert refused.statuses == {"seg.dcm": 0x0000, "sr.dcm": 0xA700}
        assert "0xA700 Out of resources" in refused.reason

        assert outbox.offer() is None
        assert outbox.generation.state is State.DONE
        assert len(archive.stored) == len(set(archive.stored)) == 2
    finally:
        archive.server.shutdown()


def test_report_waits_for_its_segmentation(make_outbox: Callable[[int], Outbox]) -> None:
    archive = FakeArchive([0xC001])
    try:
        outbox = make_outbox(archive.port)
        assert outbox.offer() is not None
        assert list(outbox.generation.deliveries["archive"].statuses) == ["seg.dcm"]
    finally:
        archive.server.shutdown()


@pytest.mark.parametrize("status", [0x0122, 0xA900])
def test_class_refused_by_a_status_is_passed_over(
    status: int, make_outbox: Callable[[int], Outbox]
) -> None:
    archive = FakeArchive([status, 0x0000])
    try:
        outbox = make_outbox(archive.port)
        assert outbox.offer() is None
        delivery = outbox.generation.deliveries["archive"]
        assert (delivery.state, delivery.code) == (DeliveryState.PARTLY, "sop-class-refused")
        assert delivery.statuses == {"seg.dcm": status, "sr.dcm": 0x0000}
        assert "SOP class of seg.dcm" in delivery.reason
        assert outbox.generation.state is State.DONE
    finally:
        archive.server.shutdown()


def test_class_without_a_context_is_passed_over(make_outbox: Callable[[int], Outbox]) -> None:
    archive = FakeArchive([0xA700, 0x0000], SegmentationStorage)
    try:
        outbox = make_outbox(archive.port)
        assert outbox.offer() is not None  # the report may be taken later
        assert outbox.generation.deliveries["archive"].state is DeliveryState.WAITING
        assert outbox.offer() is None
        delivery = outbox.generation.deliveries["archive"]
        assert delivery.state is DeliveryState.PARTLY
        assert delivery.statuses == {"seg.dcm": 0x0122, "sr.dcm": 0x0000}
    finally:
        archive.server.shutdown()


def test_class_that_is_left_alone_is_passed_over(make_outbox: Callable[[int], Outbox]) -> None:
    """What is left after a break is proposed alone, so that no context is accepted."""
    archive = FakeArchive([], SegmentationStorage)
    try:
        outbox = make_outbox(archive.port)
        with outbox.ledger.change("key") as record:
            record.generation(1).deliveries["archive"].statuses = {"sr.dcm": 0}
        assert outbox.offer() is None
        assert outbox.generation.deliveries["archive"].state is DeliveryState.PARTLY
    finally:
        archive.server.shutdown()


def test_peer_that_takes_nothing_may_take_it_later(make_outbox: Callable[[int], Outbox]) -> None:
    archive = FakeArchive([], *ALL)
    try:
        outbox = make_outbox(archive.port)
        assert outbox.offer() is not None
        delivery = outbox.generation.deliveries["archive"]
        assert (delivery.state, delivery.code) == (DeliveryState.WAITING, "context-refused")
    finally:
        archive.server.shutdown()


def test_warning_is_kept_and_counts_as_stored(make_outbox: Callable[[int], Outbox]) -> None:
    archive = FakeArchive([0xB000, 0x0000])
    try:
        outbox = make_outbox(archive.port)
        assert outbox.offer() is None
        assert outbox.generation.deliveries["archive"].statuses["seg.dcm"] == 0xB000
        assert outbox.generation.state is State.DONE
    finally:
        archive.server.shutdown()


def test_crash_after_the_last_answer_sends_nothing_again(
    make_outbox: Callable[[int], Outbox],
) -> None:
    outbox = make_outbox(1)  # nobody listens there
    with outbox.ledger.change("key") as record:
        record.generation(1).deliveries["archive"].statuses = {"seg.dcm": 0, "sr.dcm": 0}
    assert outbox.offer() is None
    assert outbox.generation.state is State.DONE


def test_superseded_results_are_not_sent(make_outbox: Callable[[int], Outbox]) -> None:
    outbox = make_outbox(1)
    with outbox.ledger.change("key") as record:
        newer = record.generation(1).model_copy(deep=True, update={"number": 2})
        record.generations.append(newer)
    assert outbox.offer() is None
    assert outbox.generation.state is State.SUPERSEDED
