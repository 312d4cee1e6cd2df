"""The table ``[web]`` of the configuration."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$", max_length=64)]
Address = Annotated[str, StringConstraints(min_length=1, max_length=64)]

_URL: Final = r"^https?://[^/?#@\s]+(/[^?#\s]*[^/?#\s])?$"


class Web(BaseModel):
    """Who may see the pages, and where they are.

    Attributes
    ----------
    enabled : bool
    host, port
        Where the web server listens. On any other address than the loopback
        interface people have to be known: by ``users_file``, or by a proxy.
    users_file : Path or None
        Names and password hashes, written by ``aspects-node user``.
    url : str or None
        How others reach the pages: for links in notifications.
    proxy_header : str or None
        Request header in which a reverse proxy names the person.
    trusted_proxies : tuple of str
        Addresses from which that header is believed.
    certificate, key : Path or None
        PEM files; with them the server speaks HTTPS.
    session_hours : float
        After this time without a request a person has to log in again.
    max_upload : int
        Bytes of one upload, a zip's content included.
    show_patient_name : bool
        Whether the page of a series shows name and birth date.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    host: Annotated[str, StringConstraints(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 11180
    url: Annotated[str, StringConstraints(pattern=_URL)] | None = None
    users_file: Path | None = None
    proxy_header: HeaderName | None = None
    trusted_proxies: tuple[Address, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    session_hours: Annotated[float, Field(gt=0, le=720)] = 12.0
    max_upload: Annotated[int, Field(ge=1 << 20)] = 4 << 30
    show_patient_name: bool = False

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        if (self.proxy_header is None) != (not self.trusted_proxies):
            raise ValueError("proxy_header and trusted_proxies belong together")
        if not self.enabled or self.is_loopback or self.proxy_header is not None:
            return self
        if self.users_file is None:
            raise ValueError(
                f"host {self.host} is reached from the network: set users_file, or "
                "proxy_header and trusted_proxies"
            )
        if self.certificate is None:
            raise ValueError(
                f"host {self.host} is reached from the network and passwords are sent to it: "
                "set certificate and key"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the server.

        Examples
        --------
        >>> Web().is_loopback
        True
        """
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_open(self) -> bool:
        """Whether nobody has to say who they are."""
        return self.users_file is None and self.proxy_header is None
