"""Notice that the clock was set back: what waits for a time would wait too long."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final, Protocol

from node.config import Delivery
from node.state import DeliveryState, Generation, Ledger, SeriesRecord, now_s

LOG: Final = logging.getLogger(__name__)
_EVERY: Final = 10
"""Looks, not seconds: a clock that was set back would keep this waiting too."""
_SPARE_S: Final = 2.0


class Hurries(Protocol):
    """What can make an attempt begin now."""

    def hurry(self, key: str, number: int, destination: str, attempt: int) -> None:
        """Make an attempt that waits for its time begin now."""


class ClockWatch:
    """Makes deliveries begin that wait for longer than any delay lasts.

    Parameters
    ----------
    settings : Delivery
    ledger : Ledger
    engine : Hurries
    """

    def __init__(self, settings: Delivery, ledger: Ledger, engine: Hurries) -> None:
        self._longest_s = settings.longest_delay_s * (1 + settings.jitter) + _SPARE_S
        self._ledger = ledger
        self._engine = engine
        self._looks = 0

    def look(self) -> None:
        """Look at every tenth call."""
        self._looks += 1
        if self._looks % _EVERY:
            return
        latest = now_s() + self._longest_s
        for record in self._ledger.survey(tuple):
            for generation, destination, attempt in _waiting_beyond(record, latest):
                LOG.warning(
                    "clock_set_back",
                    extra={"series": record.series_uid, "destination": destination},
                )
                self._engine.hurry(record.key, generation.number, destination, attempt)


def _waiting_beyond(record: SeriesRecord, latest: float) -> Iterator[tuple[Generation, str, int]]:
    """Yield the attempts of a series that are to begin after a time."""
    for generation in record.generations:
        for name, delivery in generation.deliveries.items():
            at = delivery.next_attempt
            if delivery.state is DeliveryState.WAITING and at is not None and at > latest:
                yield generation, name, delivery.attempts + 1
