"""Verification and Storage SCP: Success only after the file is durable.

References
----------
DICOM PS3.4, B "Storage Service Class"; PS3.8, 9.3.4 "A-ASSOCIATE-RJ PDU".
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final, Protocol

from pynetdicom import AE, _config, build_context, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification
from pynetdicom.transport import ThreadedAssociationServer

from node.config import NodeConfig
from node.errors import ConfigError, StorageError
from node.file_meta import file_meta
from node.inbox import Inbox
from node.lane import Lane, Wire
from node.presentation import prefer_standard
from node.status import StoreStatus
from node.tls import server_context

LOG = logging.getLogger(__name__)

_BACKLOG: Final = 128
_REJECTED_TRANSIENT: Final = 0x02
_BY_PRESENTATION: Final = 0x03
_LOCAL_LIMIT_EXCEEDED: Final = 0x02
_REJECTED_PERMANENT: Final = 0x01
_BY_USER: Final = 0x01
_CALLING_AE_NOT_RECOGNISED: Final = 0x03


class Listener(Protocol):
    """Who wants to know what arrived."""

    def stored(self, path: Path, association: int) -> None:
        """Note that an object is on disk."""

    def closed(self, association: int) -> None:
        """Note that an association is over."""


@dataclass(slots=True)
class Receiver:
    """The handlers of the acceptor.

    Parameters
    ----------
    config : NodeConfig
    inbox : Inbox
    listener : Listener
    on_action, on_report : callable
        Handle N-ACTION and N-EVENT-REPORT of storage commitment.
    on_refused : callable
        ``on_refused(calling AE title, address)`` hears of who was not let in.
    """

    config: NodeConfig
    inbox: Inbox
    listener: Listener
    on_action: Callable[[evt.Event], tuple[int, None]]
    on_report: Callable[[evt.Event], tuple[int, None]]
    on_refused: Callable[[str, str], None]

    def on_connection(self, event: evt.Event) -> None:
        """Answer small messages at once, and read large ones in large pieces."""
        association = event.assoc
        transport = association.dul.socket
        # a read that began, as a handshake does, must end
        transport.socket.settimeout(self.config.network_timeout_s)
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = Wire(transport.socket, self.config.max_pdu)
        transport.recv = wire.recv
        kept = partial(self._tell, id(association))
        lane = Lane(association, wire, self.inbox, self.config.max_object, kept)
        association.dul._read_pdu_data = lane.read
        association.dimse.receive_primitive = lane.decode

    def on_request(self, event: evt.Event) -> None:
        """Refuse an association that cannot be served; order its contexts."""
        association = event.assoc
        request = association.requestor.primitive
        if not self.inbox.has_room():
            LOG.error("disk_nearly_full", extra={"ae_title": request.calling_ae_title})
            association.acse.send_reject(
                _REJECTED_TRANSIENT, _BY_PRESENTATION, _LOCAL_LIMIT_EXCEEDED
            )
            association.kill()
        elif not self._may_send(request.calling_ae_title, association.requestor.address):
            caller, address = request.calling_ae_title, association.requestor.address
            LOG.warning("caller_refused", extra={"ae_title": caller, "host": address})
            self.on_refused(caller, address)
            association.acse.send_reject(_REJECTED_PERMANENT, _BY_USER, _CALLING_AE_NOT_RECOGNISED)
            association.kill()
        else:
            prefer_standard(request.presentation_context_definition_list)

    def on_echo(self, event: evt.Event) -> int:
        """Answer a C-ECHO."""
        del event
        return StoreStatus.SUCCESS

    def _tell(self, association: int, path: Path) -> None:
        self.listener.stored(path, association)

    def on_store(self, event: evt.Event) -> int:
        """Put on disk, then acknowledge, what did not come by `node.lane`."""
        data = event.encoded_dataset(include_meta=False)
        if not data:
            return StoreStatus.CANNOT_UNDERSTAND
        try:
            path = self.inbox.store(_meta(event), data)
        except StorageError as error:
            LOG.exception("not_stored", extra={"code": error.code, "reason": str(error)})
            return StoreStatus.OUT_OF_RESOURCES
        self.listener.stored(path, id(event.assoc))
        return StoreStatus.SUCCESS

    def on_close(self, event: evt.Event) -> None:
        """Note the end of an association, however it ended."""
        association = event.assoc
        if association.requestor.primitive is None:
            # closed before it asked for anything, as a health check does: its
            # thread would wait for the request until the time-out
            association.dul.to_user_queue.put(None)
        self.listener.closed(id(association))

    def _may_send(self, ae_title: str, address: str) -> bool:
        if not _is_in(address, self.config.allowed_networks):
            return False
        peer = self.config.peer_of(ae_title)
        if peer is None:
            return self.config.accept_unknown_callers
        is_at_home = not self.config.check_calling_host or address in _addresses(peer.host)
        return peer.may_send and is_at_home


def _is_in(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Tell whether an address lies in one of the networks; with none it does."""
    found = ipaddress.ip_address(address)
    plain = getattr(found, "ipv4_mapped", None) or found
    return not networks or any(plain in network for network in networks)


def _addresses(host: str) -> set[str]:
    """Return the IP addresses of a host; none where its name is not known."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(item[4][0]) for item in found}


def _meta(event: evt.Event) -> bytes:
    """Encode the File Meta Information, with the sender in it."""
    return file_meta(
        sop_class=event.request.AffectedSOPClassUID,
        sop_instance=event.request.AffectedSOPInstanceUID,
        transfer_syntax=event.context.transfer_syntax,
        source_ae_title=event.assoc.requestor.ae_title,
    )


def start_scp(receiver: Receiver) -> ThreadedAssociationServer:
    """Listen for associations in threads of their own.

    Returns
    -------
    ThreadedAssociationServer
        ``shutdown()`` stops it.

    Raises
    ------
    ConfigError
        The address cannot be listened on.
    """
    config = receiver.config
    # accept private and unknown SOP classes as storage, whatever they are
    _config.UNRESTRICTED_STORAGE_SERVICE = True
    _config.LOG_HANDLER_LEVEL = "none"
    ae = AE(ae_title=config.ae_title)
    # storage is accepted without a list, and the list is copied for each association
    ae.supported_contexts = [build_context(Verification)]
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    ae.maximum_associations = config.max_associations
    ae.maximum_pdu_size = config.max_pdu
    ae.require_called_aet = config.check_called_ae_title
    ae.network_timeout = config.network_timeout_s
    ae.acse_timeout = config.network_timeout_s
    ae.dimse_timeout = config.network_timeout_s
    handlers: list[Any] = [
        (evt.EVT_CONN_OPEN, receiver.on_connection),
        (evt.EVT_REQUESTED, receiver.on_request),
        (evt.EVT_C_ECHO, receiver.on_echo),
        (evt.EVT_C_STORE, receiver.on_store),
        (evt.EVT_N_ACTION, receiver.on_action),
        (evt.EVT_N_EVENT_REPORT, receiver.on_report),
        (evt.EVT_CONN_CLOSE, receiver.on_close),
    ]
    try:
        server = ae.start_server(
            (config.host, config.port),
            block=False,
            ssl_context=server_context(config),
            evt_handlers=handlers,
        )
    except OSError as error:
        raise ConfigError(
            f"host, port: cannot listen on {config.host}:{config.port} ({error.strerror})"
        ) from error
    # the library lets five wait; a sixth would try again after a second
    server.socket.listen(_BACKLOG)
    return server
