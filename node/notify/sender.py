"""Sends what waits for one target, with growing delays while it cannot."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Final

from node.config import NodeConfig
from node.delivery import delay_s
from node.errors import NodeError, NotificationRefusedError, PeerTimeoutError
from node.notify.fhir import send_fhir
from node.notify.mail import send_mail
from node.notify.message import Message, gather
from node.notify.notice import Notice
from node.notify.outbox import Outbox
from node.notify.settings import Kind, Notification
from node.notify.webhook import send_webhook
from node.state import now_s

LOG = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
"""Other processes write notices, too, and a clock may be set."""


def _send_oru(target: Notification, message: Message) -> None:
    # few need HL7, and its tables take memory
    from node.notify.oru import send_oru

    send_oru(target, message)


_SENDS: Final[dict[Kind, Callable[[Notification, Message], None]]] = {
    "webhook": send_webhook,
    "mail": send_mail,
    "hl7": _send_oru,
    "fhir": send_fhir,
}


class Sender:
    """Tells one target, in the order in which things happened.

    Parameters
    ----------
    config : NodeConfig
    target : Notification
    outbox : Outbox
    """

    def __init__(self, config: NodeConfig, target: Notification, outbox: Outbox) -> None:
        self.target = target
        self._config = config
        self._outbox = outbox
        self._random = random.Random()  # noqa: S311 - jitter is no secret
        self._pause_until = 0.0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"notify-{target.name}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()
        self._wake.set()

    def join(self, limit_s: float) -> None:
        """Wait until it stopped, for a while; what is not acknowledged is sent again."""
        if self._thread.ident is not None:
            self._thread.join(limit_s)

    def take(self, notice: Notice) -> None:
        """Keep a notice durably; it is sent soon.

        Raises
        ------
        OSError
            It is not on disk.
        """
        self._outbox.put(notice)
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                if self._outbox.claim():
                    self.send_due()
            except Exception:  # a full disk, say: it goes on when that is over
                LOG.exception("notifying_failed", extra={"destination": self.target.name})
            self._wake.wait(_LOOK_S)
        self._outbox.release()

    def send_due(self) -> None:
        """Send what is due, until the target cannot be reached."""
        if not self._is_due(self._pause_until):
            return
        for notice in self._outbox.waiting():
            if self._stopping.is_set():
                return
            if self._is_due(notice.next_attempt) and not self._try(notice):
                return

    def _is_due(self, at: float) -> bool:
        """Tell whether a time has come; one beyond any delay is of a clock that was set back."""
        now = now_s()
        return not now < at <= now + 2 * self._config.delivery.longest_delay_s

    def _try(self, notice: Notice) -> bool:
        """Send one notice; False where the target cannot be reached."""
        attempt = notice.attempts + 1
        extra = {
            "series": notice.series_uid,
            "destination": self.target.name,
            "attempt": attempt,
            "ending": notice.event,
        }
        try:
            _SENDS[self.target.kind](self.target, gather(self._config, self.target, notice))
        except NotificationRefusedError as error:
            LOG.error(  # noqa: TRY400 - its place says nothing
                "notification_refused",
                extra={**extra, "code": error.code, "reason": str(error)},
            )
            self._outbox.put_aside(notice)
        except NodeError as error:
            self._later(notice, attempt, {**extra, "code": error.code, "reason": str(error)})
            return not isinstance(error, PeerTimeoutError)
        except Exception as error:
            LOG.exception("notification_defect", extra=extra)
            reason = f"{type(error).__name__} in the node"
            self._later(notice, attempt, {**extra, "code": "internal", "reason": reason})
        else:
            self._outbox.remove(notice)
            LOG.info("notified", extra=extra)
        return True

    def _later(self, notice: Notice, attempt: int, extra: dict[str, object]) -> None:
        delay = delay_s(self._config.delivery, attempt, self._random)
        given_up = now_s() + delay > notice.at + self.target.give_up_after_s
        if given_up:
            self._outbox.put_aside(notice)
        else:
            later = {"attempts": attempt, "next_attempt": now_s() + delay}
            self._outbox.keep(notice.model_copy(update=later))
        if extra["code"] == PeerTimeoutError.code:
            # the others would wait for the same
            self._pause_until = now_s() + delay
        LOG.warning(
            "notification_given_up" if given_up else "notification_failed",
            extra={**extra, "seconds": None if given_up else round(delay, 1)},
        )
