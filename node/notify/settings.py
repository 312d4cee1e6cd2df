"""A table of ``[[notifications]]`` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from node.peer import PeerName, Port, Seconds, Section, is_loopback

EventName = Literal["result", "warning", "rejected", "failure", "dead-letter"]
Kind = Literal["webhook", "mail", "hl7", "fhir"]
Security = Literal["none", "starttls", "tls"]
Address = Annotated[str, StringConstraints(pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$", max_length=254)]
Hl7Name = Annotated[str, StringConstraints(max_length=180, pattern=r"^[ -~]*$")]

EVENTS: Final[tuple[EventName, ...]] = get_args(EventName)
REPORTS: Final[tuple[EventName, ...]] = ("result", "warning")
"""Events that come with a report: all that HL7 and FHIR are told."""
_NEEDS: Final = {
    "webhook": ("url",),
    "mail": ("host", "sender", "to"),
    "hl7": ("host", "port"),
    "fhir": ("url",),
}
_MAIL_PORTS: Final = {"none": 25, "starttls": 587, "tls": 465}


class Notification(Section):
    """Somebody who is told what happens.

    Attributes
    ----------
    name : str
        How logs, metrics and the outbox call it.
    kind : str
        ``"webhook"``, ``"mail"``, ``"hl7"`` (ORU^R01 by MLLP) or ``"fhir"``
        (R4 DiagnosticReport).
    events : tuple of str or None
        None: all but ``"rejected"``; of ``"hl7"`` and ``"fhir"`` those with a report.
    url : str or None
        Where a webhook listens; root of a FHIR server.
    host, port
        Of the mail server, or of the HL7 receiver.
    security : str or None
        None: ``"starttls"`` for mail, ``"none"`` for HL7.
    ca : Path or None
        Who signed the server's certificate, where the system does not know.
    user : str or None
        Logs in to the mail server, or to the FHIR server by HTTP Basic.
    secret_file, secret_env
        Key of a webhook's signature; password of the user; bearer token.
    sender, to
        Mail addresses.
    template : Path or None
        Own text of the mail, or own body of the webhook's request.
    include_patient : bool
        Whether name, id, birth date and accession number go along.
    pdf : bool
        Whether a FHIR report carries the PDF of one page.
    receiving_application, receiving_facility : str
        MSH-5 and MSH-6 of HL7 messages.
    timeout_s : float
        For a connection, and for each answer.
    give_up_after_s : float
        Age at which a notification that cannot be sent is put aside.
    """

    name: PeerName
    kind: Kind
    events: Annotated[tuple[EventName, ...], Field(min_length=1)] | None = None
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^/?#@\s]+(/[^#\s]*)?$")] | None = (
        None
    )
    host: str = ""
    port: Port | None = None
    security: Security | None = None
    ca: Path | None = None
    user: str | None = None
    secret_file: Path | None = None
    secret_env: str | None = None
    sender: Address | None = None
    to: tuple[Address, ...] = ()
    template: Path | None = None
    include_patient: bool = False
    pdf: bool = False
    receiving_application: Hl7Name = ""
    receiving_facility: Hl7Name = ""
    timeout_s: Seconds = 10.0
    give_up_after_s: Seconds = 24 * 3600.0

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        lacks = [key for key in _NEEDS[self.kind] if not getattr(self, key)]
        if lacks:
            raise ValueError(f"{self.name}: kind {self.kind} needs {' and '.join(lacks)}")
        if self.is_report and not self.include_patient:
            raise ValueError(
                f"{self.name}: kind {self.kind} tells name and id of the patient: "
                "set include_patient = true if that is wanted"
            )
        if self.is_report and set(self.wanted) - set(REPORTS):
            raise ValueError(f"{self.name}: kind {self.kind} takes the events result and warning")
        if self.pdf and self.kind != "fhir":
            raise ValueError(f"{self.name}: pdf is for kind fhir")
        return self

    @model_validator(mode="after")
    def _tells_nothing_in_clear(self) -> Self:
        has_secret = self.is_secret_sent and (self.secret_file or self.secret_env)
        if not (has_secret or self.include_patient) or self.kind == "hl7":
            return self
        host = self.host if self.kind == "mail" else urlsplit(str(self.url)).hostname or ""
        is_clear = self.protection == "none" if self.kind == "mail" else not self.is_https
        if is_clear and not is_loopback(host):
            how = "security tls or starttls" if self.kind == "mail" else "url has to be https"
            raise ValueError(f"{self.name}: a secret or a patient's name is sent to it: {how}")
        return self

    @property
    def wanted(self) -> tuple[EventName, ...]:
        """The events of which it is told."""
        if self.events is not None:
            return self.events
        return REPORTS if self.is_report else tuple(e for e in EVENTS if e != "rejected")

    @property
    def is_report(self) -> bool:
        """Whether it gets reports about a patient."""
        return self.kind in {"hl7", "fhir"}

    @property
    def is_https(self) -> bool:
        """Whether its URL is HTTPS."""
        return str(self.url).startswith("https://")

    @property
    def is_secret_sent(self) -> bool:
        """Whether the secret itself goes over the network; a webhook's signs only."""
        return self.kind != "webhook"

    @property
    def protection(self) -> Security:
        """How the connection is protected."""
        return self.security or ("starttls" if self.kind == "mail" else "none")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to, but for those with a URL."""
        return self.host, self.port or _MAIL_PORTS[self.protection]
