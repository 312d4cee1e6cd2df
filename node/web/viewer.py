"""The pages alone, of a node whose other parts run elsewhere."""

from __future__ import annotations

import logging
import time
from typing import Final

from node.atlas_choice import checked_atlas
from node.audit import AuditTrail
from node.config import NodeConfig
from node.errors import ConfigError
from node.health import Watchdog
from node.mirror import Mirror
from node.web.front import Front, Inside

LOG = logging.getLogger(__name__)

_SHARE: Final = 20
"""Of the time at most one part in so many goes into looking for changes."""


class Viewer:
    """Shows the data folder of a node, and leaves wishes there.

    Parameters
    ----------
    config : NodeConfig
        Of the node, but for ``[web]``.

    Raises
    ------
    ConfigError
        There is nothing to show, or nowhere to show it.
    AtlasError
        The atlas is missing or altered.
    """

    def __init__(self, config: NodeConfig) -> None:
        folder = config.data_folder
        if not config.web.enabled:
            raise ConfigError("web.enabled: this role shows the pages, and they are switched off")
        if not (folder / "series").is_dir() or not (folder / "incoming").is_dir():
            raise ConfigError(f"data_folder: no node has worked in {folder} yet")
        self._config = config
        self.ledger = Mirror(folder / "series")
        self.audit = AuditTrail(config)
        self._watchdog = Watchdog(config, self.ledger, folder / "incoming")
        self._front = Front(
            Inside(
                config=config,
                ledger=self.ledger,
                inbox=None,
                listener=None,
                atlas_folder=checked_atlas(config),
                readiness=self._watchdog.readiness,
                worker_pids=tuple,
                account=self.audit.note,
            )
        )
        self._next_look = 0.0

    def start(self) -> None:
        """Listen.

        Raises
        ------
        ConfigError
            The address cannot be listened on.
        """
        web = self._config.web
        if not self._front.start():
            raise ConfigError(f"web: {web.host}:{web.port} cannot be listened on")

    def look(self) -> None:
        """Read what changed."""
        start = time.monotonic()
        if start < self._next_look:
            return
        try:
            self.ledger.refresh()
        except OSError:
            LOG.exception("look_failed")
        end = time.monotonic()
        self._next_look = end + _SHARE * (end - start)

    def stop(self) -> None:
        """Stop listening."""
        self._front.stop()
        self.audit.stop()
        LOG.info("stopped")
