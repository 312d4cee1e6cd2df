"""A PACS that refuses, hangs, resets, is mute, slow or frozen, and a clock that jumps."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import Mode, Proxy
from tests.faults.shimmed import Clock
from tests.node.conftest import DOUBLE
from tests.node.series import write_series
from tests.peers import NodeProcess, StoreScp, peer, storescu, wait_for

MakeNode = Callable[..., NodeProcess]
QUICK = {"first_delay_s": 0.2, "factor": 1.2, "longest_delay_s": 0.5, "timeout_s": 1.0}
HOUR_S = 3600
DAY_S = 24 * HOUR_S
STEP_S = 300
MOMENT_S = 0.05


@pytest.fixture
def proxy(pacs: StoreScp) -> Iterator[Proxy]:
    found = Proxy(pacs.port)
    yield found
    found.stop()


@pytest.fixture
def node(make_node: MakeNode, proxy: Proxy) -> NodeProcess:
    """A node, not started, that reaches its PACS by the proxy."""
    return make_node(
        DOUBLE, default_peer="pacs", delivery=QUICK, peers=[peer("pacs", "PACS", proxy.port)]
    )


def results_on_disk(node: NodeProcess) -> list[str]:
    return sorted(path.name for path in node.data.glob("series/*/results/*/*.dcm"))


def test_a_pacs_that_misbehaves_gets_the_same_results_in_the_end(
    node: NodeProcess, proxy: Proxy, pacs: StoreScp, tmp_path: Path
) -> None:
    node.start()
    for mode in (Mode.HANG, Mode.RESET, Mode.HALF, Mode.MUTE):
        proxy.mode, before = mode, len(pacs.received())
        uid, files = write_series(tmp_path, mode, 2)
        storescu(node.port, files)
        failed = wait_for(
            lambda uid=uid: (
                found  # type: ignore[misc]
                if len(found := node.events("delivery_failed", series=uid)) >= 2
                else None
            ),
            what=f"two attempts, {mode}",
        )
        assert {line["code"] for line in failed} <= {
            "peer-timeout", "association-aborted", "association-rejected", "store-refused"
        }  # fmt: skip
        proxy.mode = Mode.PASS
        row = node.wait_for_state(uid, "DONE")
        assert row["deliveries"]["pacs"]["attempts"] >= 3
        # storescp names its files by UID: the same object twice is one
        assert len(pacs.wait_for(before + 2)) == before + 2
    proxy.mode, before = Mode.SLOW, len(pacs.received())
    uid, files = write_series(tmp_path, "slow", 2)
    storescu(node.port, files)
    assert node.wait_for_state(uid, "DONE", 40.0)["deliveries"]["pacs"]["attempts"] == 1
    assert len(pacs.wait_for(before + 2)) == before + 2


def test_a_frozen_pacs_holds_nobody_else_up(
    node: NodeProcess, pacs: StoreScp, tmp_path: Path
) -> None:
    node.start()
    os.kill(pacs.pid, signal.SIGSTOP)
    try:
        uid, files = write_series(tmp_path, "frozen", 2)
        storescu(node.port, files)
        wait_for(lambda: len(node.events("delivery_failed", series=uid)) >= 2, what="two attempts")
        other, more = write_series(tmp_path, "other", 2, modality="MR")
        storescu(node.port, more, "-R")
        node.wait_for_state(other, "REJECTED")
    finally:
        os.kill(pacs.pid, signal.SIGCONT)
    node.wait_for_state(uid, "DONE", 30.0)


def test_a_destination_down_for_a_day(make_node: MakeNode, pacs: StoreScp, tmp_path: Path) -> None:
    """Five minutes pass in a moment; the delays are those of the default configuration."""
    node = make_node(DOUBLE, default_peer="pacs", peers=[peer("pacs", "PACS", pacs.port)])
    clock = Clock(node, tmp_path)
    node.start()
    pacs.kill()
    sent: list[str] = []
    for step in range(DAY_S // STEP_S):
        if step % 96 == 0:  # three times in the day
            uid, files = write_series(tmp_path, f"step-{step}", 2)
            storescu(node.port, files)
            node.wait_for_event("delivery_failed", series=uid)
            sent.append(uid)
        clock.jump(step * STEP_S)
        threading.Event().wait(MOMENT_S)
    assert [node.wait_for_state(uid, "DELIVERING")["state"] for uid in sent] == 3 * ["DELIVERING"]
    assert len(node.events("delivery_failed", series=sent[0])) >= 12
    before = results_on_disk(node)
    pacs.start()

    def is_done(ahead: Iterator[int]) -> bool:
        clock.jump(DAY_S + next(ahead) * STEP_S)
        return set(node.states().values()) == {"DONE"}

    ahead = itertools.count()
    wait_for(lambda: is_done(ahead), 40.0, "all delivered by itself")
    assert len(pacs.wait_for(2 * len(sent))) == 2 * len(sent)
    assert results_on_disk(node) == before  # nothing was computed again


def test_a_clock_that_jumps(make_node: MakeNode, pacs: StoreScp, tmp_path: Path) -> None:
    node = make_node(
        DOUBLE, default_peer="pacs", delivery=QUICK, peers=[peer("pacs", "PACS", pacs.port)]
    )
    clock = Clock(node, tmp_path)
    node.start()
    sent = []
    for jump_s in (DAY_S, -DAY_S):
        pacs.kill()
        for name in ("before", "after"):
            uid, files = write_series(tmp_path, f"{name}-{jump_s}", 2)
            storescu(node.port, files)
            node.wait_for_event("delivery_failed", series=uid)
            sent.append(uid)
            clock.jump(jump_s)
        pacs.start()
        for uid in sent:
            node.wait_for_state(uid, "DONE", 30.0)
        assert len(pacs.wait_for(2 * len(sent))) == 2 * len(sent)
