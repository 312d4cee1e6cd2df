"""What people ask for by command, done by a running node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.node import double
from tests.node.conftest import Site
from tests.node.series import write_series
from tests.peers import storescu, wait_for

MakeSite = Callable[..., Site]


def test_results_are_sent_again_as_they_were(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    uid, files = write_series(tmp_path, "a", 2)
    storescu(site.node.port, files)
    site.node.wait_for_state(uid, "DONE")
    before = {str(item.SOPInstanceUID) for item in site.pacs.wait_for(2)}
    for path in site.pacs.folder.iterdir():
        path.unlink()  # the archive lost them
    assert site.node.run("resend", uid, "--to", "nobody").returncode == 1
    assert site.node.run("resend", uid, "--to", "pacs").returncode == 0
    assert {str(item.SOPInstanceUID) for item in site.pacs.wait_for(2)} == before
    assert site.node.wait_for_state(uid, "DONE")["deliveries"]["pacs"]["attempts"] == 2


def test_reprocessed_series_keeps_its_uids(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    uid, files = write_series(tmp_path, "a", 2)
    storescu(site.node.port, files)
    site.node.wait_for_state(uid, "DONE")
    before = [(str(item.SOPInstanceUID), item.ContentTime) for item in site.pacs.wait_for(2)]
    assert site.node.run("reprocess", uid).returncode == 0
    site.node.wait_for_event("delivered", series=uid, generation=2)
    again = [(str(item.SOPInstanceUID), item.ContentTime) for item in site.pacs.wait_for(2)]
    assert again == before


def test_delivery_is_cancelled_and_taken_up_again(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(delivery={"first_delay_s": 3600, "longest_delay_s": 3600})
    site.pacs.kill()
    uid, files = write_series(tmp_path, "a", 2)
    storescu(site.node.port, files)
    site.node.wait_for_event("delivery_failed", series=uid)
    assert site.node.run("cancel", uid).returncode == 0
    row = site.node.wait_for_state(uid, "CANCELLED")
    assert row["deliveries"]["pacs"]["next_attempt_s"] is None
    assert site.node.run("cancel", uid).returncode == 1

    site.pacs.start()
    assert site.node.run("retry", uid).returncode == 0
    site.node.wait_for_state(uid, "DONE")


def test_computation_is_cancelled(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(compute_attempts=1, compute_time_limit_s=10)
    hung, files = write_series(tmp_path, "a", 2, protocol=double.HANG)
    storescu(site.node.port, files)
    site.node.wait_for_state(hung, "COMPUTING")
    queued, more = write_series(tmp_path, "b", 2)
    storescu(site.node.port, more)
    site.node.wait_for_state(queued, "QUEUED")
    assert site.node.run("cancel", queued).returncode == 0
    site.node.wait_for_state(queued, "CANCELLED")
    last, rest = write_series(tmp_path, "c", 2)
    storescu(site.node.port, rest)
    site.node.wait_for_state(last, "DONE")
    assert site.node.states()[queued] == "CANCELLED"
    assert not site.node.events("computed", series=queued)
    wait_for(lambda: site.node.events("failed", series=hung), what="the hung one has failed")
