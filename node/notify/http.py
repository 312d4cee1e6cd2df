"""HTTP as webhooks and FHIR servers need it."""

from __future__ import annotations

from typing import Final

import requests

from node.errors import NotificationRefusedError, PeerTimeoutError, WebError
from node.notify.settings import Notification

_NEVER: Final = frozenset({400, 405, 406, 409, 410, 411, 412, 413, 414, 415, 422})
"""Answers to the content itself; with others it may be taken later."""
_OK: Final = 200
_ELSEWHERE: Final = 300


def open_session(target: Notification) -> requests.Session:
    """Return a session for one target: no proxy and no .netrc of the environment."""
    session = requests.Session()
    session.trust_env = False
    if target.ca is not None:
        session.verify = str(target.ca)
    return session


def deliver(
    session: requests.Session,
    target: Notification,
    url: str,
    body: bytes,
    headers: dict[str, str],
) -> requests.Response:
    """Post a body and return the answer, of which the status is 2xx.

    The body of the answer is never quoted: it may repeat what was sent.

    Raises
    ------
    PeerTimeoutError
        The target cannot be reached.
    NotificationRefusedError
        It does not take this, whenever it is sent.
    WebError
        Any other status.
    """
    answer = ask(session, target, "POST", url, data=body, headers=headers)
    status = answer.status_code
    if status in _NEVER:
        raise NotificationRefusedError(f"{target.name} answered with HTTP {status}")
    if not _OK <= status < _ELSEWHERE:
        raise WebError(f"{target.name} answered with HTTP {status}")
    return answer


def ask(
    session: requests.Session,
    target: Notification,
    method: str,
    url: str,
    *,
    data: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> requests.Response:
    """Send one request.

    Raises
    ------
    PeerTimeoutError
        The target cannot be reached.
    """
    try:
        return session.request(
            method,
            url,
            data=data,
            headers=headers,
            timeout=target.timeout_s,
            # what is told and how it is proved goes to nobody else
            allow_redirects=False,
        )
    except requests.exceptions.SSLError as error:
        raise PeerTimeoutError(f"{target.name}: no TLS connection: check ca") from error
    except (requests.exceptions.RequestException, OSError) as error:
        raise PeerTimeoutError(
            f"{target.name} cannot be reached ({type(error).__name__})"
        ) from error
