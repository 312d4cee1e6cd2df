"""``serve --role web``: the pages of a node that another process is."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.config import NodeConfig
from node.errors import ConfigError
from node.mirror import Mirror
from node.state import Ledger, SeriesRecord, series_key
from node.web.viewer import Viewer
from tests.node.conftest import DOUBLE
from tests.node.series import write_series
from tests.peers import NodeProcess, Peer, StoreScp, free_port, peer, storescu, wait_for


def test_pages_show_what_the_node_does_and_pass_wishes_on(
    make_node: Callable[..., NodeProcess], pacs: StoreScp, peers: list[Peer], tmp_path: Path
) -> None:
    node = make_node(DOUBLE, default_peer="pacs", peers=[peer("pacs", "PACS", pacs.port)])
    node.start()
    viewer = _viewer(node, tmp_path)
    peers.append(viewer)
    Peer.start(viewer)
    assert _ask(viewer, "series")["total"] == 0

    uid, files = write_series(tmp_path / "ct", "shown")
    storescu(node.port, files)
    key = series_key(uid)
    wait_for(lambda: _state(viewer, key) == "DONE", 20.0, "it is shown as done")
    assert _ask(viewer, f"series/{key}/resend", b"{}") is not None
    wait_for(lambda: len(node.events("delivered", series=uid)) == 2, 20.0, "it was sent again")
    with pytest.raises(urllib.error.HTTPError) as refused:
        _ask(viewer, "uploads", b"")
    with refused.value as answer:
        assert answer.code == 503
    assert _ask(viewer, "system")["ready"]
    # the lock of the node is its own
    assert viewer.stop() == 0
    assert not [item for item in node.events("look_failed")]


def _viewer(node: NodeProcess, folder: Path) -> NodeProcess:
    port = free_port()
    config = {"atlas_folder": _atlas_of(node), "data_folder": str(node.data), "web": {"port": port}}
    found = NodeProcess(folder / "viewer", config)
    found._arguments += ["--role", "web"]
    found.port = port
    return found


def _atlas_of(node: NodeProcess) -> str:
    lines = node.config_file.read_text().splitlines()
    return str(json.loads(next(item for item in lines if "atlas_folder" in item).split(" = ")[1]))


def _ask(viewer: NodeProcess, path: str, body: bytes | None = None) -> Any:
    headers = {"Content-Type": "application/json"} if body else {}
    request = urllib.request.Request(
        f"http://127.0.0.1:{viewer.port}/api/v1/{path}", data=body, headers=headers
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"{}")


def _state(viewer: NodeProcess, key: str) -> str:
    found = [item for item in _ask(viewer, "series")["series"] if item["key"] == key]
    return str(found[0]["state"]) if found else ""


def test_mirror_follows_what_is_added_changed_and_removed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "series")
    mirror = Mirror(tmp_path / "series")
    heard: list[tuple[bool, str]] = []
    mirror.subscribe(lambda before, after: heard.append((before is None, after.series_uid)))
    record = SeriesRecord(
        key="k", series_uid="", calling_ae="A", first_received=1.0, last_received=1.0
    )
    ledger.add(record)
    mirror.refresh()
    with ledger.change("k") as changed:
        changed.series_uid = "1.2.3"
    mirror.refresh()
    mirror.refresh()
    assert heard == [(True, ""), (False, "1.2.3")]
    found = mirror.get("k")
    assert found is not None
    assert found.series_uid == "1.2.3"
    (tmp_path / "trash").mkdir()
    assert ledger.remove("k", tmp_path / "trash", lambda _: True)
    mirror.refresh()
    assert mirror.keys_of_all() == ()


def test_there_has_to_be_something_to_show(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no node has worked"):
        Viewer(NodeConfig(data_folder=tmp_path))
    with pytest.raises(ConfigError, match="switched off"):
        Viewer(NodeConfig.model_validate({"data_folder": tmp_path, "web": {"enabled": False}}))
