"""TLS in both directions with dcmtk, and who is let in."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.config import make_config
from node.errors import ConfigError
from node.tls import client_context, server_context
from tests.node.conftest import DOUBLE, Site
from tests.node.series import write_series
from tests.peers import NodeProcess, Peer, StoreScp, peer, run, storescu, tool


@dataclass(frozen=True)
class Certificates:
    """A certificate authority and two certificates that it signed."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def of(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key."""
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def options(self, name: str) -> tuple[str, ...]:
        """Return the options with which a dcmtk tool speaks TLS."""
        certificate, key = self.of(name)
        return ("+tls", str(key), str(certificate), "+cf", str(self.ca))

    @property
    def node(self) -> dict[str, str]:
        certificate, key = self.of("node")
        return {"certificate": str(certificate), "key": str(key), "ca": str(self.ca)}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if tool("openssl") is None:
        pytest.skip("not installed: openssl")
    folder = tmp_path_factory.mktemp("certificates")
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for authority in ("ca", "stranger-ca"):
        key, pem = folder / f"{authority}.key", folder / f"{authority}.pem"
        usage = ("-addext", "keyUsage=keyCertSign,cRLSign")
        openssl(*new, "-x509", "-subj", f"/CN={authority}", *usage, "-keyout", key, "-out", pem)
    for name, authority in (("node", "ca"), ("dcmtk", "ca"), ("stranger", "stranger-ca")):
        key, request, pem = (folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        address = ("-addext", "subjectAltName=IP:127.0.0.1")
        openssl(*new, "-subj", f"/CN={name}", *address, "-keyout", key, "-out", request)
        signer = ("-CA", folder / f"{authority}.pem", "-CAkey", folder / f"{authority}.key")
        copy = ("-CAcreateserial", "-copy_extensions", "copy")
        openssl("x509", "-req", "-in", request, *signer, *copy, "-out", pem)
    return Certificates(folder)


def openssl(*arguments: str | Path) -> None:
    subprocess.run([tool("openssl") or "", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def secure_site(
    make_node: Callable[..., NodeProcess],
    certificates: Certificates,
    peers: list[Peer],
    tmp_path: Path,
) -> Site:
    """A node and a PACS of dcmtk that speak TLS only, with certificates on both sides."""
    if tool("storescp") is None:
        pytest.skip("not installed: dcmtk")
    pacs = StoreScp(tmp_path / "pacs", options=certificates.options("dcmtk"))
    peers.append(pacs)
    pacs.start()
    node = make_node(
        DOUBLE,
        default_peer="pacs",
        tls={**certificates.node, "listen": True},
        peers=[peer("pacs", "PACS", pacs.port, tls=True)],
        network_timeout_s=5.0,
    )
    node.start()
    return Site(node, pacs)


def test_series_and_results_go_by_tls(
    secure_site: Site, certificates: Certificates, tmp_path: Path
) -> None:
    uid, files = write_series(tmp_path, "a", 3, size=256)
    storescu(secure_site.node.port, files, *certificates.options("dcmtk"))
    secure_site.node.wait_for_state(uid, "DONE")
    assert len(secure_site.pacs.wait_for(2)) == 2
    assert secure_site.node.run("echo", "pacs").returncode == 0


def test_nobody_gets_in_without_a_certificate_of_ours(
    secure_site: Site, certificates: Certificates, tmp_path: Path
) -> None:
    _, files = write_series(tmp_path, "a", 1)
    port = secure_site.node.port
    assert storescu(port, files, check=False).returncode != 0
    stranger = certificates.options("stranger")
    assert storescu(port, files, *stranger, check=False).returncode != 0
    anonymous = ("+tla", "+cf", str(certificates.ca))
    assert storescu(port, files, *anonymous, check=False).returncode != 0
    assert list(secure_site.node.data.rglob("*.dcm")) == []


def test_silent_caller_shuts_nobody_out(secure_site: Site, certificates: Certificates) -> None:
    with socket.create_connection(("127.0.0.1", secure_site.node.port)):
        port = str(secure_site.node.port)
        run("echoscu", *certificates.options("dcmtk"), "127.0.0.1", port)


def test_peer_without_a_certificate_of_ours_gets_nothing(
    make_node: Callable[..., NodeProcess],
    certificates: Certificates,
    peers: list[Peer],
    tmp_path: Path,
) -> None:
    pacs = StoreScp(tmp_path / "pacs", options=certificates.options("stranger"))
    peers.append(pacs)
    pacs.start()
    node = make_node(
        DOUBLE,
        default_peer="pacs",
        tls=certificates.node,
        peers=[peer("pacs", "PACS", pacs.port, tls=True)],
    )
    node.start()
    uid, files = write_series(tmp_path, "a", 1)
    storescu(node.port, files)
    node.wait_for_event("delivery_failed", series=uid)
    assert pacs.received() == []


def test_old_versions_and_missing_files_are_refused(
    certificates: Certificates, tmp_path: Path
) -> None:
    tables = [peer("pacs", "PACS", 104, tls=True), peer("open", "OPEN", 104)]
    config = make_config(
        {"tls": {**certificates.node, "listen": True}, "peers": tables}, tmp_path / "x.toml"
    )
    server = server_context(config)
    assert server is not None
    assert server.minimum_version.name == "TLSv1_2"
    assert client_context(config, config.peer("pacs")) is not None
    assert client_context(config, config.peer("open")) is None
    missing = {**certificates.node, "key": "missing.key"}
    with pytest.raises(ConfigError, match="cannot be used"):
        server_context(make_config({"tls": {**missing, "listen": True}}, tmp_path / "x.toml"))
    with pytest.raises(ConfigError, match="certificate and key are needed"):
        make_config({"peers": tables}, tmp_path / "x.toml")


def test_peer_is_known_by_its_address_too(make_site: Callable[..., Site], tmp_path: Path) -> None:
    elsewhere = {**peer("ct", "CT1", 104), "host": "192.0.2.1"}
    site = make_site(check_calling_host=True, peers=[elsewhere], accept_unknown_callers=False)
    _, files = write_series(tmp_path, "a", 1)
    assert storescu(site.node.port, files, aet="CT1", check=False).returncode != 0
    storescu(site.node.port, files, aet="PACS")


def test_only_named_networks_may_call(make_site: Callable[..., Site], tmp_path: Path) -> None:
    site = make_site(allowed_networks=["192.0.2.0/24", "2001:db8::/32"])
    _, files = write_series(tmp_path, "a", 1)
    assert storescu(site.node.port, files, aet="PACS", check=False).returncode != 0
    assert site.node.events("caller_refused", ae_title="PACS", host="127.0.0.1")
    site.node.stop()
    local = make_site(allowed_networks=["127.0.0.0/8"])
    storescu(local.node.port, files, aet="PACS")
