from __future__ import annotations

from pynetdicom import build_context

from node.presentation import (
    CT_CLASSES,
    RESULT_CLASSES,
    TRANSFER_SYNTAXES,
    accepted_contexts,
    prefer_standard,
    proposed_contexts,
)

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"


def test_every_ct_class_is_accepted_in_every_syntax() -> None:
    found = {str(item.abstract_syntax): item.transfer_syntax for item in accepted_contexts()}
    for uid in CT_CLASSES:
        assert set(map(str, found[uid])) == set(TRANSFER_SYNTAXES)


def test_verification_is_accepted() -> None:
    assert "1.2.840.10008.1.1" in {str(item.abstract_syntax) for item in accepted_contexts()}


def test_results_are_proposed_explicit_first() -> None:
    for context in proposed_contexts(RESULT_CLASSES):
        assert context.transfer_syntax == [EXPLICIT, IMPLICIT]


def test_private_syntax_is_the_last_choice() -> None:
    context = build_context(CT_CLASSES[0], ["1.2.840.113619.5.2", IMPLICIT, EXPLICIT])
    prefer_standard([context])
    assert context.transfer_syntax == [IMPLICIT, EXPLICIT, "1.2.840.113619.5.2"]
