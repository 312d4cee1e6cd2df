"""All that can be told of a notice, gathered when it is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.config import NodeConfig
from node.errors import NotificationRefusedError
from node.notify.notice import Notice
from node.notify.patient import Patient, read_patient
from node.notify.settings import Notification
from node.state import IMAGES, RESULTS
from node.web.report import NOTES, Report, report_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A notice with what belongs to it.

    Attributes
    ----------
    notice : Notice
        Its event is the one as which the target is told.
    node : str
        AE title of this node.
    link : str or None
        Page of the series, where ``web.url`` is set.
    report : Report or None
        None where nothing was mapped, or the results are deleted.
    patient : Patient or None
        None unless the target is told whom it shows.
    results : Path
        Folder of the results.
    """

    notice: Notice
    node: str
    link: str | None
    report: Report | None
    patient: Patient | None
    results: Path

    def facts(self) -> dict[str, Any]:
        """Return it as plain values: the body of a webhook, the values of a template."""
        notice = self.notice
        return {
            "id": notice.id,
            "event": notice.event,
            "time": notice.time,
            "node": self.node,
            "study_uid": notice.study_uid,
            "series_uid": notice.series_uid,
            "generation": notice.generation,
            "state": notice.state,
            "quality": notice.quality,
            "reasons": [] if self.report is None else self.report.reasons,
            "code": notice.code,
            "reason": notice.reason,
            "destination": notice.destination,
            "link": self.link,
            "notes": list(NOTES),
            "patient": None if self.patient is None else _told(self.patient),
        }


def _told(patient: Patient) -> dict[str, str]:
    return {
        "name": patient.full_name,
        "id": patient.id,
        "birth_date": patient.birth_date,
        "sex": patient.sex,
        "accession_number": patient.accession_number,
        "study_date": patient.study_date,
    }


def gather(config: NodeConfig, target: Notification, notice: Notice) -> Message:
    """Read what belongs to a notice.

    Raises
    ------
    NotificationRefusedError
        The series was deleted in the meantime, and the target needs it.
    """
    folder = config.data_folder / "series" / notice.key
    results = folder / RESULTS / f"{notice.generation:04d}"
    message = Message(
        notice=notice,
        node=config.ae_title,
        link=None if config.web.url is None else f"{config.web.url}/series/{notice.key}",
        report=_report(results / "result.json"),
        patient=read_patient(folder / IMAGES) if target.include_patient else None,
        results=results,
    )
    if target.is_report and None in (message.report, message.patient):
        raise NotificationRefusedError(
            f"{target.name}: images or results of series {notice.series_uid} are gone"
        )
    return message


def _report(path: Path) -> Report | None:
    try:
        return report_of(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError):
        return None
