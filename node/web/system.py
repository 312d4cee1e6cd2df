"""What the pages and the REST API show of the node itself."""

from __future__ import annotations

import os
import time

from pydantic import BaseModel

from atlases.entry import entry_of
from node.config import NodeConfig
from node.notify.outbox import standing
from node.web.desk import Desk


class PeerView(BaseModel):
    """A peer of the configuration."""

    name: str
    ae_title: str
    address: str
    has_dicom: bool
    may_send: bool
    destination: bool
    tls: bool
    objects: list[str]


class Remark(BaseModel):
    """Something that is wrong, or that somebody should look at."""

    code: str
    text: str


class TargetView(BaseModel):
    """Somebody who is told what happens, and how many notifications stand how."""

    name: str
    kind: str
    waiting: int
    failed: int


class SystemView(BaseModel):
    """How the node stands; sizes in bytes, times in seconds."""

    ready: bool
    problems: list[Remark]
    warnings: list[Remark]
    series: dict[str, int]
    oldest_s: dict[str, float]
    free_disk: int
    min_free_disk: int
    ae_title: str
    host: str
    port: int
    workers: int
    worker_pids: list[int]
    pid: int
    up_s: float
    versions: dict[str, str]
    atlas: str
    atlas_version: str
    atlas_licence: str
    weights: dict[str, str]
    notifications: list[TargetView]


def peer_views(desk: Desk) -> list[PeerView]:
    """Return the peers in the order of the configuration."""
    return [
        PeerView(
            name=peer.name,
            ae_title=peer.ae_title,
            address=f"{peer.host}:{peer.port}" if peer.has_dicom else str(peer.stow_url),
            has_dicom=peer.has_dicom,
            may_send=peer.may_send,
            destination=peer.destination,
            tls=peer.tls,
            objects=list(peer.objects),
        )
        for peer in desk.config.peers
    ]


def system_view(desk: Desk) -> SystemView:
    """Return how the node stands now."""
    ready, config = desk.readiness(), desk.config
    atlas = entry_of(desk.atlas_folder)
    return SystemView(
        ready=ready.is_ready,
        problems=[Remark(code=item.code, text=item.text) for item in ready.problems],
        warnings=[Remark(code=item.code, text=item.text) for item in ready.warnings],
        series={str(state): count for state, count in ready.counts.items()},
        oldest_s={str(state): round(age, 1) for state, age in ready.oldest_s.items()},
        free_disk=ready.free_disk,
        min_free_disk=config.min_free_disk,
        ae_title=config.ae_title,
        host=config.host,
        port=config.port,
        workers=config.workers,
        worker_pids=sorted(desk.worker_pids()),
        pid=os.getpid(),
        up_s=round(time.time() - desk.started, 1),
        versions=desk.versions,
        atlas=atlas.name,
        atlas_version=atlas.version,
        atlas_licence=atlas.licence,
        weights=desk.weights,
        notifications=_targets(config),
    )


def _targets(config: NodeConfig) -> list[TargetView]:
    counts = standing(config.data_folder, [target.name for target in config.notifications])
    return [
        TargetView(
            name=target.name,
            kind=target.kind,
            waiting=counts[target.name, "waiting"],
            failed=counts[target.name, "failed"],
        )
        for target in config.notifications
    ]
