"""Try a target without telling it anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from node.errors import NotificationError, PeerTimeoutError
from node.notify import http, mail, mllp
from node.notify.fhir import fhir_session
from node.notify.http import open_session
from node.notify.settings import Kind, Notification
from node.notify.texts import SAMPLE, render_json, render_mail
from node.notify.webhook import signature
from node.secret import read_secret


def probe(target: Notification, *, ask: bool) -> str:
    """Return how a target stands.

    Parameters
    ----------
    target : Notification
    ask : bool
        Whether it is connected to; else only what is here is looked at.

    Raises
    ------
    ConfigError
        A secret, a certificate or a template cannot be used.
    PeerError
        The target cannot be reached, or does not let us in.
    """
    _look_here(target)
    events = ", ".join(target.wanted)
    return f"{_ASKS[target.kind](target)}; told of {events}" if ask else f"told of {events}"


def _look_here(target: Notification) -> None:
    secret = read_secret(target.secret_file, target.secret_env)
    if target.kind == "webhook" and secret is not None:
        signature(secret, "", 0, b"")
    if target.kind == "mail":
        render_mail(target.template, SAMPLE)
    elif target.template is not None:
        render_json(target.template, SAMPLE)


def _ask_webhook(target: Notification) -> str:
    with open_session(target) as session:
        answer = http.ask(session, target, "OPTIONS", str(target.url))
    return f"answers (HTTP {answer.status_code} to OPTIONS)"


def _ask_mail(target: Notification) -> str:
    with mail.connection(target) as server:
        code, _ = server.noop()
    return f"the mail server lets us in ({code})"


def _ask_hl7(target: Notification) -> str:
    try:
        with mllp.connection(target):
            return "takes connections; nothing was sent"
    except OSError as error:
        raise PeerTimeoutError(
            f"{target.name} cannot be reached ({type(error).__name__})"
        ) from error


def _ask_fhir(target: Notification) -> str:
    with fhir_session(target) as session:
        headers = {"Accept": "application/fhir+json"}
        answer = http.ask(
            session, target, "GET", f"{str(target.url).rstrip('/')}/metadata", headers=headers
        )
    if not answer.ok:
        raise NotificationError(f"{target.name} answered /metadata with HTTP {answer.status_code}")
    version = _version(answer)
    if not version.startswith("4."):
        raise NotificationError(f"{target.name} speaks no FHIR R4 (fhirVersion {version[:10]!r})")
    return f"speaks FHIR {version[:10]}"


def _version(answer: Any) -> str:
    try:
        return str(answer.json()["fhirVersion"])
    except (ValueError, KeyError, TypeError):
        return ""


_ASKS: Final[dict[Kind, Callable[[Notification], str]]] = {
    "webhook": _ask_webhook,
    "mail": _ask_mail,
    "hl7": _ask_hl7,
    "fhir": _ask_fhir,
}
