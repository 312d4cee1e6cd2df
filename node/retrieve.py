"""Query and retrieve: what a peer holds of a study, and how it comes here.

By C-MOVE the peer sends to our port, as to any destination; by C-GET it sends
on our own association, which needs no entry for this node in its configuration.

References
----------
DICOM PS3.4, C.4.1 "C-FIND Operation", C.4.2 "C-MOVE Operation", C.4.3 "C-GET
Operation", C.6.2 "Study Root SOP Class Group".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydicom import Dataset
from pynetdicom import build_context, build_role, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from node.config import NodeConfig
from node.errors import AssociationAbortedError, RetrieveError
from node.file_meta import file_meta
from node.peer import Peer
from node.presentation import CT_CLASSES, TRANSFER_SYNTAXES
from node.scu import find, open_association


class Keep(Protocol):
    """Who keeps what comes by C-GET, as what comes by C-STORE is kept."""

    def store(self, head: bytes, data: bytes, association: int) -> int:
        """Put an object on disk; return the status of the C-STORE."""

    def closed(self, association: int) -> None:
        """Note that an association is over."""


_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)+", re.ASCII)
_PENDING: Final = (0xFF00, 0xFF01)
_AT_ONCE: Final = 100
"""Images named in one request: some peers cut a longer list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSeries:
    """A series that a peer holds.

    Attributes
    ----------
    study_uid, series_uid, modality : str
    images : int or None
        None where the peer does not count, or was not asked.
    """

    study_uid: str
    series_uid: str
    modality: str = ""
    images: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """What became of the images that a peer was asked to send.

    Attributes
    ----------
    completed, failed, warning : int
        Sub-operations, as the peer counts them.
    """

    completed: int = 0
    failed: int = 0
    warning: int = 0

    def plus(self, other: Retrieved) -> Retrieved:
        """Return the sums."""
        return Retrieved(
            completed=self.completed + other.completed,
            failed=self.failed + other.failed,
            warning=self.warning + other.warning,
        )


def is_uid(text: str) -> bool:
    """Tell whether a text is a UID.

    Examples
    --------
    >>> is_uid("1.2.840.1"), is_uid("1.2.*"), is_uid("../x")
    (True, False, False)
    """
    return bool(_UID.fullmatch(text)) and len(text) <= 64


def find_studies(config: NodeConfig, peer: Peer, accession: str) -> list[str]:
    r"""Ask which studies have an accession number.

    Returns
    -------
    list of str
        StudyInstanceUID (0020,000D) of each, sorted.

    Raises
    ------
    PeerError
        The peer gave no answer.
    ValueError
        The number holds what a C-FIND reads as a pattern: ``*``, ``?`` or ``\``.
    """
    if not accession.strip() or set(accession) & set("*?\\"):
        raise ValueError("an accession number is one value, without * and ?")
    query = _query("STUDY", AccessionNumber=accession.strip(), StudyInstanceUID="")
    return sorted({str(match.StudyInstanceUID) for match in _ask(config, peer, query)})


def find_series(config: NodeConfig, peer: Peer, study_uid: str) -> list[FoundSeries]:
    """Ask which series a study has.

    Raises
    ------
    PeerError
        The peer gave no answer.
    """
    query = _query(
        "SERIES",
        StudyInstanceUID=study_uid,
        SeriesInstanceUID="",
        Modality="",
        NumberOfSeriesRelatedInstances="",
    )
    return [
        FoundSeries(
            study_uid=study_uid,
            series_uid=str(match.SeriesInstanceUID),
            modality=str(match.get("Modality", "")),
            images=_count(match),
        )
        for match in _ask(config, peer, query)
    ]


def find_images(config: NodeConfig, peer: Peer, study_uid: str, series_uid: str) -> list[str]:
    """Ask for the SOPInstanceUID (0008,0018) of each image of a series.

    Raises
    ------
    PeerError
        The peer gave no answer.
    """
    query = _query(
        "IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, SOPInstanceUID=""
    )
    return [str(match.SOPInstanceUID) for match in _ask(config, peer, query)]


def retrieve(
    config: NodeConfig,
    peer: Peer,
    series: FoundSeries,
    keep: Keep,
    images: Sequence[str] | None = None,
) -> Retrieved:
    """Make a peer send a series, or some images of it.

    Parameters
    ----------
    config : NodeConfig
    peer : Peer
        ``peer.retrieve`` says how.
    series : FoundSeries
    keep : Keep
        Keeps what comes by C-GET; by C-MOVE it comes to our port.
    images : sequence of str, optional
        SOPInstanceUIDs; default: all.

    Raises
    ------
    PeerError
        The peer did not send all.
    """
    if images is None:
        identifiers = [
            _query("SERIES", StudyInstanceUID=series.study_uid, SeriesInstanceUID=series.series_uid)
        ]
    else:
        identifiers = [
            _query(
                "IMAGE",
                StudyInstanceUID=series.study_uid,
                SeriesInstanceUID=series.series_uid,
                SOPInstanceUID=list(images[first : first + _AT_ONCE]),
            )
            for first in range(0, len(images), _AT_ONCE)
        ]
    way = _get if peer.retrieve == "get" else _move
    total = Retrieved()
    for identifier in identifiers:
        total = total.plus(way(config, peer, identifier, keep))
    return total


def _move(config: NodeConfig, peer: Peer, identifier: Dataset, keep: Keep) -> Retrieved:
    del keep
    model = StudyRootQueryRetrieveInformationModelMove
    with open_association(config, peer, [build_context(model)]) as association:
        return _last(peer, "C-MOVE", association.send_c_move(identifier, config.ae_title, model))


def _get(config: NodeConfig, peer: Peer, identifier: Dataset, keep: Keep) -> Retrieved:
    def on_store(event: evt.Event) -> int:
        head = file_meta(
            sop_class=str(event.request.AffectedSOPClassUID),
            sop_instance=str(event.request.AffectedSOPInstanceUID),
            transfer_syntax=str(event.context.transfer_syntax),
            source_ae_title=peer.ae_title,
        )
        return keep.store(head, event.encoded_dataset(include_meta=False), id(event.assoc))

    model = StudyRootQueryRetrieveInformationModelGet
    contexts = [build_context(uid, list(TRANSFER_SYNTAXES)) for uid in CT_CLASSES]
    # whoever is sent to is the SCP, though it asked for the association
    roles = [build_role(uid, scp_role=True) for uid in CT_CLASSES]
    handlers = [
        (evt.EVT_C_STORE, on_store),
        (evt.EVT_CONN_CLOSE, lambda event: keep.closed(id(event.assoc))),
    ]
    with open_association(
        config, peer, [build_context(model), *contexts], handlers, roles
    ) as association:
        return _last(peer, "C-GET", association.send_c_get(identifier, model))


def _last(peer: Peer, request: str, answers: Iterator[tuple[Dataset, Any]]) -> Retrieved:
    """Return the counts of the final answer; an error where not all was sent."""
    for status, _ in answers:
        if "Status" not in status:
            raise AssociationAbortedError(f"{peer.name} gave no answer to {request}")
        if status.Status in _PENDING:
            continue
        found = Retrieved(
            completed=int(status.get("NumberOfCompletedSuboperations") or 0),
            failed=int(status.get("NumberOfFailedSuboperations") or 0),
            warning=int(status.get("NumberOfWarningSuboperations") or 0),
        )
        if status.Status != 0x0000 or found.failed:
            raise RetrieveError(
                f"{peer.name} answered {request} with 0x{status.Status:04X}: "
                f"{found.completed} images sent, {found.failed} not"
            )
        return found
    raise AssociationAbortedError(f"{peer.name} gave no answer to {request}")


def _query(level: str, **values: Any) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(query, keyword, value)
    return query


def _ask(config: NodeConfig, peer: Peer, query: Dataset) -> list[Dataset]:
    model = StudyRootQueryRetrieveInformationModelFind
    with open_association(config, peer, [build_context(model)]) as association:
        return list(find(association, peer, query, model))


def _count(match: Dataset) -> int | None:
    value = str(match.get("NumberOfSeriesRelatedInstances", "") or "").strip()
    return int(value) if value.isdigit() else None
