"""The web part of a node without the rest: a ledger, an inbox, and who hears of arrivals."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from node import history
from node.audit_message import Happened
from node.config import NodeConfig
from node.health import Watchdog
from node.inbox import Inbox
from node.state import (
    DeliveryRecord,
    DeliveryState,
    Generation,
    Ledger,
    SeriesRecord,
    State,
    series_key,
)
from node.web.front import Front, Inside

HOST = "http://localhost"


@dataclass(slots=True)
class Ears:
    """Remembers what the inbox was told."""

    stored_paths: list[Path] = field(default_factory=list)
    associations: list[int] = field(default_factory=list)
    closed_ones: list[int] = field(default_factory=list)

    def stored(self, path: Path, association: int) -> None:
        self.stored_paths.append(path)
        self.associations.append(association)

    def closed(self, association: int) -> None:
        self.closed_ones.append(association)


@dataclass(slots=True)
class Desktop:
    """A web part and what it works on."""

    front: Front
    accounts: list[Happened]
    ledger: Ledger
    ears: Ears
    folder: Path

    def client(self, address: str = HOST, **headers: str) -> TestClient:
        return TestClient(
            self.front.app, base_url=address, headers=headers, follow_redirects=False,
            client=("127.0.0.1", 50000),
        )  # fmt: skip

    def add(self, name: str, state: State = State.DONE, **more: Any) -> SeriesRecord:
        """Add a series of three images that one destination accepted."""
        record = SeriesRecord(
            key=series_key(f"1.2.{name}"),
            series_uid=f"1.2.{name}",
            study_uid="1.2",
            calling_ae="CT1",
            first_received=1000.0,
            last_received=1010.0,
            receiving=state is State.RECEIVING,
        )
        delivery = DeliveryRecord(since=1012.0, attempts=1, state=DeliveryState.DELIVERED,
                                  statuses={"seg.dcm": 0})  # fmt: skip
        generation = Generation(
            number=1,
            images=["a.dcm", "b.dcm", "c.dcm"],
            state=state,
            complete=1011.0,
            last_received=1010.0,
            deliveries={"pacs": delivery} if state is State.DONE else {},
            **more,
        )
        if state is not State.RECEIVING:
            record.generations.append(generation)
        self.ledger.add(record)
        return record

    def wishes(self) -> dict[str, str]:
        """Return what was asked for: file name to content."""
        return {
            path.name: path.read_text() for path in sorted((self.folder / "requests").glob("*"))
        }


def make_desktop(folder: Path, **web: Any) -> Desktop:
    """Build the web part over an empty data folder."""
    config = NodeConfig(
        data_folder=folder,
        min_free_disk=0,
        default_peer="pacs",
        peers=[{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}],  # type: ignore[arg-type]  # pydantic reads it
        notifications=[{"name": "chat", "kind": "webhook", "url": "http://127.0.0.1:9"}],  # type: ignore[arg-type]  # pydantic reads it
        web=web,  # type: ignore[arg-type]  # pydantic reads it
    )
    ledger = Ledger(folder / "series")
    ledger.subscribe(history.note)
    inbox = Inbox(folder, ledger, 0)
    ears = Ears()
    watchdog = Watchdog(config, ledger, inbox.incoming)
    accounts: list[Happened] = []
    front = Front(
        Inside(
            config=config,
            ledger=ledger,
            inbox=inbox,
            listener=ears,
            atlas_folder=folder / "aspects-281",
            readiness=watchdog.readiness,
            worker_pids=lambda: (1, 2),
            account=accounts.append,
        )
    )
    return Desktop(front, accounts, ledger, ears, folder)
