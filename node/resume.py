"""What an earlier run, or an earlier version, left: taken up when the engine starts.

The ledger says what is to be done, the engine's database what is being done.
Where they differ, because one of them came back from a backup or was lost, the
ledger is right: offering results twice does no harm, not at all would.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from dbos import DBOS

from node.state import DeliveryRecord, DeliveryState, Ledger

LOG = logging.getLogger(__name__)

UNFINISHED: Final = ["ENQUEUED", "DELAYED", "PENDING"]

_MOVES: Final = "moves_to_version"
"""Attribute of a workflow that is on its way to a newer version."""


def adopt_older(version: str, queue_of: Callable[[str], str]) -> None:
    """Begin unfinished workflows of other versions anew, in the steps of this one.

    Each step may be done twice, so beginning anew is safe, where going on in
    other steps is not.

    Parameters
    ----------
    version : str
    queue_of : callable
        Queue of a workflow by its function's name.
    """
    for item in DBOS.list_workflows(status=UNFINISHED, load_input=False, load_output=False):
        if item.app_version not in {version, None}:
            DBOS.update_workflow_attributes(item.workflow_id, {_MOVES: version})
            DBOS.cancel_workflow(item.workflow_id)
    moved = [
        item
        for item in DBOS.list_workflows(status="CANCELLED", load_input=False, load_output=False)
        if _MOVES in (item.attributes or {})
    ]
    for item in moved:
        DBOS.rewind_workflow(
            item.workflow_id, application_version=version, queue_name=queue_of(item.name)
        )
        DBOS.update_workflow_attributes(item.workflow_id, {})
    if moved:
        LOG.info("older_work_adopted", extra={"count": len(moved), "work_version": version})


@dataclass(frozen=True, slots=True)
class Lost:
    """A delivery, or a look at a commitment, that nobody is about to do.

    Attributes
    ----------
    key : str
    number : int
    destination : str
    attempt : int
        Its number, not used before.
    is_look : bool
    """

    key: str
    number: int
    destination: str
    attempt: int
    is_look: bool


def find_lost(ledger: Ledger) -> list[Lost]:
    """Return what the ledger says is to be done and the engine does not know."""
    open_ones = [
        (record.key, generation.number, name, delivery)
        for record in ledger.survey(tuple)
        for generation in record.generations
        for name, delivery in generation.deliveries.items()
        if delivery.state is DeliveryState.WAITING or _is_asked(delivery)
    ]
    if not open_ones:
        return []
    unfinished = {
        item.workflow_id
        for item in DBOS.list_workflows(status=UNFINISHED, load_input=False, load_output=False)
    }
    stems = {name.rpartition("-")[0] for name in unfinished}
    found = []
    for key, number, name, delivery in open_ones:
        is_look = delivery.state is not DeliveryState.WAITING
        stem = f"{key}-{number}-{name}" + ("-look" if is_look else "")
        # the computation enqueues deliveries at its end, a delivery its look
        if f"{key}-{number}" in unfinished or {stem, f"{key}-{number}-{name}"} & stems:
            continue
        attempt = _unused(stem, _count(delivery))
        found.append(Lost(key, number, name, attempt, is_look))
    return found


def _is_asked(delivery: DeliveryRecord) -> bool:
    return delivery.commitment is not None and not delivery.commitment.is_over


def _count(delivery: DeliveryRecord) -> int:
    if delivery.state is DeliveryState.WAITING or delivery.commitment is None:
        return delivery.attempts + 1
    return delivery.commitment.attempts


def _unused(stem: str, number: int) -> int:
    """Return the first number from one on under which nothing was done."""
    found: Any = DBOS.get_workflow_status(f"{stem}-{number}")
    return number if found is None else _unused(stem, number + 1)
