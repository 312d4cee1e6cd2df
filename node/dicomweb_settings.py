"""The table ``[dicomweb]`` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import StringConstraints, model_validator

from node.peer import AeTitle, Port, Section, is_loopback


class Dicomweb(Section):
    """Receiving by STOW-RS.

    Attributes
    ----------
    enabled : bool
    host, port
        Where it listens; on another address than the loopback interface it
        needs `tls`, and a secret or client certificates.
    ae_title : str
        What comes this way is treated as if this AE had sent it.
    tls : bool
        HTTPS with the certificate of ``[tls]``. Without a secret a client has
        to show a certificate that ``tls.ca`` signed.
    secret_file, secret_env
        File that holds the secret, or the name of an environment variable that
        does: a bearer token, or the password of HTTP Basic authentication.
    """

    enabled: bool = False
    host: Annotated[str, StringConstraints(min_length=1)] = "127.0.0.1"
    port: Port = 11181
    ae_title: AeTitle = "DICOMWEB"
    tls: bool = False
    secret_file: Path | None = None
    secret_env: str | None = None

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        if self.enabled and not is_loopback(self.host) and not self.tls:
            raise ValueError(f"host {self.host} is reached from the network: tls is needed")
        return self

    @property
    def has_secret(self) -> bool:
        """Whether a client has to know one."""
        return self.secret_file is not None or self.secret_env is not None
