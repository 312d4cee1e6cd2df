"""A node whose computation takes no time, not started, with a PACS behind it."""

from __future__ import annotations

from tests.node.conftest import make_site, shared_site

__all__ = ["make_site", "shared_site"]
