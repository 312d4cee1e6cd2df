"""A node with unfinished work, brought back: from a backup, without its database, upgraded."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from node.backup import back_up
from node.cli import main
from node.errors import ConfigError
from node.state import RECORD, RECORD_FORMAT, Ledger, SeriesRecord, read_records, series_key
from tests.node.conftest import DOUBLE
from tests.node.double import HOLD
from tests.node.series import write_series
from tests.peers import (
    NodeProcess,
    Peer,
    StoreScp,
    free_port,
    peer,
    storescu,
    tool,
    wait_for,
)

pytestmark = pytest.mark.timeout(120)

LIMIT_S = 40.0


def _nothing(data: Path) -> None:
    assert json.loads((data / "backup.json").read_text())["files"] > 0


def _lose_database(data: Path) -> None:
    (data / "work.sqlite").unlink()


def _make_older(data: Path) -> None:
    with closing(sqlite3.connect(data / "work.sqlite")) as connection, connection:
        old = connection.execute(
            "UPDATE workflow_status SET application_version = '0' "
            "WHERE status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
        )
        assert old.rowcount >= 3
    # records of before they had a format
    for path in (data / "series").glob(f"*/{RECORD}"):
        values = json.loads(path.read_text())
        assert values.pop("record_format") == RECORD_FORMAT
        path.write_text(json.dumps(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left of a node: a backup."""

    backup: Path
    config: dict[str, Any]
    uids: dict[str, str]
    pacs: StoreScp
    down: int


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory, atlas_folder: Path) -> Iterator[Left]:
    """A backup of a node with a series on its way, one in work and one in the queue."""
    if tool("storescp") is None:
        pytest.skip("not installed: dcmtk")
    folder = tmp_path_factory.mktemp("left")
    pacs, down = StoreScp(folder / "pacs"), free_port()
    config = {
        "atlas_folder": str(atlas_folder),
        "default_peer": "pacs",
        "also_send_to": ["down"],
        "peers": [peer("pacs", "PACS", pacs.port), peer("down", "DOWN", down)],
        "delivery": {"first_delay_s": 0.2, "longest_delay_s": 1.0},
    }
    node = NodeProcess(folder / "node", config, DOUBLE)
    try:
        pacs.start()
        node.start()
        uids = _fill(node, folder)
        answer = node.run("backup", "--out", str(folder / "backup"))
        assert answer.returncode == 0, answer.stderr
        node.kill()
        yield Left(backup=folder / "backup", config=config, uids=uids, pacs=pacs, down=down)
    finally:
        node.kill()
        pacs.kill()


def _fill(node: NodeProcess, folder: Path) -> dict[str, str]:
    uids = {}
    for name, protocol, state in (
        ("sent", "", "DELIVERING"), ("held", HOLD, "COMPUTING"), ("queued", "", "QUEUED"),
    ):  # fmt: skip
        uids[name], files = write_series(folder / "ct", name, protocol=protocol)
        storescu(node.port, files)
        node.wait_for_state(uids[name], state)
        if name == "held":
            results = node.data / "series" / series_key(uids[name]) / "results"
            wait_for((results / "tried").exists)
    node.wait_for_event("delivered", series=uids["sent"], destination="pacs")
    return uids


@pytest.mark.parametrize("change", [_nothing, _lose_database, _make_older])
def test_unfinished_work_is_finished_elsewhere(
    change: Callable[[Path], None], left: Left, peers: list[Peer], tmp_path: Path
) -> None:
    node = NodeProcess(tmp_path / "node", left.config, DOUBLE)
    second = StoreScp(tmp_path / "down", left.down)
    peers += [second, node]
    shutil.copytree(left.backup, node.data)
    change(node.data)
    second.start()
    node.start()

    uids = left.uids
    for uid in uids.values():
        node.wait_for_state(uid, "DONE", LIMIT_S)
    at_first = {str(item.SOPInstanceUID) for item in left.pacs.wait_for(6)}
    at_second = {str(item.SOPInstanceUID) for item in second.wait_for(6)}
    assert len(at_first) == 6
    assert at_first == at_second
    assert {uid: len(node.events("computed", series=uid)) for uid in uids.values()} == {
        uids["sent"]: 0, uids["held"]: 1, uids["queued"]: 1,
    }  # fmt: skip
    assert len(node.events("older_work_adopted")) == (change is _make_older)


def test_backup_is_refused_where_it_would_harm(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no node has worked"):
        back_up(tmp_path / "none", tmp_path / "out")
    data = tmp_path / "data"
    Ledger(data / "series")
    with pytest.raises(ConfigError, match="lies in the data folder"):
        back_up(data, data / "out")
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigError, match="there already"):
        back_up(data, tmp_path / "there")


def test_record_of_a_newer_version_is_not_passed_over(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "series")
    ledger.add(SeriesRecord(key="k", series_uid="1.2", calling_ae="A", first_received=1.0,
                            last_received=1.0, record_format=RECORD_FORMAT + 1))  # fmt: skip
    with pytest.raises(ConfigError, match="a newer version wrote"):
        read_records(tmp_path / "series")
    config = tmp_path / "node.toml"
    config.write_text(f'data_folder = "{tmp_path}"\n')
    answer = CliRunner().invoke(main, ["status", "--config", str(config)])
    assert answer.exit_code == 2
    assert "a newer version wrote" in answer.stderr
