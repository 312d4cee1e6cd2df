"""Logs as JSON lines on standard error, with one filter against patient data.

Each record of the node has a fixed text and named values, of which only those
listed here are written. Texts of other libraries are withheld: a warning of a
DICOM library quotes the value that it does not like.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Any, Final

LOG = logging.getLogger(__name__)

FIELDS: Final = frozenset(
    {
        "ae_title", "atlas", "atlas_version", "attempt", "bytes", "code", "count", "destination",
        "embedded", "ending", "error", "evidence", "executor", "file", "generation", "host",
        "images", "missing", "objects", "peer", "pid", "port",
        "quality", "reason", "seconds", "seconds_since_last_image", "series", "state", "status",
        "task", "times", "timings_s", "transaction", "transfer_syntax", "version", "work_version",
        "workers",
    }
)  # fmt: skip
"""Every named value that may be logged."""

_OWN: Final = ("node", "atlases", "pipeline")


class PatientDataFilter(logging.Filter):
    """Withholds what may quote patient data: foreign texts and exceptions."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the text of a foreign record; let every record pass."""
        if not is_own(record.name):
            record.msg = f"{record.module}:{record.lineno} (text withheld)"
            record.args = None
        return True


def is_own(name: str) -> bool:
    """Tell whether a logger belongs to this project.

    Examples
    --------
    >>> is_own("node.scp"), is_own("pydicom")
    (True, False)
    """
    return name.partition(".")[0] in _OWN


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event and the allowed values."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key in FIELDS})
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe(record.exc_info[1])
        return json.dumps(line, default=str)


def describe(error: BaseException) -> str:
    """Say what an exception is and where it came from, without its message.

    Messages of libraries may quote values of the data set.

    Examples
    --------
    >>> describe(ValueError("DOE^JANE"))
    'ValueError'
    """
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-6:]))
    return f"{type(error).__name__} at {where}" if where else type(error).__name__


def _log_crash(kind: type[BaseException], error: BaseException, place: Any) -> None:
    """Say that something was not caught, without its message: it may quote a value."""
    del kind
    LOG.critical("crashed", extra={"error": describe(error.with_traceback(place))})


def _set_up_hooks() -> None:
    sys.excepthook = _log_crash
    threading.excepthook = lambda args: LOG.critical(
        "thread_crashed", extra={"error": describe(args.exc_value) if args.exc_value else ""}
    )
    sys.unraisablehook = lambda args: LOG.error(
        "unraisable", extra={"error": describe(args.exc_value) if args.exc_value else ""}
    )


def set_up_logs(level: str) -> None:
    """Send all logs to standard error as JSON lines.

    Parameters
    ----------
    level : str
        Of the node's own loggers; others speak from warning on.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(PatientDataFilter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in _OWN:
        logging.getLogger(name).setLevel(level)
    # the engine adds a console handler of its own unless it finds one
    logging.getLogger("dbos").handlers = [handler]
    logging.getLogger("dbos").propagate = False
    logging.captureWarnings(capture=True)
    _set_up_hooks()
