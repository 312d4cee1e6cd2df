"""Read header values that may be malformed; a value that is needed is an error by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from typing import Any, Final

import numpy as np
from pydicom import Dataset

from pipeline.arrays import FloatArray
from pipeline.errors import GeometryError, HeaderError

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_UID_LENGTH: Final = 64
_FIRST_BULK_GROUP: Final = 0x5000


def text(image: Dataset, keyword: str) -> str:
    """Return a value as text, stripped.

    Parameters
    ----------
    image : pydicom.Dataset
    keyword : str

    Returns
    -------
    str
        Empty where the element is absent, empty or unreadable; several values
        are joined by a backslash.

    Examples
    --------
    >>> ds = Dataset()
    >>> ds.Modality = "CT"
    >>> text(ds, "Modality"), text(ds, "StudyID")
    ('CT', '')
    """
    return "\\".join(texts(image, keyword))


def texts(image: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of an element as text; none where it cannot be read."""
    try:
        found = _value(image, keyword)
    # pydicom raises whatever the conversion of the value raised
    except HeaderError:
        return ()
    several = isinstance(found, Sequence) and not isinstance(found, (str, bytes))
    items = found if several else [found]
    # the items of a DICOM sequence are no text, and may hold anything
    return tuple(
        str(item).strip() for item in items if item is not None and not isinstance(item, Dataset)
    )


def uid(image: Dataset, keyword: str) -> str:
    """Return a UID, or nothing where it is absent or no UID at all.

    Leading zeros of a component, which some archives write, are let pass.

    References
    ----------
    DICOM PS3.5, chapter 9 "Unique Identifiers (UIDs)".

    Examples
    --------
    >>> ds = Dataset()
    >>> ds.StudyInstanceUID = "1.2.3"
    >>> uid(ds, "StudyInstanceUID")
    '1.2.3'
    """
    found = text(image, keyword)
    return found if _UID.fullmatch(found) and len(found) <= _UID_LENGTH else ""


def has_value(image: Dataset, keyword: str) -> bool:
    """Tell whether an element is there and not empty; unreadable counts as there."""
    try:
        found = _value(image, keyword)
    except HeaderError:
        return True
    # a value of several is a sequence, and an array is never "in" a tuple
    return not (found is None or (hasattr(found, "__len__") and len(found) == 0))


def numbers(image: Dataset, keyword: str, count: int) -> FloatArray:
    """Return a fixed count of finite numbers.

    Parameters
    ----------
    image : pydicom.Dataset
    keyword : str
    count : int

    Returns
    -------
    numpy.ndarray, shape (count,), float64

    Raises
    ------
    GeometryError
        The element is absent, or has other than ``count`` finite numbers.
    """
    try:
        found = np.atleast_1d(np.asarray(_value(image, keyword), dtype=float))
    except (HeaderError, TypeError, ValueError, OverflowError) as error:
        raise GeometryError(
            f"series {uid(image, 'SeriesInstanceUID')}: {keyword} is not numeric"
        ) from error
    if found.shape != (count,) or not np.isfinite(found).all():
        raise GeometryError(
            f"series {uid(image, 'SeriesInstanceUID')}: {keyword} needs {count} finite number(s)"
        )
    return found


def number(image: Dataset, keyword: str, default: float, limits: tuple[float, float]) -> float:
    """Return one number within limits; the default where it is absent or empty.

    Parameters
    ----------
    image : pydicom.Dataset
    keyword : str
    default : float
    limits : tuple of float
        Least and greatest value that makes sense.

    Raises
    ------
    HeaderError
        The value is no single finite number, or outside the limits.

    Examples
    --------
    >>> ds = Dataset()
    >>> ds.RescaleSlope = "0.5"
    >>> number(ds, "RescaleSlope", 1.0, (0.0, 10.0))
    0.5
    >>> number(ds, "RescaleIntercept", 0.0, (-10.0, 10.0))
    0.0
    """
    if not has_value(image, keyword):
        return default
    try:
        found = float(numbers(image, keyword, 1)[0])
    except GeometryError as error:
        raise HeaderError(str(error)) from error
    if not limits[0] <= found <= limits[1]:
        raise HeaderError(
            f"series {uid(image, 'SeriesInstanceUID')}: {keyword} is outside "
            f"{limits[0]:g} to {limits[1]:g}"
        )
    return found


def without_unreadable(image: Dataset) -> tuple[Dataset, int]:
    """Leave out the elements that cannot be read, so that nothing later stumbles.

    Parameters
    ----------
    image : pydicom.Dataset
        Not changed.

    Returns
    -------
    image : pydicom.Dataset
        The same object where every element can be read.
    count : int
        Of the elements left out.
    """
    bad = [
        tag
        for tag in image.keys()  # noqa: SIM118 - iterating a dataset would decode the pixels
        if tag.group < _FIRST_BULK_GROUP and not tag.is_private and not _is_readable(image, tag)
    ]
    if not bad:
        return image, 0
    cleaned = copy(image)
    # a shallow copy shares its elements with the original: give it its own table
    cleaned._dict = {tag: image.get_item(tag) for tag in image.keys() if tag not in bad}  # noqa: SIM118
    return cleaned, len(bad)


def _is_readable(image: Dataset, tag: Any) -> bool:
    try:
        element = image[tag]
        if element.VR == "SQ":
            return all(
                _is_readable(item, inner)
                for item in element.value
                for inner in item.keys()  # noqa: SIM118 - as above
            )
        str(element.value)
    # a reader of one value raises errors of every kind; here they mean one thing
    except Exception:  # noqa: BLE001
        return False
    return True


def _value(image: Dataset, keyword: str) -> Any:
    try:
        return image[keyword].value if keyword in image else None
    except Exception as error:
        raise HeaderError(f"{keyword} cannot be read ({type(error).__name__})") from error
