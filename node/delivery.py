"""Where results go, and when they are offered again."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

from node import scu, stow
from node.config import Delivery, NodeConfig
from node.errors import ConfigError, ContextRefusedError, PeerError
from node.objects import DEFAULT_OBJECTS, is_note, plans
from node.state import (
    DeliveryRecord,
    DeliveryState,
    Generation,
    Ledger,
    SeriesRecord,
    State,
    now_s,
    state_after,
)
from node.status import SOP_CLASS_NOT_SUPPORTED

LOG = logging.getLogger(__name__)


def destinations(config: NodeConfig, calling_ae: str) -> tuple[str, ...]:
    """Return the names of the peers that get the results of a series.

    The peer that sent it, known by its AE title, else the default peer; then
    those of ``also_send_to``.

    Parameters
    ----------
    config : NodeConfig
    calling_ae : str
        AE title of the application that sent the series.
    """
    origin = config.peer_of(calling_ae)
    first = origin.name if origin is not None and origin.destination else config.default_peer
    names = [*([first] if first else []), *config.also_send_to]
    return tuple(dict.fromkeys(names))


def delay_s(settings: Delivery, attempts: int, rng: random.Random) -> float:
    """Return how long to wait after that many failed attempts.

    Examples
    --------
    >>> settings = Delivery(first_delay_s=5, factor=2, longest_delay_s=60, jitter=0)
    >>> [delay_s(settings, attempts, random.Random()) for attempts in (1, 2, 3, 9)]
    [5.0, 10.0, 20.0, 60.0]
    """
    # an exponent beyond 64 would overflow long after the cap is reached
    exponent = min(attempts - 1, 64)
    capped = min(settings.first_delay_s * settings.factor**exponent, settings.longest_delay_s)
    return capped * rng.uniform(1 - settings.jitter, 1 + settings.jitter)


@dataclass(slots=True)
class Deliverer:
    """Offers results to destinations and keeps the outcome of each object.

    Parameters
    ----------
    config : NodeConfig
    ledger : Ledger
    rng : random.Random
        For the jitter.
    """

    config: NodeConfig
    ledger: Ledger
    rng: random.Random

    def attempt(self, key: str, number: int, destination: str) -> float | None:
        """Offer what the destination does not have yet, once.

        Returns
        -------
        float or None
            Seconds until the next attempt; None when there is nothing more to do.
        """
        waiting = self._waiting(key, number, destination)
        if waiting is None:
            return None
        try:
            self._send(key, number, destination, waiting)
        except ContextRefusedError as error:
            if not self._has_some(key, number, destination):
                return self._failed(key, number, destination, (error.code, str(error)))
            # it took the others, on another association
            self._note_refused(key, number, destination, waiting[0])
        except (PeerError, ConfigError) as error:
            return self._failed(key, number, destination, (error.code, str(error)))
        except Exception as error:  # a defect must not end the delivery for ever
            LOG.exception("delivery_defect")
            reason = f"{type(error).__name__} while sending"
            return self._failed(key, number, destination, ("internal", reason))
        self._delivered(key, number, destination)
        return None

    def _send(self, key: str, number: int, destination: str, choices: list[list[str]]) -> None:
        def on_object(name: str, status: int) -> None:
            with self.ledger.change(key) as record:
                record.generation(number).deliveries[destination].statuses[name] = status

        if all(choices):  # one is empty where a crash came between the last answer and its record
            folder = self.ledger.results(key, number)
            paths = [[folder / name for name in names] for names in choices]
            peer = self.config.peer(destination)
            send = scu.send if peer.stow_url is None else stow.send
            send(self.config, peer, paths, on_object)

    def _waiting(self, key: str, number: int, destination: str) -> list[list[str]] | None:
        """Return what to send, the best choice first; None where the delivery is at its end."""
        with self.ledger.change(key) as record:
            generation = record.generation(number)
            delivery = generation.deliveries[destination]
            if delivery.state is not DeliveryState.WAITING:
                return None
            if _has_newer_results(record, number):
                delivery.state = DeliveryState.SUPERSEDED
                if not is_note(generation.objects):
                    generation.state = State.SUPERSEDED
                return None
            delivery.attempts += 1
            delivery.begun, delivery.next_attempt = now_s(), None
            choices = self._choices(destination, generation.objects)
            return [[name for name in names if name not in delivery.stored] for names in choices]

    def _has_some(self, key: str, number: int, destination: str) -> bool:
        record = self.ledger.get(key)
        return record is not None and bool(record.generation(number).deliveries[destination].stored)

    def _note_refused(self, key: str, number: int, destination: str, names: list[str]) -> None:
        with self.ledger.change(key) as record:
            delivery = record.generation(number).deliveries[destination]
            delivery.statuses.update(dict.fromkeys(names, SOP_CLASS_NOT_SUPPORTED))

    def _choices(self, destination: str, made: list[str]) -> list[list[str]]:
        """Return the plans for a destination, of what was made."""
        if is_note(made):
            return [made]
        peers = [peer for peer in self.config.peers if peer.name == destination]
        # a peer that is no longer configured is reported when it is sent to
        wanted = plans(peers[0].objects if peers else DEFAULT_OBJECTS)
        whole = [list(names) for names in wanted if set(names) <= set(made)]
        if whole:
            return whole
        # the configuration changed after the computation: send what there is of it
        best = max(wanted, key=lambda names: len(set(names) & set(made)))
        return [[name for name in best if name in made]]

    def _failed(
        self, key: str, number: int, destination: str, why: tuple[str, str]
    ) -> float | None:
        settings = self.config.delivery
        with self.ledger.change(key) as record:
            generation = record.generation(number)
            delivery = generation.deliveries[destination]
            delivery.code, delivery.reason = why
            delay = delay_s(settings, delivery.attempts, self.rng)
            given_up = now_s() + delay > delivery.since + settings.give_up_after_s
            if given_up:
                delivery.state = DeliveryState.FAILED
                _settle(generation)
            else:
                delivery.next_attempt = now_s() + delay
        LOG.warning(
            "delivery_given_up" if given_up else "delivery_failed",
            extra={
                "series": record.series_uid,
                "generation": number,
                "destination": destination,
                "attempt": delivery.attempts,
                "code": delivery.code,
                "reason": delivery.reason,
                "seconds": None if given_up else round(delay, 1),
            },
        )
        return None if given_up else delay

    def _delivered(self, key: str, number: int, destination: str) -> None:
        with self.ledger.change(key) as record:
            generation = record.generation(number)
            delivery = generation.deliveries[destination]
            choices = self._choices(destination, generation.objects)
            delivery.state, delivery.code, delivery.reason = _ended(delivery, choices)
            _settle(generation)
        LOG.info(
            "delivered" if delivery.state is DeliveryState.DELIVERED else "delivered_partly",
            extra={
                "series": record.series_uid,
                "generation": number,
                "destination": destination,
                "attempt": delivery.attempts,
                "objects": delivery.stored,
                "reason": delivery.reason,
                "seconds_since_last_image": round(now_s() - generation.last_received, 3),
            },
        )


def _ended(delivery: DeliveryRecord, choices: list[list[str]]) -> tuple[DeliveryState, str, str]:
    """Return state, code and reason of a delivery of which nothing more is to be sent."""
    missing = min(
        ([name for name in names if name not in delivery.stored] for names in choices), key=len
    )
    if not missing:
        return DeliveryState.DELIVERED, "", ""
    reason = f"the destination does not take the SOP class of {', '.join(missing)}"
    return DeliveryState.PARTLY, "sop-class-refused", reason


def _settle(generation: Generation) -> None:
    """Set the state that follows from the deliveries; a note changes none."""
    if not is_note(generation.objects):
        generation.state = state_after(list(generation.deliveries.values()))


def _has_newer_results(record: SeriesRecord, number: int) -> bool:
    newer = (item for item in record.generations if item.number > number)
    return any(item.state in {State.DELIVERING, State.DONE} for item in newer)
