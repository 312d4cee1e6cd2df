"""Names and ports of the demo, and its one error."""

from __future__ import annotations

import socket
from typing import Final

from node.errors import NodeError

HOST: Final = "127.0.0.1"
PEER_AE: Final = "DEMO_PACS"
NODE_AE: Final = "ASPECTS"


class DemoError(NodeError):
    """The demo could not be brought to its end; the message says what to look at."""

    code = "demo"


class NoImagesError(DemoError):
    """The folder holds no DICOM image."""

    code = "demo-no-images"


def free_port() -> int:
    """Return a TCP port of the loopback interface on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
