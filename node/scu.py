"""C-ECHO, C-FIND, C-STORE and storage commitment with other applications.

References
----------
DICOM PS3.7, 9.1.1 "C-STORE service", 9.1.2 "C-FIND service", 9.1.5 "C-ECHO
service"; PS3.4, C.6.2 "Study Root SOP Class Group".
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset, dcmread
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from node.config import NodeConfig
from node.errors import (
    AssociationAbortedError,
    AssociationRejectedError,
    ConfigError,
    ContextRefusedError,
    PeerTimeoutError,
    StoreRefusedError,
)
from node.peer import Peer
from node.presentation import proposed_contexts
from node.status import (
    SOP_CLASS_NOT_SUPPORTED,
    is_refused_for_good,
    is_stored,
    meaning_of,
)
from node.tls import client_context

LOG = logging.getLogger(__name__)

OnObject = Callable[[str, int], None]
"""``on_object(file name, status)``, called after each C-STORE response."""

_PENDING: Final = (0xFF00, 0xFF01)
OnReport = Callable[[evt.Event], tuple[int, None]]
"""``on_report(event)`` handles an N-EVENT-REPORT and returns its status."""

_SAME_ASSOCIATION_S: Final = 2.0
_REJECT_SOURCES: Final = {1: "user", 2: "ACSE", 3: "presentation"}


def echo(config: NodeConfig, peer: Peer) -> None:
    """Ask a peer whether it is there.

    Raises
    ------
    PeerError
        It is not, or does not want to speak with us.
    """
    with open_association(config, peer, [build_context(Verification)]) as association:
        status = association.send_c_echo()
        if "Status" not in status:
            raise AssociationAbortedError(f"{peer.name} ended the association during C-ECHO")
        if status.Status != 0x0000:
            raise StoreRefusedError(
                f"{peer.name} answered C-ECHO with 0x{status.Status:04X}", int(status.Status)
            )


def count_images(config: NodeConfig, peer: Peer, study_uid: str, series_uid: str) -> int | None:
    """Ask a peer how many images of a series it holds (C-FIND).

    Returns
    -------
    int or None
        ``NumberOfSeriesRelatedInstances`` (0020,1209); None where the peer does
        not know the series or does not count.

    Raises
    ------
    PeerError
        It gave no answer.

    References
    ----------
    DICOM PS3.4, C.6.2.1.3 "Series Level": the count is an optional key.
    """
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID = study_uid
    query.SeriesInstanceUID = series_uid
    query.NumberOfSeriesRelatedInstances = ""
    model = StudyRootQueryRetrieveInformationModelFind
    with open_association(config, peer, [build_context(model)]) as association:
        matches = list(find(association, peer, query, model))
    counts = [match.get("NumberOfSeriesRelatedInstances") for match in matches]
    known = [int(count) for count in counts if count is not None and str(count).strip()]
    return max(known, default=None)


def find(association: Any, peer: Peer, query: Dataset, model: str) -> Iterator[Dataset]:
    """Ask by C-FIND and return the matches.

    Raises
    ------
    AssociationAbortedError
        The peer gave no answer, or a failure.
    """
    for status, match in association.send_c_find(query, model):
        if "Status" not in status:
            raise AssociationAbortedError(f"{peer.name} gave no answer to C-FIND")
        if status.Status in _PENDING and match is not None:
            yield match
        elif status.Status != 0x0000:
            raise AssociationAbortedError(f"{peer.name} answered C-FIND: 0x{status.Status:04X}")


def request_commitment(
    config: NodeConfig, peer: Peer, request: Dataset, on_report: OnReport
) -> None:
    """Ask a peer whether it keeps objects (N-ACTION); wait a moment for its answer.

    Parameters
    ----------
    config : NodeConfig
    peer : Peer
    request : pydicom.Dataset
        With its Transaction UID.
    on_report : callable
        Handles an N-EVENT-REPORT that comes on this association.

    Raises
    ------
    PeerError
        It did not take the request.
    """
    came = threading.Event()

    def report(event: evt.Event) -> tuple[int, None]:
        came.set()
        return on_report(event)

    model = StorageCommitmentPushModel
    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, report)]
    with open_association(config, peer, [build_context(model)], handlers) as association:
        answer, _ = association.send_n_action(request, 1, model, StorageCommitmentPushModelInstance)
        _require_success(peer, "N-ACTION", answer)
        came.wait(_SAME_ASSOCIATION_S)


def report_commitment(config: NodeConfig, peer: Peer, report: Dataset, event_type: int) -> None:
    """Tell a peer which of its objects are kept (N-EVENT-REPORT).

    Raises
    ------
    PeerError
        It did not take the report.
    """
    model = StorageCommitmentPushModel
    # whoever reports is the SCP, though it asks for the association
    role = build_role(model, scp_role=True)
    with open_association(config, peer, [build_context(model)], negotiation=[role]) as association:
        answer, _ = association.send_n_event_report(
            report, event_type, model, StorageCommitmentPushModelInstance
        )
        _require_success(peer, "N-EVENT-REPORT", answer)


def _require_success(peer: Peer, request: str, answer: Dataset) -> None:
    if "Status" not in answer:
        raise AssociationAbortedError(f"{peer.name} gave no answer to {request}")
    if answer.Status != 0x0000:
        raise StoreRefusedError(
            f"{peer.name} answered {request} with 0x{answer.Status:04X}", int(answer.Status)
        )


def send(
    config: NodeConfig, peer: Peer, choices: Sequence[Sequence[Path]], on_object: OnObject
) -> None:
    """Send objects in one association, in order; stop at the first refusal.

    All choices are proposed; sent is the one of which the peer refuses fewest
    SOP classes, and of equals the first. What it refuses for its SOP class, for
    which there is nothing else to send, is passed over.

    Parameters
    ----------
    config : NodeConfig
    peer : Peer
    choices : sequence of sequence of Path
        DICOM files, little endian and not compressed; the best choice first.
    on_object : callable
        Hears of each response before the next object goes out.

    Raises
    ------
    PeerError
        Not all were stored, and the peer may take them later.
    """
    datasets = {path: dcmread(path) for path in dict.fromkeys(chain.from_iterable(choices))}
    contexts = proposed_contexts(str(dataset.SOPClassUID) for dataset in datasets.values())
    with open_association(config, peer, contexts) as association:
        accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
        refused = {path for path, item in datasets.items() if item.SOPClassUID not in accepted}
        files = min(choices, key=lambda paths: len(refused.intersection(paths)))
        if files is not choices[0]:
            names = [path.name for path in files]
            LOG.info("fallback", extra={"destination": peer.name, "objects": names})
        for path in files:
            if path in refused:
                on_object(path.name, SOP_CLASS_NOT_SUPPORTED)
            else:
                _store(association, peer, path.name, datasets[path], on_object)


def _store(association: Any, peer: Peer, name: str, dataset: Dataset, on_object: OnObject) -> None:
    try:
        response = association.send_c_store(dataset)
    except ValueError as error:
        raise ContextRefusedError(f"{peer.name} does not accept the SOP class of {name}") from error
    except RuntimeError as error:
        raise AssociationAbortedError(f"{peer.name} ended the association") from error
    if "Status" not in response:
        raise AssociationAbortedError(f"{peer.name} gave no answer for {name}")
    status = int(response.Status)
    on_object(name, status)
    if not is_stored(status) and not is_refused_for_good(status):
        raise StoreRefusedError(
            f"{peer.name} refused {name}: 0x{status:04X} {meaning_of(status).text}", status
        )


@contextmanager
def open_association(
    config: NodeConfig,
    peer: Peer,
    contexts: list[PresentationContext],
    handlers: list[Any] | None = None,
    negotiation: list[Any] | None = None,
) -> Iterator[Any]:
    """Open an association with a peer; release it when the block ends.

    Parameters
    ----------
    config : NodeConfig
    peer : Peer
    contexts : list of PresentationContext
    handlers, negotiation : list, optional
        As pynetdicom takes them: event handlers, extended negotiation items.

    Raises
    ------
    PeerError
        There is none.
    ConfigError
        The peer has no address.
    """
    if not peer.has_dicom:
        raise ConfigError(f"peer {peer.name} has no host and port: it is not called by DICOM")
    ae = AE(ae_title=config.ae_title)
    ae.maximum_pdu_size = config.max_pdu
    ae.connection_timeout = config.delivery.timeout_s
    ae.acse_timeout = config.delivery.timeout_s
    ae.dimse_timeout = config.delivery.timeout_s
    ae.network_timeout = config.delivery.timeout_s
    tls = client_context(config, peer)
    association = ae.associate(
        peer.host,
        peer.port,
        contexts=contexts,
        ae_title=peer.ae_title,
        evt_handlers=handlers,
        ext_neg=negotiation,
        tls_args=None if tls is None else (tls, peer.host),
    )
    if not association.is_established:
        raise _no_association(association, peer)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _no_association(association: Any, peer: Peer) -> Exception:
    where = f"{peer.name} ({peer.ae_title} at {peer.host}:{peer.port})"
    if association.is_rejected:
        answer = association.acceptor.primitive
        source = _REJECT_SOURCES.get(answer.result_source, "unknown")
        return AssociationRejectedError(
            f"{where} rejected the association "
            f"(result {answer.result}, source {source}, reason {answer.diagnostic})"
        )
    if association.rejected_contexts:
        return ContextRefusedError(f"{where} accepts none of the proposed SOP classes")
    return PeerTimeoutError(f"{where} cannot be reached")
