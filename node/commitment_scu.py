"""Storage commitment for our results: the destination says that it keeps them.

Asked after delivery, with a new Transaction UID each time. The answer comes on
the same association or on one of the peer's, now or hours later; it is matched
by its Transaction UID. What the peer does not keep is sent again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from pynetdicom import evt

from node import scu
from node.config import NodeConfig
from node.errors import ConfigError, PeerError
from node.objects import is_note
from node.state import Commitment, CommitState, DeliveryRecord, DeliveryState, Ledger, State

LOG = logging.getLogger(__name__)

_SUCCESS: Final = 0x0000
_INVALID_OBJECT_INSTANCE: Final = 0x0117
_ARRIVED: Final = frozenset({DeliveryState.DELIVERED, DeliveryState.PARTLY})


@dataclass(slots=True)
class CommitmentScu:
    """Asks destinations and takes their answers.

    Parameters
    ----------
    config : NodeConfig
    ledger : Ledger
    """

    config: NodeConfig
    ledger: Ledger

    def ask(self, key: str, number: int, destination: str) -> int | None:
        """Ask once whether a destination keeps the results, where that is wanted.

        Returns
        -------
        int or None
            How often it was asked by now: look again later; None when there is
            nothing more to ask.
        """
        transaction = str(generate_uid())
        names = self._begin(key, number, destination, transaction)
        if names is None:
            return None
        folder = self.ledger.results(key, number)
        try:
            scu.request_commitment(
                self.config,
                self.config.peer(destination),
                _request(transaction, [dcmread(folder / name) for name in names]),
                self.on_report,
            )
        except (PeerError, ConfigError) as error:
            LOG.warning(
                "commitment_not_asked",
                extra={
                    "destination": destination,
                    "transaction": transaction,
                    "code": error.code,
                    "reason": str(error),
                },
            )
        record = self.ledger.get(key)
        delivery = record.generation(number).deliveries[destination] if record else None
        return delivery.commitment.attempts if delivery and delivery.commitment else None

    def to_send_again(self, key: str, number: int, destination: str) -> int | None:
        """Return the number of the next attempt to deliver what was not kept, or None."""
        record = self.ledger.get(key)
        delivery = record.generation(number).deliveries[destination] if record else None
        is_waiting = delivery is not None and delivery.state is DeliveryState.WAITING
        return delivery.attempts + 1 if delivery is not None and is_waiting else None

    def _begin(self, key: str, number: int, destination: str, transaction: str) -> list[str] | None:
        """Note the new transaction; None where there is nothing to ask."""
        if not any(peer.name == destination and peer.commit for peer in self.config.peers):
            return None
        if self.ledger.get(key) is None:  # it was deleted meanwhile
            return None
        with self.ledger.change(key) as record:
            delivery = record.generation(number).deliveries[destination]
            before = delivery.commitment or Commitment(transaction="")
            if delivery.state not in _ARRIVED or before.is_over:
                return None
            if before.attempts < self.config.delivery.commit_attempts:
                attempts = before.attempts + 1
                delivery.commitment = Commitment(transaction=transaction, attempts=attempts)
                return delivery.stored
            delivery.commitment = before.model_copy(update={"state": CommitState.FAILED})
        # said once it is on disk
        LOG.error("not_committed", extra={"series": record.series_uid, "destination": destination})
        return None

    def on_report(self, event: evt.Event) -> tuple[int, None]:
        """Take an answer (N-EVENT-REPORT), on whatever association it comes."""
        report = event.event_information
        transaction = str(report.get("TransactionUID", ""))
        found = self._find(transaction)
        if found is None:
            LOG.warning("unknown_commitment", extra={"transaction": transaction})
            return _INVALID_OBJECT_INSTANCE, None
        failed = {
            str(item.ReferencedSOPInstanceUID) for item in report.get("FailedSOPSequence", [])
        }
        self._keep(*found, failed)
        return _SUCCESS, None

    def _find(self, transaction: str) -> tuple[str, int, str] | None:
        for key in self.ledger.keys_of_all():
            record = self.ledger.get(key)
            for generation in record.generations if record else ():
                for name, delivery in generation.deliveries.items():
                    if delivery.commitment and delivery.commitment.transaction == transaction:
                        return key, generation.number, name
        return None

    def _keep(self, key: str, number: int, destination: str, failed: set[str]) -> None:
        folder = self.ledger.results(key, number)
        with self.ledger.change(key) as record:
            generation = record.generation(number)
            delivery = generation.deliveries[destination]
            if delivery.commitment is None:
                return
            if failed:
                _forget(delivery, {n for n in delivery.statuses if _uid(folder / n) in failed})
                if not is_note(generation.objects):
                    generation.state = State.DELIVERING
            else:
                delivery.commitment.state = CommitState.COMMITTED
        LOG.info(
            "commitment_failed" if failed else "committed",
            extra={
                "series": record.series_uid,
                "generation": number,
                "destination": destination,
                "missing": len(failed),
            },
        )


def _request(transaction: str, results: list[Dataset]) -> Dataset:
    request = Dataset()
    request.TransactionUID = transaction
    request.ReferencedSOPSequence = []
    for result in results:
        item = Dataset()
        item.ReferencedSOPClassUID = result.SOPClassUID
        item.ReferencedSOPInstanceUID = result.SOPInstanceUID
        request.ReferencedSOPSequence.append(item)
    return request


def _forget(delivery: DeliveryRecord, names: set[str]) -> None:
    """Let objects be sent again."""
    for name in names:
        del delivery.statuses[name]
    delivery.state = DeliveryState.WAITING


def _uid(path: Path) -> str:
    return str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
