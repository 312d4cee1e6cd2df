from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.assembly import Assembly
from node.inbox import Inbox
from node.presentation import RESULT_CLASSES
from node.state import Ledger, State, series_key
from tests.node.series import write_series
from tests.peers import wait_for

QUIET_S = 0.2


class Desk:
    """An assembly that notes what it submits."""

    def __init__(self, folder: Path, longest_s: float = 60.0) -> None:
        self.ledger = Ledger(folder / "series")
        self.inbox = Inbox(folder, self.ledger, 0)
        self.submitted: list[tuple[str, int]] = []
        self.assembly = Assembly(
            self.inbox,
            self.ledger,
            lambda key, number: self.submitted.append((key, number)),
            quiet_time_s=QUIET_S,
            longest_quiet_time_s=longest_s,
        )

    def receive(self, path: Path, association: int = 1) -> None:
        self.assembly.stored(self.inbox.store(b"", path.read_bytes()), association)

    def images_of(self, uid: str, number: int) -> int:
        record = self.ledger.get(series_key(uid))
        assert record is not None
        return len(record.generation(number).images)

    def state(self, uid: str) -> State | None:
        record = self.ledger.get(series_key(uid))
        return None if record is None else record.state


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    found = Desk(tmp_path / "data")
    found.assembly.start()
    yield found
    found.assembly.stop()


def test_series_is_complete_after_the_quiet_time(desk: Desk, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "a", 3)
    start = time.monotonic()
    for path in files:
        desk.receive(path)
    desk.assembly.closed(1)
    wait_for(lambda: desk.submitted, what="submitted")
    assert time.monotonic() - start >= QUIET_S
    assert desk.submitted == [(series_key(uid), 1)]
    assert desk.images_of(uid, 1) == 3


def test_open_association_holds_its_series_only(desk: Desk, tmp_path: Path) -> None:
    held, first = write_series(tmp_path, "held", 1)
    free, second = write_series(tmp_path, "free", 1)
    desk.receive(first[0], association=1)
    desk.receive(second[0], association=2)
    desk.assembly.closed(2)
    wait_for(lambda: desk.submitted, what="the free series")
    assert desk.submitted == [(series_key(free), 1)]
    assert desk.state(held) is State.RECEIVING
    desk.assembly.closed(1)
    wait_for(lambda: len(desk.submitted) == 2, what="the held series")


def test_association_that_never_closes_is_the_last_resort(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "data", longest_s=2 * QUIET_S)
    desk.assembly.start()
    try:
        _, files = write_series(tmp_path, "a", 1)
        start = time.monotonic()
        desk.receive(files[0])
        wait_for(lambda: desk.submitted, what="submitted")
        assert time.monotonic() - start >= 2 * QUIET_S
    finally:
        desk.assembly.stop()


def test_late_image_opens_the_series_again(desk: Desk, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "a", 3)
    for path in files[:2]:
        desk.receive(path)
    desk.assembly.closed(1)
    wait_for(lambda: len(desk.submitted) == 1, what="first generation")
    desk.receive(files[2], association=2)
    desk.assembly.closed(2)
    wait_for(lambda: len(desk.submitted) == 2, what="second generation")
    assert desk.submitted[1] == (series_key(uid), 2)
    assert (desk.images_of(uid, 1), desk.images_of(uid, 2)) == (2, 3)


def test_duplicate_does_not_open_the_series_again(desk: Desk, tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "a", 2)
    other, more = write_series(tmp_path, "b", 1)
    for path in files:
        desk.receive(path)
    desk.assembly.closed(1)
    wait_for(lambda: len(desk.submitted) == 1, what="first generation")
    desk.receive(files[0], association=2)
    desk.receive(more[0], association=2)
    desk.assembly.closed(2)
    wait_for(lambda: len(desk.submitted) == 2, what="the other series")
    assert desk.submitted == [(series_key(uid), 1), (series_key(other), 1)]


@pytest.mark.parametrize("sop_class", sorted(RESULT_CLASSES))
def test_results_are_ignored(desk: Desk, tmp_path: Path, sop_class: str) -> None:
    uid, files = write_series(tmp_path, "a", 1, sop_class=sop_class)
    desk.receive(files[0])
    desk.assembly.closed(1)
    wait_for(lambda: desk.state(uid) is State.IGNORED, what="ignored")
    assert desk.submitted == []


def test_restart_goes_on_with_what_was_acknowledged(tmp_path: Path) -> None:
    uid, files = write_series(tmp_path, "a", 3)
    first = Desk(tmp_path / "data")
    for path in files:
        first.receive(path)  # never sorted: the thread was not started

    second = Desk(tmp_path / "data")
    second.assembly.start()
    try:
        wait_for(lambda: second.submitted, what="submitted after restart")
        assert second.images_of(uid, 1) == 3
    finally:
        second.assembly.stop()

    third = Desk(tmp_path / "data")
    third.assembly.start()
    third.assembly.stop()
    assert third.submitted == [(series_key(uid), 1)]
