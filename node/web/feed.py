"""Live updates: server-sent events that name the series that changed.

References
----------
WHATWG HTML, 9.2 "Server-sent events".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request

from node.web.desk import Changes

MOST_LISTENERS: Final = 64
"""So many pages may listen at a time."""

_LOOK_S: Final = 0.5
_ALIVE_S: Final = 15.0
_RETRY_MS: Final = 3000
_MOST_KEYS: Final = 200


class Feed:
    """Tells browsers what changed, until it is stopped.

    Parameters
    ----------
    changes : Changes
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._listeners = 0
        self._is_stopped = False

    @property
    def is_full(self) -> bool:
        """Whether no more pages may listen."""
        return self._listeners >= MOST_LISTENERS

    def stop(self) -> None:
        """End all streams, so that the server can stop."""
        self._is_stopped = True

    async def stream(self, request: Request, since: int) -> AsyncIterator[str]:
        """Yield an event whenever series changed.

        Parameters
        ----------
        request : Request
        since : int
            The last change that the page knows: what changed while it was
            loading is told at once. A number of an earlier run of the node is
            no number of ours: everything is told.
        """
        self._listeners += 1
        try:
            yield f"retry: {_RETRY_MS}\n\n"
            seen = since if since <= self._changes.number else 0
            alive = time.monotonic()
            while not self._is_stopped and not await request.is_disconnected():
                number = self._changes.number
                if number != seen:
                    keys = self._changes.since(seen)[:_MOST_KEYS]
                    seen, alive = number, time.monotonic()
                    yield f"id: {number}\nevent: series\ndata: {json.dumps({'keys': keys})}\n\n"
                elif time.monotonic() - alive > _ALIVE_S:
                    alive = time.monotonic()
                    yield ": alive\n\n"
                await asyncio.sleep(_LOOK_S)
        finally:
            self._listeners -= 1
