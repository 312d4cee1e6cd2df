"""The tables ``[retention]`` and ``[audit]`` of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from node.peer import Port, Section


class Retention(Section):
    """How long finished series are kept; unfinished and failed ones are never deleted.

    Attributes
    ----------
    keep_days : float or None
        Finished series are deleted this long after their last image; None: never.
    max_bytes : int or None
        The oldest finished series are deleted where all take more than this.
    """

    keep_days: Annotated[float, Field(gt=0)] | None = 30.0
    max_bytes: Annotated[int, Field(ge=1 << 20)] | None = None


class Audit(Section):
    """Who did what, for those who have to account for it.

    Attributes
    ----------
    enabled : bool
        JSON lines in the folder ``audit`` of the data folder, a file a day.
    keep_days : float
        Older files are deleted.
    syslog_host : str or None
        A syslog server gets each message besides.
    syslog_port, syslog_protocol
        ``"udp"`` (RFC 5426) or ``"tls"`` (RFC 5425), with the certificates of ``[tls]``.
    """

    enabled: bool = True
    keep_days: Annotated[float, Field(gt=0)] = 365.0
    syslog_host: str | None = None
    syslog_port: Port = 6514
    syslog_protocol: Literal["udp", "tls"] = "udp"

    @model_validator(mode="after")
    def _is_enabled(self) -> Self:
        if self.syslog_host is not None and not self.enabled:
            raise ValueError("syslog_host needs enabled")
        return self
