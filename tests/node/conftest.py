"""A node whose computation takes no time, with a PACS of dcmtk behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.peers import NodeProcess, StoreScp, peer, tool

DOUBLE = "tests.node.double:compute"


@dataclass(slots=True)
class Site:
    """A node and the peer to which its results go."""

    node: NodeProcess
    pacs: StoreScp


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory, atlas_folder: Path) -> Iterator[Site]:
    """A site for tests that only add series of their own to it."""
    if tool("storescp") is None:
        pytest.skip("not installed: dcmtk")
    folder = tmp_path_factory.mktemp("site")
    pacs = StoreScp(folder / "pacs")
    node = NodeProcess(
        folder / "node",
        {
            "atlas_folder": str(atlas_folder),
            "default_peer": "pacs",
            "peers": [
                peer("pacs", "PACS", pacs.port),
                peer("banned", "BANNED", 104, may_send=False),
            ],
        },
        DOUBLE,
    )
    try:
        pacs.start()
        node.start()
        yield Site(node, pacs)
    finally:
        node.kill()
        pacs.kill()


@pytest.fixture
def make_site(pacs: StoreScp, make_node: Callable[..., NodeProcess]) -> Callable[..., Site]:
    """Return a function that starts a node of its own for a test."""

    def make(**config: Any) -> Site:
        peers = config.pop("peers", [])
        node = make_node(
            DOUBLE,
            default_peer="pacs",
            peers=[peer("pacs", "PACS", pacs.port), *peers],
            **config,
        )
        node.start()
        return Site(node, pacs)

    return make
