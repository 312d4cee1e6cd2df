"""The parts of a ``multipart/related`` body, as they come.

References
----------
RFC 2387 "The MIME Multipart/Related Content-type"; DICOM PS3.18, 8.7.2
"Multipart Media Types".
"""

from __future__ import annotations

from email.message import Message
from typing import Final, Protocol

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError

APPLICATION_DICOM: Final = "application/dicom"


class Part(Protocol):
    """Who takes a part."""

    def write(self, data: bytes) -> None:
        """Take some of it."""

    def end(self) -> None:
        """Note that it is whole."""


class Parts(Protocol):
    """Who takes the parts of a body."""

    def begin(self) -> Part:
        """Return who takes the next part."""


class BodyError(ValueError):
    """The body is not what its header says."""


def boundary_of(content_type: str) -> str:
    """Return the boundary of a body with DICOM objects.

    Raises
    ------
    BodyError
        It is none.

    Examples
    --------
    >>> boundary_of('multipart/related; type="application/dicom"; boundary=abc')
    'abc'
    """
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    kind = message.get_param("type", APPLICATION_DICOM)
    if message.get_content_type() != "multipart/related" or kind != APPLICATION_DICOM:
        raise BodyError('Content-Type has to be multipart/related; type="application/dicom"')
    if not boundary:
        raise BodyError("Content-Type names no boundary")
    return boundary


class Body:
    """Cuts a body into its parts.

    Parameters
    ----------
    boundary : str
    parts : Parts
    """

    def __init__(self, boundary: str, parts: Parts) -> None:
        self._parts = parts
        self._part: Part | None = None
        self._is_over = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def feed(self, data: bytes) -> None:
        """Take some of the body.

        Raises
        ------
        BodyError
            It is malformed.
        """
        try:
            self._parser.write(data)
        except MultipartParseError as error:
            raise BodyError("the body is no multipart message") from error

    def close(self) -> None:
        """Note the end of the body.

        Raises
        ------
        BodyError
            It came too early.
        """
        if not self._is_over:
            raise BodyError("the body ends before its last boundary")

    def _begin(self) -> None:
        self._part = self._parts.begin()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part is not None:
            self._part.write(data[start:end])

    def _end(self) -> None:
        if self._part is not None:
            self._part.end()
        self._part = None

    def _finish(self) -> None:
        self._is_over = True
