"""Send results by DICOMweb (STOW-RS), to a PACS that prefers it.

One object a request, so that order and outcome are those of C-STORE: what comes
first is kept before the next goes out, and each object has a status.

References
----------
DICOM PS3.18, 10.5 "Store Transaction"; PS3.3, C.12.1.1 for the attributes of
the answer; PS3.18, I "Store Instances Response Module".
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import requests
from pydicom import Dataset, dcmread
from requests.auth import AuthBase

from node.config import NodeConfig
from node.errors import PeerTimeoutError, StoreRefusedError, WebError
from node.peer import Peer
from node.scu import OnObject
from node.secret import read_secret
from node.status import is_refused_for_good, is_stored, meaning_of

LOG = logging.getLogger(__name__)

_JSON: Final = "application/dicom+json"
_OK: Final = frozenset({200, 202, 409})
"""Answers that say of each object what became of it."""
_FAILED: Final = 0x0110
_LONGEST_ANSWER: Final = 1 << 20


def send(
    config: NodeConfig, peer: Peer, choices: Sequence[Sequence[Path]], on_object: OnObject
) -> None:
    """Send objects in order; stop at the first refusal.

    Where the peer does not support the class of an object, the next choice that
    has something else instead is sent, without what it already has; where none
    has, the object is passed over.

    Parameters
    ----------
    config : NodeConfig
    peer : Peer
        With a ``stow_url``.
    choices : sequence of sequence of Path
        DICOM files; the best choice first.
    on_object : callable
        Hears of each answer before the next object goes out.

    Raises
    ------
    PeerError
        Not all were stored, and the peer may take them later.
    ConfigError
        The secret or the certificates cannot be used.
    """
    offered: set[Path] = set()
    left = list(choices)
    with _session(config, peer) as session:
        while path := next((path for path in left[0] if path not in offered), None):
            offered.add(path)
            if not _store(session, peer, path, on_object):
                instead = [files for files in left if path not in files]
                if instead:
                    LOG.info("fallback", extra={"destination": peer.name, "object": path.name})
                left = instead or left


def _store(session: _TimedSession, peer: Peer, path: Path, on_object: OnObject) -> bool:
    """Tell whether the peer supports the class of an object."""
    answer = session.store(f"{str(peer.stow_url).rstrip('/')}/studies", path.read_bytes())
    uid = str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
    status = _status(answer, uid)
    if status is None:
        raise WebError(f"{peer.name} answered {path.name} with HTTP {answer.status_code}")
    on_object(path.name, status)
    if is_refused_for_good(status):
        return False
    if not is_stored(status):
        raise StoreRefusedError(
            f"{peer.name} refused {path.name}: 0x{status:04X} {meaning_of(status).text}", status
        )
    return True


def _status(answer: requests.Response, uid: str) -> int | None:
    """Return what became of an object; None where the answer does not say.

    The codes are those of C-STORE.
    """
    if answer.status_code not in _OK:
        return None
    told = _read(answer)
    for item in told.get("FailedSOPSequence", []):
        if item.get("ReferencedSOPInstanceUID") == uid:
            return int(item.get("FailureReason", _FAILED))
    for item in told.get("ReferencedSOPSequence", []):
        if item.get("ReferencedSOPInstanceUID") == uid:
            return int(item.get("WarningReason", 0x0000))
    # 200: all were stored without a warning, whatever the body says or lacks
    return 0x0000 if answer.status_code == 200 and "FailedSOPSequence" not in told else None


def _read(answer: requests.Response) -> Dataset:
    """Read the answer's data set; an empty one where it cannot be read."""
    try:
        found = json.loads(answer.content)
        return Dataset.from_json(found[0] if isinstance(found, list) else found)
    # what a peer sends may be wrong in many ways
    except Exception:  # noqa: BLE001
        return Dataset()


class _TimedSession:
    """Requests to one peer, each with its time limit.

    Parameters
    ----------
    session : requests.Session
    peer : Peer
    timeout_s : float
    """

    def __init__(self, session: requests.Session, peer: Peer, timeout_s: float) -> None:
        self._session = session
        self._peer = peer
        self._timeout_s = timeout_s

    def store(self, url: str, content: bytes) -> requests.Response:
        """Post one object."""
        mark = uuid.uuid4().hex
        body = b"".join(
            (
                f"--{mark}\r\nContent-Type: application/dicom\r\n\r\n".encode(),
                content,
                f"\r\n--{mark}--\r\n".encode(),
            )
        )
        kind = f'multipart/related; type="application/dicom"; boundary={mark}'
        try:
            return self._session.post(
                url,
                data=body,
                headers={"Content-Type": kind, "Accept": _JSON},
                timeout=self._timeout_s,
                # a secret goes to nobody else, and a GET stores nothing
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise WebError(
                f"{self._peer.name}: no TLS connection: check ca and certificate"
            ) from error
        except requests.exceptions.RequestException as error:
            raise PeerTimeoutError(
                f"{self._peer.name} cannot be reached by DICOMweb ({type(error).__name__})"
            ) from error


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@contextmanager
def _session(config: NodeConfig, peer: Peer) -> Iterator[_TimedSession]:
    secret = read_secret(peer.stow_secret_file, peer.stow_secret_env)
    with requests.Session() as session:
        session.trust_env = False  # no proxy and no .netrc behind the configuration's back
        if secret is not None:
            session.auth = (peer.stow_user, secret) if peer.stow_user else _Bearer(secret)
        if authority := peer.ca or config.tls.ca:
            session.verify = str(authority)
        if config.tls.certificate is not None and config.tls.key is not None:
            session.cert = (str(config.tls.certificate), str(config.tls.key))
        yield _TimedSession(session, peer, config.delivery.timeout_s)
