"""The sender's own count, asked of a real archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from node.config import make_config
from node.scu import count_images
from tests.node.conftest import Site
from tests.node.series import study_of, write_series
from tests.peers import Orthanc, peer, storescu

MakeOrthanc = Callable[..., Orthanc]


def test_archive_counts_its_images(make_orthanc: MakeOrthanc, tmp_path: Path) -> None:
    orthanc = make_orthanc({"node": ("ASPECTS", 1)})
    orthanc.start()
    uid, files = write_series(tmp_path, "counted", 3)
    orthanc.add(files)
    config = make_config({"peers": [peer("archive", "ORTHANC", orthanc.port)]}, tmp_path)
    archive = config.peer("archive")
    assert count_images(config, archive, study_of("counted"), uid) == 3
    assert count_images(config, archive, "1.2.3", "1.2.3.4") is None


def test_node_waits_for_what_the_archive_still_holds(
    make_orthanc: MakeOrthanc, make_site: Callable[..., Site], tmp_path: Path
) -> None:
    orthanc = make_orthanc({"node": ("ASPECTS", 1)})
    orthanc.start()
    site = make_site(
        peers=[peer("archive", "ORTHANC", orthanc.port, ask_count=True, destination=False)],
    )
    uid, files = write_series(tmp_path, "slow", 3)
    orthanc.add(files)
    for path in files[:2]:
        storescu(site.node.port, [path], aet="ORTHANC")
    # a series of an unknown sender overtakes it: two images of the first are no series yet
    other, more = write_series(tmp_path, "other", 1)
    storescu(site.node.port, more)
    site.node.wait_for_state(other, "DONE")
    assert site.node.states()[uid] == "RECEIVING"
    storescu(site.node.port, files[2:], aet="ORTHANC")
    row = site.node.wait_for_state(uid, "DONE")
    assert (row["images"], row["generation"]) == (3, 1)
    assert site.node.events("complete", series=uid)[0]["evidence"] == "count"
