"""The presentation contexts of the node, as tables.

As an acceptor the node takes Verification and every storage SOP class, known or
private, in every standard transfer syntax: what it cannot map it keeps and
rejects with a reason, so that a PACS never has to select what it sends.

References
----------
DICOM PS3.4, B.5 "Standard SOP Classes"; PS3.5, A "Transfer Syntax
Specifications"; PS3.8, 7.1.1.13 "Presentation Context Definition List".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
)
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, build_context
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    LabelMapSegmentationStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    Verification,
)

CT_CLASSES: Final = (
    str(CTImageStorage),
    str(EnhancedCTImageStorage),
    str(LegacyConvertedEnhancedCTImageStorage),
)
"""All CT image SOP classes; the multi-frame ones are stored and rejected."""

STORAGE_CLASSES: Final = tuple(
    sorted(
        {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
        | set(CT_CLASSES)
    )
)
"""Every standard storage SOP class."""

TRANSFER_SYNTAXES: Final = tuple(str(uid) for uid in ALL_TRANSFER_SYNTAXES)
"""Every standard transfer syntax; objects are kept in the one they came in."""

RESULT_CLASSES: Final = frozenset(
    {
        str(SegmentationStorage),
        str(LabelMapSegmentationStorage),
        str(Comprehensive3DSRStorage),
        str(EnhancedSRStorage),
        str(SecondaryCaptureImageStorage),
        str(GrayscaleSoftcopyPresentationStateStorage),
        str(KeyObjectSelectionDocumentStorage),
        str(EncapsulatedPDFStorage),
    }
)
"""What this node itself sends."""

NO_INPUT_CLASSES: Final = RESULT_CLASSES - {str(SecondaryCaptureImageStorage)}
"""What can only be a result, so that a PACS that forwards results back makes no
new work. A Secondary Capture may be anybody's: it ends as rejected, which sends
nothing either."""

SENT_TRANSFER_SYNTAXES: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""What the node proposes for its results, in order of preference."""


def accepted_contexts() -> list[PresentationContext]:
    """Return the contexts that the node supports as acceptor.

    Private and unknown storage SOP classes are accepted beside these, see
    `node.scp`.
    """
    contexts = [build_context(uid, list(TRANSFER_SYNTAXES)) for uid in STORAGE_CLASSES]
    return [build_context(Verification), *contexts]


def proposed_contexts(sop_classes: Iterable[str]) -> list[PresentationContext]:
    """Return the contexts to propose for sending objects of these SOP classes."""
    return [build_context(uid, list(SENT_TRANSFER_SYNTAXES)) for uid in sorted(set(sop_classes))]


def prefer_standard(contexts: Iterable[PresentationContext]) -> None:
    """Move the standard transfer syntaxes of proposed contexts to the front.

    A storage context is accepted with its first transfer syntax; a private one
    is taken only where nothing else was proposed. The order within both groups
    stays, and so does the peer's preference.

    Parameters
    ----------
    contexts : iterable of PresentationContext
        As the peer proposed them; changed in place.
    """
    standard = frozenset(TRANSFER_SYNTAXES)
    for context in contexts:
        context.transfer_syntax = sorted(
            context.transfer_syntax, key=lambda uid: str(uid) not in standard
        )
