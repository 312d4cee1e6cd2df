"""Everything the node can refuse, grouped by what it then does.

::

    NodeError
      x ConfigError              exit 2, before anything listens
      x StorageError             C-STORE status 0xA700, nothing acknowledged
      x WorkerError              the worker process: retried on a fresh one
        - WorkerCrashedError
        - WorkerTimeoutError
        - PoolStoppedError       not retried: the next start goes on with it
      x ComputeError             a defect of ours: FAILED, no retry
      x PeerError                stays in the outbox, retried with back-off
        - AssociationRejectedError
        - AssociationAbortedError
        - PeerTimeoutError
        - ContextRefusedError
        - StoreRefusedError
        - RetrieveError
        - WebError
        - NotificationError
          - NotificationRefusedError  put aside, for people

Messages name peers, series and files of ours; never the patient.
"""

from __future__ import annotations

from typing import ClassVar


class NodeError(Exception):
    """Base of every error raised on purpose by the node."""

    code: ClassVar[str] = "node-error"


class ConfigError(NodeError):
    """The configuration cannot be used; the message names the key."""

    code = "config"


class StorageError(NodeError):
    """The data folder cannot take an object."""

    code = "storage"


class WorkerError(NodeError):
    """A worker process did not bring its job to an end."""

    code = "worker"


class WorkerCrashedError(WorkerError):
    """The worker process died while it computed."""

    code = "worker-crashed"


class WorkerTimeoutError(WorkerError):
    """The worker process was stopped because it took too long."""

    code = "worker-timeout"


class PoolStoppedError(WorkerError):
    """The node is stopping."""

    code = "stopping"


class ComputeError(NodeError):
    """The pipeline raised an error that is not the fault of the series.

    Parameters
    ----------
    message : str
    code : str
        The code of the original error, or ``"internal"``.
    """

    code = "internal"

    def __init__(self, message: str, code: str = "internal") -> None:
        super().__init__(message)
        self.cause_code = code


class PeerError(NodeError):
    """A peer did not take what was sent; it is tried again later."""

    code = "peer"


class AssociationRejectedError(PeerError):
    """The peer refused the association."""

    code = "association-rejected"


class AssociationAbortedError(PeerError):
    """The peer, or the network, ended the association before its time."""

    code = "association-aborted"


class PeerTimeoutError(PeerError):
    """The peer cannot be reached, or does not answer in time."""

    code = "peer-timeout"


class ContextRefusedError(PeerError):
    """The peer accepts no presentation context for the object."""

    code = "context-refused"


class StoreRefusedError(PeerError):
    """The peer answered a C-STORE with a failure.

    Parameters
    ----------
    message : str
    status : int
        The C-STORE response's ``Status`` (0000,0900).
    """

    code = "store-refused"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RetrieveError(PeerError):
    """The peer did not send all that it was asked for."""

    code = "retrieve"


class WebError(PeerError):
    """The peer's web server did not do what it was asked for."""

    code = "web"


class NotificationError(PeerError):
    """Who is to be told did not take it; it is tried again later."""

    code = "notification"


class NotificationRefusedError(NotificationError):
    """Who is to be told will not take it, whenever it is sent."""

    code = "notification-refused"
