from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.connects import run_connects
from tests.faults.soak import Record, Sample, slope
from tests.node.conftest import DOUBLE
from tests.peers import NodeProcess


@pytest.mark.timeout(180)
def test_bare_connections_leave_nothing(make_node: Callable[..., NodeProcess]) -> None:
    node = make_node(DOUBLE)
    node.start()
    report = run_connects(node, 400)
    before, after = report["rss_mib"]
    assert after - before < 15.0
    before, after = report["fds"]
    assert after - before <= 3


def test_slopes_are_an_hour_and_leave_out_the_warming_up() -> None:
    samples = [Sample(hour / 10, 900.0 if hour < 2 else 100.0 + hour, 7, 3) for hour in range(10)]
    found = Record(samples).summary()
    assert found["rss_mib"]["slope_per_hour"] == 10.0
    assert (found["rss_mib"]["first"], found["fds"]["slope_per_hour"]) == (102.0, 0.0)
    assert slope([1.0], [2.0]) == 0.0
