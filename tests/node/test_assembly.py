from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.assembly import Assembly, Patience
from node.inbox import Inbox
from node.presentation import NO_INPUT_CLASSES
from node.state import Generation, Ledger, SeriesRecord, State, series_key
from tests.node.series import write_series
from tests.peers import wait_for

QUIET_S = 0.2


Count = Callable[[SeriesRecord], int | None]


class Sender:
    """A sender that counts as it is told, and sends what is missing when asked."""

    def __init__(self, count: Count) -> None:
        self.count = count
        self.send_missing: Callable[[], None] = lambda: None

    def fetch(self, record: SeriesRecord) -> None:
        assert record.series_uid
        self.send_missing()


class Desk:
    """An assembly that notes what it submits."""

    def __init__(
        self,
        folder: Path,
        longest_s: float = 60.0,
        incomplete_s: float = QUIET_S,
        count: Count | None = None,
    ) -> None:
        self.ledger = Ledger(folder / "series")
        self.inbox = Inbox(folder, self.ledger, 0)
        self.submitted: list[tuple[str, int]] = []
        self.assembly = Assembly(
            self.inbox,
            self.ledger,
            lambda key, number: self.submitted.append((key, number)),
            Patience(quiet_s=QUIET_S, incomplete_s=incomplete_s, longest_s=longest_s),
        )
        self.sender = Sender(count or (lambda _: None))
        if count is not None:
            self.assembly.origin = self.sender

    def receive(self, path: Path, association: int = 1) -> None:
        self.assembly.stored(self.inbox.store(b"", path.read_bytes()), association)

    def images_of(self, uid: str, number: int) -> int:
        record = self.ledger.get(series_key(uid))
        assert record is not None
        return len(record.generation(number).images)

    def generation(self, uid: str, number: int = 1) -> Generation:
        record = self.ledger.get(series_key(uid))
        assert record is not None
        return record.generation(number)

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


@pytest.mark.parametrize("sop_class", sorted(NO_INPUT_CLASSES))
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


LONG_S = 20.0
"""Longer than any test waits: only evidence completes a series."""


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Return a function that starts a desk that is patient without evidence."""
    desks: list[Desk] = []

    def make(count: Count | None = None, **seconds: float) -> Desk:
        found = Desk(tmp_path / "data", **{"incomplete_s": LONG_S, **seconds}, count=count)
        desks.append(found)
        found.assembly.start()
        return found

    yield make
    for item in desks:
        item.assembly.stop()


def test_whole_head_needs_the_short_quiet_time_only(
    make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = make_desk()
    uid, files = write_series(tmp_path, "head", 22, size=8)
    for path in files:
        desk.receive(path)
    desk.assembly.closed(1)
    wait_for(lambda: desk.submitted, what="submitted")
    found = desk.generation(uid)
    assert (found.evidence, found.missing, len(found.images)) == ("geometry", "", 22)


def test_head_with_a_gap_waits_for_its_slice(
    make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = make_desk()
    uid, files = write_series(tmp_path, "head", 23, size=8)
    late = files.pop(9)
    for number, path in enumerate(files):
        desk.receive(path, association=number)
        desk.assembly.closed(number)
    marker, more = write_series(tmp_path, "mr", 1, modality="MR")
    desk.receive(more[0], association=99)
    desk.assembly.closed(99)
    wait_for(lambda: desk.submitted, what="the other series, which came later")
    assert desk.submitted == [(series_key(marker), 1)]

    desk.receive(late, association=100)
    desk.assembly.closed(100)
    wait_for(lambda: len(desk.submitted) == 2, what="the head")
    assert desk.submitted[1] == (series_key(uid), 1)


def test_incomplete_series_says_what_is_missing(
    make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = make_desk(incomplete_s=QUIET_S)
    uid, files = write_series(tmp_path, "head", 23, size=8)
    for path in files[:9] + files[10:]:
        desk.receive(path)
    desk.assembly.closed(1)
    wait_for(lambda: desk.submitted, what="submitted")
    found = desk.generation(uid)
    assert found.evidence == "none"
    assert found.missing == "slices cover 115 mm, 1 gap wider than the spacing of 5 mm"


def test_count_of_the_sender_ends_the_wait_for_an_open_association(
    make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = make_desk(lambda _: 3)
    uid, files = write_series(tmp_path, "a", 3)
    for path in files:
        desk.receive(path)
    wait_for(lambda: desk.submitted, what="submitted")
    assert desk.generation(uid).evidence == "count"


def test_sender_with_more_images_is_waited_for(
    make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = make_desk(lambda _: 3, longest_s=2 * QUIET_S)
    uid, files = write_series(tmp_path, "a", 3)
    for path in files[:2]:
        desk.receive(path)
    desk.assembly.closed(1)
    wait_for(lambda: desk.submitted, what="submitted in the end")
    found = desk.generation(uid)
    assert found.evidence == "short"
    assert found.missing.startswith("the sender holds 3 images, 2 came; ")


def test_missing_images_are_fetched_and_counted_anew(
    make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = make_desk(lambda _: 3, incomplete_s=2 * QUIET_S)
    uid, files = write_series(tmp_path, "a", 3)
    desk.sender.send_missing = lambda: desk.receive(files[2], association=2)
    for path in files[:2]:
        desk.receive(path)
    desk.assembly.closed(1)
    wait_for(lambda: desk.submitted, what="submitted")
    found = desk.generation(uid)
    assert (found.evidence, len(found.images)) == ("count", 3)
    assert "holds" not in found.missing


def test_missing_images_are_asked_for_once(make_desk: Callable[..., Desk], tmp_path: Path) -> None:
    desk = make_desk(lambda _: 3, incomplete_s=QUIET_S, longest_s=4 * QUIET_S)
    asked: list[bool] = []
    desk.sender.send_missing = lambda: asked.append(True)
    uid, files = write_series(tmp_path, "a", 3)
    desk.receive(files[0])
    desk.assembly.closed(1)
    wait_for(lambda: desk.submitted, what="submitted in the end")
    assert desk.generation(uid).evidence == "short"
    assert asked == [True]


def test_sender_that_cannot_count_changes_nothing(
    make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    def fail(record: object) -> int | None:
        raise OSError(f"no answer about {type(record).__name__}")

    desk = make_desk(fail)
    _, files = write_series(tmp_path, "head", 22, size=8)
    for path in files:
        desk.receive(path)
    desk.assembly.closed(1)
    wait_for(lambda: desk.submitted, what="submitted")


def test_restart_reads_the_geometry_from_disk(
    make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    uid, files = write_series(tmp_path, "head", 22, size=8)
    first = make_desk()
    for path in files[:11]:
        first.receive(path)
    wait_for(lambda: first.state(uid), what="sorted")
    first.assembly.stop()
    second = make_desk()
    for path in files[11:]:
        second.receive(path)
    second.assembly.closed(1)
    wait_for(lambda: second.submitted, what="submitted")
    assert second.generation(uid).evidence == "geometry"
