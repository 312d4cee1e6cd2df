"""STOW-RS in: what comes by HTTP is kept as what comes by C-STORE.

Each part is written as it comes, made durable, and only then told as stored; the
listener hears of it as of any object. No object is decoded beyond its UIDs.

References
----------
DICOM PS3.18, 10.5 "Store Transaction", I "Store Instances Response Module".
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request, Response
from pydicom import Dataset
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from node.config import NodeConfig
from node.inbox import Inbox
from node.multipart import Body, BodyError, boundary_of
from node.scp import Listener
from node.secret import read_secret
from node.stow_parts import StowParts

LOG = logging.getLogger(__name__)

_JSON: Final = "application/dicom+json"
_OK, _ACCEPTED, _CONFLICT = 200, 202, 409
_BAD, _UNAUTHORISED, _FORBIDDEN, _TIMEOUT, _MEDIA, _BUSY = 400, 401, 403, 408, 415, 503
_RETRY_S: Final = "60"


@dataclass(frozen=True, slots=True)
class Gate:
    """Who may send by STOW-RS, and where it goes.

    Parameters
    ----------
    config : NodeConfig
    inbox : Inbox
    listener : Listener
    on_refused : callable
        ``on_refused(name, address)`` hears of who was not let in.
    secret : str or None
        Bearer token, or password of HTTP Basic authentication.
    """

    config: NodeConfig
    inbox: Inbox
    listener: Listener
    on_refused: Callable[[str, str], None]
    secret: str | None

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request that is not served, before its body is read."""
        if self.secret is not None and not _knows(request, self.secret):
            LOG.warning("caller_refused", extra={"host": _address(request), "code": "secret"})
            self.on_refused("a client without the secret", _address(request))
            return Response(
                status_code=_UNAUTHORISED, headers={"WWW-Authenticate": 'Bearer realm="dicom-web"'}
            )
        if not self._may_send():
            LOG.warning("caller_refused", extra={"ae_title": self.config.dicomweb.ae_title})
            self.on_refused(self.config.dicomweb.ae_title, _address(request))
            return Response(status_code=_FORBIDDEN)
        if not self.inbox.has_room():
            LOG.error("disk_nearly_full", extra={"ae_title": self.config.dicomweb.ae_title})
            return Response(status_code=_BUSY, headers={"Retry-After": _RETRY_S})
        return None

    def _may_send(self) -> bool:
        peer = self.config.peer_of(self.config.dicomweb.ae_title)
        return self.config.accept_unknown_callers if peer is None else peer.may_send


def make_gate(
    config: NodeConfig,
    inbox: Inbox,
    listener: Listener,
    on_refused: Callable[[str, str], None],
) -> Gate:
    """Return the gate of a configuration.

    Raises
    ------
    ConfigError
        The secret cannot be read.
    """
    secret = read_secret(config.dicomweb.secret_file, config.dicomweb.secret_env)
    return Gate(config, inbox, listener, on_refused, secret)


def stow_router(gate: Gate) -> APIRouter:
    """Return the routes ``/studies`` and ``/studies/{study}``."""
    router = APIRouter()
    associations = itertools.count(-1, -1)  # never the id of an association

    @router.post("/studies")
    async def store(request: Request) -> Response:
        return await _store(gate, request, next(associations))

    @router.post("/studies/{study}")
    async def store_in_study(request: Request, study: str) -> Response:
        return await _store(gate, request, next(associations), study)

    return router


async def _store(gate: Gate, request: Request, association: int, study: str = "") -> Response:
    if (refusal := gate.refusal(request)) is not None:
        return refusal
    try:
        boundary = boundary_of(request.headers.get("content-type", ""))
    except BodyError as error:
        return Response(str(error), status_code=_MEDIA)
    parts = StowParts(
        gate.inbox,
        source=gate.config.dicomweb.ae_title,
        study=study,
        largest=gate.config.max_object,
        kept=lambda path: gate.listener.stored(path, association),
    )
    try:
        await _take(request, Body(boundary, parts), gate.config.network_timeout_s)
    except BodyError as error:
        return Response(str(error), status_code=_BAD)
    except TimeoutError:
        return Response(status_code=_TIMEOUT)
    except ClientDisconnect:
        return Response(status_code=_BAD)
    finally:
        await run_in_threadpool(parts.close)
        gate.listener.closed(association)
    return _answer(parts)


async def _take(request: Request, body: Body, timeout_s: float) -> None:
    """Read a body to its end; writing and fsync do not hold up other requests."""
    chunks: AsyncIterator[bytes] = aiter(request.stream())
    while True:
        try:
            chunk = await _in_time(anext(chunks), timeout_s)
        except StopAsyncIteration:
            break
        await run_in_threadpool(body.feed, chunk)
    body.close()


async def _in_time(waited: Awaitable[bytes], timeout_s: float) -> bytes:
    async with asyncio.timeout(timeout_s):
        return await waited


def _answer(parts: StowParts) -> Response:
    """Say of each object what became of it."""
    if not parts.outcomes:
        return Response("the body holds no object", status_code=_BAD)
    told = Dataset()
    stored: list[Dataset] = []
    failed: list[Dataset] = []
    other: list[Dataset] = []
    for outcome in parts.outcomes:
        item = Dataset()
        if outcome.sop_instance:
            item.ReferencedSOPClassUID = outcome.sop_class
            item.ReferencedSOPInstanceUID = outcome.sop_instance
        if not outcome.status:
            stored.append(item)
        else:
            item.FailureReason = outcome.status
            (failed if outcome.sop_instance else other).append(item)
    for keyword, items in (
        ("ReferencedSOPSequence", stored),
        ("FailedSOPSequence", failed),
        ("OtherFailuresSequence", other),
    ):
        if items:
            setattr(told, keyword, items)
    refused = len(failed) + len(other)
    status = _OK if not refused else _ACCEPTED if stored else _CONFLICT
    return Response(told.to_json(), status_code=status, media_type=_JSON)


def _knows(request: Request, secret: str) -> bool:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:  # no base64, no ASCII, no UTF-8
            return False
    elif kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), secret.encode())


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
