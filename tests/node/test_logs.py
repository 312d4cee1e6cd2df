from __future__ import annotations

import json
import logging
import sys

from node.logs import JsonFormatter, PatientDataFilter

NAME = "PLANTED^NAME"


def written(record: logging.LogRecord) -> str:
    PatientDataFilter().filter(record)
    return JsonFormatter().format(record)


def record_of(name: str, text: str, **extra: object) -> logging.LogRecord:
    logger = logging.getLogger(name)
    return logger.makeRecord(name, logging.INFO, __file__, 1, text, (), None, extra=dict(extra))


def test_foreign_text_is_withheld() -> None:
    line = written(record_of("pydicom", f"Invalid value for VR PN: {NAME!r}"))
    assert NAME not in line
    assert json.loads(line)["logger"] == "pydicom"


def test_own_event_is_written_with_allowed_values_only() -> None:
    line = json.loads(written(record_of("node.scp", "stored", series="1.2.3", patient=NAME)))
    assert (line["event"], line["series"]) == ("stored", "1.2.3")
    assert "patient" not in line


def test_message_of_an_exception_is_withheld() -> None:
    record = record_of("node.inbox", "failed")
    try:
        int(NAME)
    except ValueError:
        record.exc_info = sys.exc_info()
    line = written(record)
    assert NAME not in line
    assert json.loads(line)["error"].startswith("ValueError at test_message_of")
