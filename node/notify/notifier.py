"""Hears what happens and sees that everybody who wants to know is told.

Nothing waits for it: a notice is written to disk where the change is made, and
sent by a thread of its own for each target.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from node import history
from node.config import NodeConfig
from node.notify.notice import NOTIFIED, Notice, event_for, notices
from node.notify.outbox import Outbox
from node.notify.sender import Sender
from node.state import Happening, SeriesRecord, now_s

LOG = logging.getLogger(__name__)

_JOIN_S: Final = 3.0
"""For all together: one that hangs must not keep the node from stopping."""


class Notifier:
    """The targets of ``[[notifications]]``, with what waits for each.

    Parameters
    ----------
    config : NodeConfig
    """

    def __init__(self, config: NodeConfig) -> None:
        self._senders = [
            Sender(config, target, Outbox(config.data_folder, target.name))
            for target in config.notifications
        ]

    def start(self) -> None:
        """Send what waits, and what will come."""
        for sender in self._senders:
            sender.start()

    def stop(self) -> None:
        """Stop; what waits is sent after the next start."""
        for sender in self._senders:
            sender.ask_to_stop()
        deadline = time.monotonic() + _JOIN_S
        for sender in self._senders:
            sender.join(max(0.0, deadline - time.monotonic()))

    def hear(self, before: SeriesRecord | None, after: SeriesRecord) -> None:
        """Keep what there is to tell of a change; listens to a `node.state.Ledger`."""
        if not self._senders:
            return
        try:
            for notice in notices(before, after):
                self._keep(after, notice)
        except Exception:  # whoever receives and delivers must not fail for this
            LOG.exception("notification_not_kept", extra={"series": after.series_uid})

    def _keep(self, record: SeriesRecord, notice: Notice) -> None:
        told = []
        for sender in self._senders:
            event = event_for(sender.target, notice)
            if event is not None:
                sender.take(notice.model_copy(update={"event": event}))
                told.append(sender.target.name)
        if told:
            detail = f"{notice.event} to {', '.join(told)}"
            line = Happening(at=now_s(), what=NOTIFIED, detail=detail, generation=notice.generation)
            history.add(record, line)
