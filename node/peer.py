"""A table of ``[[peers]]``, and the types that other tables share with it."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from node.objects import DEFAULT_OBJECTS, ObjectName

# PS3.5, 6.2 "Value Representation (VR)": AE has no backslash and no control characters
AeTitle = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$"),
]
PeerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$", max_length=64)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


_URL: Final = r"^https?://[^/?#@\s]+(/[^?#\s]*)?$"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine is meant.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Section(BaseModel):
    """A table of the file; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Peer(Section):
    """Another DICOM application.

    Attributes
    ----------
    name : str
        How commands and logs call it.
    ae_title, host, port
        Where it listens.
    may_send : bool
        Whether its associations are accepted.
    destination : bool
        Whether results of the series it sends go back to it; else they go to
        the default peer.
    ask_count : bool
        Whether it is asked by C-FIND how many images a series has that it sent.
    fetch_missing : bool
        Whether images of a series that it sent in part are fetched from it.
    retrieve : str
        How images are fetched: ``"move"``, to our port, or ``"get"``.
    commit : bool
        Whether it is asked to confirm that it keeps the results.
    tls : bool
        Whether it is called by TLS.
    ca : Path or None
        Who signed its certificate, where that is not ``tls.ca``.
    objects : tuple of str
        What it gets as a destination, see `node.objects`.
    stow_url : str or None
        Root of its DICOMweb service: results go there by STOW-RS. Without
        `host` and `port` nothing else can be asked of it.
    stow_user : str or None
        For HTTP Basic authentication; without it the secret is a bearer token.
    stow_secret_file, stow_secret_env
        File that holds the password or the token, or the name of an
        environment variable that does.
    """

    name: PeerName
    ae_title: AeTitle
    host: str = ""
    port: Port | None = None
    may_send: bool = True
    destination: bool = True
    ask_count: bool = False
    fetch_missing: bool = False
    retrieve: Literal["move", "get"] = "move"
    commit: bool = False
    tls: bool = False
    ca: Path | None = None
    objects: Annotated[tuple[ObjectName, ...], Field(min_length=1)] = DEFAULT_OBJECTS
    stow_url: Annotated[str, StringConstraints(pattern=_URL)] | None = None
    stow_user: str | None = None
    stow_secret_file: Path | None = None
    stow_secret_env: str | None = None

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if not self.has_dicom and self.stow_url is None:
            raise ValueError(f"peer {self.name}: host and port, or stow_url, are needed")
        if not self.has_dicom and (self.ask_count or self.fetch_missing or self.commit):
            raise ValueError(
                f"peer {self.name}: ask_count, fetch_missing and commit need host and port"
            )
        return self

    @model_validator(mode="after")
    def _sends_no_secret_in_clear(self) -> Self:
        secret = self.stow_secret_file or self.stow_secret_env
        if self.stow_url is None or secret is None or self.stow_url.startswith("https://"):
            return self
        if not is_loopback(urlsplit(self.stow_url).hostname or ""):
            raise ValueError(f"peer {self.name}: stow_url has to be https, a secret is sent to it")
        return self

    @property
    def has_dicom(self) -> bool:
        """Whether it can be called by DICOM."""
        return bool(self.host) and self.port is not None
