"""What people are told of, and who of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.config import NodeConfig, make_config
from node.errors import ConfigError
from node.notify.notice import event_for, notices
from node.notify.notifier import Notifier
from node.notify.outbox import Outbox, standing
from node.state import DeliveryRecord, DeliveryState, Generation, Ledger, SeriesRecord, State

HOOK: dict[str, Any] = {"name": "hook", "kind": "webhook", "url": "http://127.0.0.1:9/x"}
HL7: dict[str, Any] = {
    "name": "his", "kind": "hl7", "host": "h", "port": 1, "include_patient": True,
}  # fmt: skip
MAIL: dict[str, Any] = {
    "name": "mail", "kind": "mail", "host": "m", "sender": "a@b.c", "to": ["d@e.f"],
}  # fmt: skip


def config_with(*targets: dict[str, Any], folder: Path = Path("/nowhere")) -> NodeConfig:
    values = {"data_folder": str(folder), "notifications": list(targets)}
    return make_config(values, folder / "node.toml")


class Book:
    """A ledger with one series, and who listens to it."""

    def __init__(self, folder: Path, *targets: dict[str, Any]) -> None:
        self.ledger = Ledger(folder / "series")
        self.outbox = Outbox(folder, "hook")
        self.ledger.subscribe(Notifier(config_with(*targets, folder=folder)).hear)
        generation = Generation(number=1, images=["a"], complete=1, last_received=1)
        self.ledger.add(
            SeriesRecord(
                key="one", series_uid="1.2.3", study_uid="1.2", calling_ae="CT1",
                first_received=1, last_received=1, receiving=False, generations=[generation],
            )
        )  # fmt: skip

    def change(self, state: State, deliveries: dict[str, DeliveryState] | None = None,
               **values: Any) -> None:  # fmt: skip
        with self.ledger.change("one") as record:
            latest = record.generations[-1]
            latest.state = state
            for name, value in values.items():
                setattr(latest, name, value)
            for name, found in (deliveries or {}).items():
                item = latest.deliveries.setdefault(name, DeliveryRecord(since=5.0))
                item.state, item.code, item.reason = found, "peer-timeout", "it is away"

    def told(self) -> list[tuple[str, str]]:
        return [(item.event, item.destination) for item in self.outbox.waiting()]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    every = ["result", "warning", "rejected", "failure", "dead-letter"]
    return Book(tmp_path, {**HOOK, "events": every})


def test_a_result_is_told_once_at_the_first_destination(book: Book) -> None:
    waiting = {"pacs": DeliveryState.WAITING, "archive": DeliveryState.WAITING}
    book.change(State.DELIVERING, waiting, quality="pass", objects=["seg.dcm"])
    assert book.told() == []
    book.change(State.DELIVERING, {"archive": DeliveryState.PARTLY})
    book.change(State.DONE, {"pacs": DeliveryState.DELIVERED})
    book.change(State.DELIVERING, waiting)
    book.change(State.DONE, dict.fromkeys(waiting, DeliveryState.DELIVERED))
    assert book.told() == [("result", "archive")]


@pytest.mark.parametrize("quality", ["warn", "fail"])
def test_a_result_to_be_checked_is_a_warning(book: Book, quality: str) -> None:
    delivered = {"pacs": DeliveryState.DELIVERED}
    book.change(State.DONE, delivered, quality=quality, objects=["seg.dcm"])
    assert book.told() == [("warning", "pacs")]


def test_who_wants_results_alone_gets_warnings_as_results() -> None:
    (hook, his) = config_with({**HOOK, "events": ["result"]}, HL7).notifications
    record = SeriesRecord(
        key="one", series_uid="1", calling_ae="A", first_received=1, last_received=1,
        generations=[Generation(
            number=1, images=[], complete=1, last_received=1, quality="warn",
            state=State.DONE, objects=["seg.dcm"],
            deliveries={"pacs": DeliveryRecord(since=1, state=DeliveryState.DELIVERED)},
        )],
    )  # fmt: skip
    (notice,) = notices(None, record)
    assert (event_for(hook, notice), event_for(his, notice)) == ("result", "warning")


def test_what_ended_without_results(book: Book) -> None:
    book.change(State.REJECTED, code="not-a-head", reason="no skull")
    (notice,) = book.outbox.waiting()
    assert (notice.event, notice.code, notice.reason) == ("rejected", "not-a-head", "no skull")
    book.outbox.remove(notice)
    # a note of it arrives: that is no result
    book.change(State.REJECTED, {"pacs": DeliveryState.DELIVERED}, objects=["note.dcm"])
    assert book.told() == []
    book.change(State.FAILED, {}, code="internal")
    assert book.told() == [("failure", "")]


def test_a_delivery_that_is_given_up_is_told_each_time(book: Book) -> None:
    failed = {"pacs": DeliveryState.FAILED}
    book.change(State.FAILED, failed, quality="pass", objects=["seg.dcm"])
    (first,) = book.outbox.waiting()
    assert (first.event, first.destination, first.code) == ("dead-letter", "pacs", "peer-timeout")
    with book.ledger.change("one") as record:
        delivery = record.generations[-1].deliveries["pacs"]
        delivery.state, delivery.since = DeliveryState.WAITING, 6.0
    book.change(State.FAILED, failed)
    second = book.outbox.waiting()[-1]
    assert second.event == "dead-letter"
    assert second.id != first.id


def test_the_history_says_who_was_told(book: Book) -> None:
    book.change(State.REJECTED)
    record = book.ledger.get("one")
    assert record is not None
    assert [item.detail for item in record.history if item.what == "notified"] == [
        "rejected to hook"
    ]


def test_a_change_told_again_after_a_crash_is_the_same_notice(tmp_path: Path) -> None:
    book = Book(tmp_path, {**HOOK, "events": ["failure"]})
    before = book.ledger.get("one")
    assert before is not None
    after = before.model_copy(deep=True)
    after.generations[-1].state = State.FAILED
    ids = {item.id for _ in range(2) for item in notices(before, after)}
    assert len(ids) == 1


def test_a_disk_that_is_full_stops_nothing_but_the_notice(
    book: Book, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "notifications/hook"
    for path in folder.iterdir():
        if path.is_dir():
            path.rmdir()
    folder.rmdir()
    folder.touch()
    book.change(State.REJECTED)
    record = book.ledger.get("one")
    assert record is not None
    assert record.state is State.REJECTED
    assert "notification_not_kept" in caplog.messages


def test_standing_counts_what_waits_and_what_was_put_aside(book: Book, tmp_path: Path) -> None:
    book.change(State.REJECTED)
    book.change(State.FAILED, code="internal")
    book.outbox.put_aside(book.outbox.waiting()[0])
    found = standing(tmp_path, ["hook", "other"])
    assert found["hook", "waiting"] == found["hook", "failed"] == 1
    assert found["other", "waiting"] == 0


def test_a_file_that_cannot_be_read_is_put_aside(book: Book, tmp_path: Path) -> None:
    folder = tmp_path / "notifications/hook"
    (folder / "bad.json").write_text("{")
    assert book.told() == []
    assert (folder / "failed/bad.json.broken").exists()


def test_one_process_alone_sends(book: Book, tmp_path: Path) -> None:
    other = Outbox(tmp_path, "hook")
    assert book.outbox.claim()
    assert not other.claim()
    book.outbox.release()
    assert other.claim()
    other.release()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "x", "kind": "webhook"}, "needs url"),
        ({"name": "x", "kind": "mail", "host": "m"}, "needs sender and to"),
        ({**HL7, "include_patient": False}, "include_patient"),
        ({**HL7, "events": ["failure"]}, "takes the events result and warning"),
        ({**HOOK, "pdf": True}, "pdf is for kind fhir"),
        ({**HOOK, "url": "http://chat.example.org", "include_patient": True}, "https"),
        ({**MAIL, "security": "none", "secret_env": "X"}, "security tls or starttls"),
        ({**MAIL, "to": ["a@b, c@d"]}, "to"),
        ({**HOOK, "events": []}, "events"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config_with(values)


def test_two_targets_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="same name: hook"):
        config_with(HOOK, HOOK)


def test_a_secret_that_only_signs_may_go_with_http() -> None:
    hook = {**HOOK, "url": "http://chat.example.org/x", "secret_env": "X"}
    assert config_with(hook).notifications[0].wanted == (
        "result", "warning", "failure", "dead-letter",
    )  # fmt: skip
