"""Shared data and real peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers import SHARED_DATA, NodeProcess, Orthanc, Peer, StoreScp, tool


def _needs(*names: str) -> None:
    if missing := [name for name in names if tool(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data."""
    if not SHARED_DATA.is_dir():
        pytest.skip("there is no ../shared/data beside the repository")
    return SHARED_DATA.resolve()


@pytest.fixture(scope="session")
def ct_ge(shared_data: Path) -> list[Path]:
    """One real head CT, 28 files."""
    return sorted((shared_data / "ct-ge").glob("*.dcm"))


@pytest.fixture(scope="session")
def atlas_folder(shared_data: Path) -> Path:
    """The real atlas, as its own folder."""
    return shared_data / "aspects-281"


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    """Processes that are stopped when the test ends, the last one first."""
    started: list[Peer] = []
    yield started
    for item in reversed(started):
        item.kill()


@pytest.fixture
def pacs(tmp_path: Path, peers: list[Peer]) -> StoreScp:
    """A running storescp of dcmtk."""
    _needs("storescp", "storescu")
    found = StoreScp(tmp_path / "pacs")
    peers.append(found)
    found.start()
    return found


@pytest.fixture
def make_orthanc(tmp_path: Path, peers: list[Peer]) -> Callable[..., Orthanc]:
    """Return a function that makes an Orthanc that is not started."""
    _needs("Orthanc")

    def make(modalities: dict[str, tuple[str, int]], name: str = "orthanc", **more: Any) -> Orthanc:
        found = Orthanc(tmp_path / name, modalities, **more)
        peers.append(found)
        return found

    return make


@pytest.fixture
def make_node(tmp_path: Path, peers: list[Peer], atlas_folder: Path) -> Callable[..., NodeProcess]:
    """Return a function that makes a node that is not started."""

    def make(compute: str | None = None, name: str = "node", **config: Any) -> NodeProcess:
        values = {"atlas_folder": str(atlas_folder), **config}
        found = NodeProcess(tmp_path / name, values, compute)
        peers.append(found)
        return found

    return make
