"""The configuration: one TOML file, checked before anything listens."""

from __future__ import annotations

import tomllib
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from atlases.folders import default_data_folder
from node.choices import BrainName, Choices, RegistrationName
from node.dicomweb_settings import Dicomweb
from node.errors import ConfigError
from node.keeping_settings import Audit, Retention
from node.notify.settings import Notification
from node.peer import AeTitle, Peer, PeerName, Port, Seconds, Section
from node.series_rules import SeriesRule
from node.web.settings import Web
from node.work.settings import Work


class Delivery(Section):
    """How often and how long a result is offered to a destination.

    Attributes
    ----------
    first_delay_s, factor, longest_delay_s, jitter
        Delay before attempt n + 1:
        ``min(first_delay_s * factor ** (n - 1), longest_delay_s)``, times a
        random number from ``1 - jitter`` to ``1 + jitter``.
    give_up_after_s : float
        Age at which a delivery becomes FAILED; ``aspects-node retry`` revives it.
    timeout_s : float
        For a connection, and for each answer of the peer.
    commit_timeout_s : float
        After this time without an answer commitment is asked for again ...
    commit_attempts : int
        ... so many times in all.
    """

    first_delay_s: Seconds = 5.0
    factor: Annotated[float, Field(ge=1)] = 2.0
    longest_delay_s: Seconds = 900.0
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.2
    give_up_after_s: Seconds = 7 * 24 * 3600.0
    timeout_s: Seconds = 30.0
    commit_timeout_s: Seconds = 600.0
    commit_attempts: Annotated[int, Field(ge=1, le=1000)] = 10


class Tls(Section):
    """Certificates, PEM files; the same for both directions.

    Attributes
    ----------
    listen : bool
        Whether the node's own port speaks TLS, and only TLS.
    certificate, key : Path or None
        Of this node.
    ca : Path or None
        Who signs the certificates of peers.
    """

    listen: bool = False
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.listen and None in (self.certificate, self.key, self.ca):
            raise ValueError("listen needs certificate, key and ca")
        return self


class NodeConfig(BaseSettings):
    """The whole file. ``deploy/aspects-node.example.toml`` explains each key.

    Environment variables ``ASPECTS_NODE_<KEY>`` go before the file.
    """

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="ASPECTS_NODE_", env_nested_delimiter="__"
    )

    ae_title: AeTitle = "ASPECTS"
    host: str = "127.0.0.1"
    port: Port = 11112
    data_folder: Path = Field(default_factory=default_data_folder)
    atlas: PeerName | None = None
    atlas_folder: Path | None = None
    uid_root: Annotated[str, StringConstraints(pattern=r"^[0-2](\.(0|[1-9]\d*))+\.$")] = "2.25."
    quiet_time_s: Annotated[float, Field(ge=0)] = 1.0
    incomplete_quiet_time_s: Annotated[float, Field(ge=0)] = 10.0
    longest_quiet_time_s: Seconds = 60.0
    accept_unknown_callers: bool = False
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    check_calling_host: bool = False
    check_called_ae_title: bool = False
    max_associations: Annotated[int, Field(ge=1, le=1000)] = 32
    max_pdu: Annotated[int, Field(ge=4096, le=1 << 24)] = 131072
    max_object: Annotated[int, Field(ge=1 << 16)] = 1 << 30
    network_timeout_s: Seconds = 60.0
    min_free_disk: Annotated[int, Field(ge=0)] = 2 << 30
    registration: RegistrationName = "greedy"
    brain: BrainName = "skull"
    all_slices: bool = False
    asymmetry_flags: bool = False
    asymmetry_difference_hu: Annotated[float, Field(ge=0)] = 2.0
    asymmetry_ratio: Annotated[float, Field(gt=0, le=1)] = 0.95
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    worker_memory: Annotated[int, Field(ge=2 << 30)] = 6 << 30
    compute_time_limit_s: Seconds = 120.0
    compute_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    stalled_after_s: Seconds = 300.0
    results_per_study: Literal["one", "all"] = "one"
    study_wait_s: Annotated[float, Field(ge=0)] = 30.0
    urgent_head_start_s: Annotated[float, Field(ge=0)] = 900.0
    default_peer: PeerName | None = None
    also_send_to: tuple[PeerName, ...] = ()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    delivery: Delivery = Delivery()
    tls: Tls = Tls()
    dicomweb: Dicomweb = Dicomweb()
    web: Web = Web()
    retention: Retention = Retention()
    audit: Audit = Audit()
    work: Work = Work()
    notifications: tuple[Notification, ...] = ()
    series_rules: tuple[SeriesRule, ...] = ()
    peers: tuple[Peer, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment before the file; read nothing else."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @field_validator("peers")
    @classmethod
    def _peers_differ(cls, peers: tuple[Peer, ...]) -> tuple[Peer, ...]:
        for label, values in (
            ("name", [peer.name for peer in peers]),
            ("ae_title", [peer.ae_title for peer in peers]),
        ):
            if twice := {value for value in values if values.count(value) > 1}:
                raise ValueError(f"two peers have the same {label}: {', '.join(sorted(twice))}")
        return peers

    @field_validator("notifications")
    @classmethod
    def _targets_differ(cls, targets: tuple[Notification, ...]) -> tuple[Notification, ...]:
        names = [target.name for target in targets]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two targets have the same name: {', '.join(sorted(twice))}")
        return targets

    @model_validator(mode="after")
    def _peers_exist(self) -> Self:
        names = {peer.name for peer in self.peers}
        if self.default_peer is not None and self.default_peer not in names:
            raise ValueError(f"default_peer: there is no [[peers]] with name {self.default_peer!r}")
        if self.dicomweb.tls and None in (self.tls.certificate, self.tls.key):
            raise ValueError("dicomweb: tls needs certificate and key in [tls]")
        if self.dicomweb.tls and not self.dicomweb.has_secret and self.tls.ca is None:
            raise ValueError("dicomweb: tls needs a secret, or ca in [tls]")
        if self.audit.syslog_protocol == "tls" and self.tls.ca is None:
            raise ValueError("audit: syslog_protocol tls needs ca in [tls]")
        if any(peer.tls for peer in self.peers) and None in (self.tls.certificate, self.tls.key):
            raise ValueError("tls: a peer uses TLS: certificate and key are needed")
        if missing := set(self.also_send_to) - names:
            raise ValueError(f"also_send_to: there is no [[peers]] with name {min(missing)!r}")
        return self

    @property
    def choices(self) -> Choices:
        """What is chosen about the method."""
        return Choices(
            registration=self.registration,
            brain=self.brain,
            all_slices=self.all_slices,
            asymmetry_flags=self.asymmetry_flags,
            asymmetry_difference_hu=self.asymmetry_difference_hu,
            asymmetry_ratio=self.asymmetry_ratio,
        )

    def peer(self, name: str) -> Peer:
        """Return the peer of that name.

        Raises
        ------
        ConfigError
            There is none.
        """
        for peer in self.peers:
            if peer.name == name:
                return peer
        known = ", ".join(peer.name for peer in self.peers) or "none"
        raise ConfigError(f"there is no peer {name!r} in [[peers]]; known: {known}")

    def peer_of(self, ae_title: str) -> Peer | None:
        """Return the peer with that AE title, or None."""
        return next((peer for peer in self.peers if peer.ae_title == ae_title.strip()), None)


_PATHS: Final = {
    "tls": ("certificate", "key", "ca"),
    "dicomweb": ("secret_file",),
    "web": ("users_file", "certificate", "key"),
    "work": ("password_file",),
}
_LIST_PATHS: Final = {
    "peers": ("ca", "stow_secret_file"),
    "notifications": ("ca", "secret_file", "template"),
}


def load_config(path: Path) -> NodeConfig:
    """Read and check a configuration file.

    Parameters
    ----------
    path : Path
        Relative folders in the file are relative to its own folder.

    Raises
    ------
    ConfigError
        The file cannot be read, is not TOML, or a key is wrong; one line for
        each problem, naming the key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    return make_config(values, path)


def make_config(values: dict[str, Any], path: Path) -> NodeConfig:
    """Check the values of a configuration file.

    Raises
    ------
    ConfigError
        A key is wrong; one line for each problem, naming the key.
    """
    values = _with_folders(values, ("data_folder", "atlas_folder"), path.parent)
    for table, keys in _PATHS.items():
        if isinstance(found := values.get(table), dict):
            values = {**values, table: _with_folders(found, keys, path.parent)}
    for table, keys in _LIST_PATHS.items():
        if isinstance(found := values.get(table), list):
            items = [
                _with_folders(item, keys, path.parent) if isinstance(item, dict) else item
                for item in found
            ]
            values = {**values, table: items}
    try:
        return NodeConfig(**values)
    except ValidationError as error:
        lines = (_line(path, item["loc"], item["msg"]) for item in error.errors())
        raise ConfigError("\n".join(lines)) from error


def _with_folders(values: dict[str, Any], keys: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """Return the values with relative paths made relative to the file's folder."""
    paths = {
        key: (folder / Path(values[key]).expanduser()).resolve()
        for key in keys
        if isinstance(values.get(key), str)
    }
    return {**values, **paths}


def _line(path: Path, location: tuple[int | str, ...], message: str) -> str:
    key = ".".join(str(part) for part in location)
    text = message.removeprefix("Value error, ")
    return f"{path}: {key}: {text}" if key else f"{path}: {text}"
