"""Crashes, full disks, absent peers: what was acknowledged is never lost."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from node.incoming import arrivals
from tests.node import double
from tests.node.conftest import Site
from tests.node.series import write_series
from tests.peers import (
    ENVIRONMENT,
    NodeProcess,
    StoreScp,
    free_port,
    peer,
    run,
    storescu,
    tool,
    wait_for,
)

MakeSite = Callable[..., Site]


def test_sigterm_is_a_clean_end(make_site: MakeSite) -> None:
    site = make_site()
    assert site.node.stop(signal.SIGTERM) == 0
    assert site.node.events("stopped")


def test_kill_while_receiving(make_site: MakeSite, tmp_path: Path) -> None:
    site, count = make_site(), 300
    uid, files = write_series(tmp_path, "a", count, size=256)
    sender = subprocess.Popen(
        [tool("storescu") or "", "-v", "-aec", "ASPECTS", "127.0.0.1", str(site.node.port),
         *map(str, files)],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(lambda: len(list(site.node.data.rglob("*.dcm"))) > 10, what="some images came")
    site.node.kill()
    output, _ = sender.communicate(timeout=30)
    acknowledged = output.count("Received Store Response (Success)")
    assert 0 < acknowledged < count

    # sorted into their series, and acknowledged but not sorted yet
    paths = [*site.node.data.rglob("*.dcm"), *arrivals(site.node.data / "incoming")]
    kept = {str(dcmread(path).SOPInstanceUID) for path in paths}
    sent = [str(dcmread(path).SOPInstanceUID) for path in files]
    assert kept >= set(sent[:acknowledged])

    site.node.start()
    storescu(site.node.port, files)  # the sender tries again
    row = wait_for(
        lambda: (
            found if (found := site.node.wait_for_state(uid, "DONE"))["images"] == count else None
        )
    )
    assert row["deliveries"]["pacs"]["state"] == "DELIVERED"


def test_kill_while_computing(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    uid, files = write_series(tmp_path, "a", 2, protocol=double.HOLD)
    storescu(site.node.port, files)
    wait_for(lambda: list(site.node.data.glob("series/*/results/tried")), what="computing")
    assert site.node.states() == {uid: "COMPUTING"}
    begun = now_of(site)
    site.node.kill()
    assert site.node.states() == {uid: "COMPUTING"}  # status needs no running node

    site.node.start()
    site.node.wait_for_state(uid, "DONE")
    assert len(site.pacs.wait_for(2)) == 2
    assert now_of(site) == begun  # the date of the results was fixed before the crash


def now_of(site: Site) -> str:
    (record,) = site.node.data.glob("series/*/record.json")
    return record.read_text().partition('"now": "')[2].partition('"')[0]


def test_kill_while_delivering(make_site: MakeSite, tmp_path: Path, peers: list[StoreScp]) -> None:
    late = free_port()
    site = make_site(
        peers=[peer("late", "LATE", late)],
        also_send_to=["late"],
        delivery={"first_delay_s": 0.2, "longest_delay_s": 0.5},
    )
    uid, files = write_series(tmp_path, "a", 2)
    storescu(site.node.port, files)
    first = [str(item.SOPInstanceUID) for item in site.pacs.wait_for(2)]
    site.node.wait_for_event("delivery_failed", destination="late")
    site.node.kill()

    destination = StoreScp(tmp_path / "late", late)
    peers.append(destination)
    destination.start()
    site.node.start()
    assert [str(item.SOPInstanceUID) for item in destination.wait_for(2)] == first
    site.node.wait_for_state(uid, "DONE")
    assert [str(item.SOPInstanceUID) for item in site.pacs.received()] == first


def test_destination_down_then_up(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(delivery={"first_delay_s": 0.2, "factor": 1.5, "longest_delay_s": 0.5})
    site.pacs.kill()
    uid, files = write_series(tmp_path, "a", 2)
    storescu(site.node.port, files)
    wait_for(lambda: len(site.node.events("delivery_failed", series=uid)) >= 2, what="two attempts")
    row = site.node.wait_for_state(uid, "DELIVERING")
    assert row["deliveries"]["pacs"]["code"] == "peer-timeout"
    site.pacs.start()
    assert len(site.pacs.wait_for(2)) == 2
    row = site.node.wait_for_state(uid, "DONE")
    assert row["deliveries"]["pacs"]["attempts"] >= 3


def test_given_up_then_retried_by_hand(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(delivery={"first_delay_s": 0.1, "give_up_after_s": 0.3})
    site.pacs.kill()
    uid, files = write_series(tmp_path, "a", 2)
    storescu(site.node.port, files)
    row = site.node.wait_for_state(uid, "FAILED")
    assert row["deliveries"]["pacs"]["state"] == "FAILED"
    site.pacs.start()
    assert site.node.run("retry", uid).returncode == 0
    site.node.wait_for_state(uid, "DONE")
    assert len(site.pacs.received()) == 2
    assert site.node.run("retry", uid).returncode == 1


def test_next_attempt_can_be_asked_for(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(delivery={"first_delay_s": 3600, "longest_delay_s": 3600})
    site.pacs.kill()
    uid, files = write_series(tmp_path, "a", 2)
    storescu(site.node.port, files)
    site.node.wait_for_event("delivery_failed", series=uid)
    site.pacs.start()
    assert site.node.run("retry", uid).returncode == 0
    site.node.wait_for_state(uid, "DONE")


def test_rejected_series_is_computed_again_by_hand(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    uid, files = write_series(tmp_path, "a", 2, modality="MR")
    storescu(site.node.port, files, "-R")
    assert site.node.wait_for_state(uid, "REJECTED")["generation"] == 1
    assert site.node.run("retry", uid).returncode == 0
    site.node.wait_for_event("computed", series=uid, generation=2)
    assert site.node.run("retry", "1.2.3").returncode == 1


@pytest.mark.parametrize(
    ("protocol", "state", "code"),
    [
        (double.CRASH_ONCE, "DONE", ""),
        (double.CRASH, "FAILED", "worker-crashed"),
        (double.HANG, "FAILED", "worker-timeout"),
        (double.DEFECT, "FAILED", "encoding"),
    ],
)
def test_computation_that_goes_wrong(
    make_site: MakeSite, tmp_path: Path, protocol: str, state: str, code: str
) -> None:
    site = make_site(compute_attempts=2, compute_time_limit_s=2.0)
    uid, files = write_series(tmp_path, "a", 2, protocol=protocol)
    storescu(site.node.port, files)
    row = site.node.wait_for_state(uid, state)
    assert row["code"] == code
    healthy, more = write_series(tmp_path, "b", 2)
    storescu(site.node.port, more)
    site.node.wait_for_state(healthy, "DONE")


def test_disk_nearly_full(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(min_free_disk=shutil.disk_usage(tmp_path).total)
    _, files = write_series(tmp_path, "a", 1)
    answer = storescu(site.node.port, files, check=False)
    assert answer.returncode != 0
    assert "Local Limit Exceeded" in answer.stderr + answer.stdout
    assert list(site.node.data.rglob("*.dcm")) == []


def test_no_destination(
    make_site: MakeSite, tmp_path: Path, make_node: Callable[..., NodeProcess]
) -> None:
    node = make_node("tests.node.double:compute")
    node.start()
    uid, files = write_series(tmp_path, "a", 1)
    storescu(node.port, files)
    row = node.wait_for_state(uid, "FAILED")
    assert row["code"] == "no-destination"
    assert "SCANNER" in row["reason"]


def test_unknown_callers_can_be_refused(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(accept_unknown_callers=False)
    _, files = write_series(tmp_path, "a", 1)
    assert storescu(site.node.port, files, check=False).returncode != 0
    storescu(site.node.port, files, aet="PACS")


def test_bare_connections_do_not_stay(make_site: MakeSite) -> None:
    site = make_site(max_associations=4)
    for _ in range(20):
        socket.create_connection(("127.0.0.1", site.node.port)).close()
    before = threads(site.node)
    run("echoscu", "127.0.0.1", str(site.node.port))
    wait_for(lambda: threads(site.node) <= before, what="threads ended")


def threads(node: NodeProcess) -> int:
    return len(list(Path(f"/proc/{node.pid}/task").iterdir()))


def test_association_that_breaks_in_mid_series(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    uid, files = write_series(tmp_path, "a", 4)
    proxy_port = cut_after(site.node.port, 3 * files[0].stat().st_size)
    assert storescu(proxy_port, files, check=False).returncode != 0
    storescu(site.node.port, files)
    row = wait_for(
        lambda: found if (found := site.node.wait_for_state(uid, "DONE"))["images"] == 4 else None
    )
    assert row["deliveries"]["pacs"]["state"] == "DELIVERED"


def cut_after(port: int, limit: int) -> int:
    """Forward one connection to a port and cut it after so many bytes; return where to call."""
    server = socket.create_server(("127.0.0.1", 0))

    def forward() -> None:
        client, _ = server.accept()
        target = socket.create_connection(("127.0.0.1", port))
        back = threading.Thread(target=pump, args=(target, client, 1 << 40), daemon=True)
        back.start()
        pump(client, target, limit)
        for item in (client, target, server):
            item.close()

    threading.Thread(target=forward, daemon=True).start()
    return int(server.getsockname()[1])


def pump(source: socket.socket, sink: socket.socket, limit: int) -> None:
    done = 0
    try:
        while done < limit and (data := source.recv(4096)):
            sink.sendall(data)
            done += len(data)
    except OSError:
        return
