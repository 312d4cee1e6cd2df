from __future__ import annotations

import pytest

from pipeline.localizer.evaluate import Finding, compare, summarise, wilson
from tests.pipeline.localizer.heads import labelled


def test_wilson_holds_at_the_ends() -> None:
    low, high = wilson(10, 10)
    assert low == pytest.approx(0.7225, abs=1e-4)
    assert high == pytest.approx(1)
    assert wilson(0, 10)[1] == pytest.approx(1 - low)


def test_errors_are_signed_upwards() -> None:
    head = labelled("egg", ganglionic=11)
    finding = compare(head, (12, 13))
    assert finding.truth == (11, 15)
    assert finding.error_mm == (5, -10)


def test_a_summary_counts() -> None:
    findings = [
        Finding(name=str(off), truth=(10, 14), found=(10 + off, 14), error_mm=(5.0 * off, 0.0))
        for off in (0, 0, 1, -2)
    ]
    low = summarise(findings, 0)
    assert (low.heads, low.exact, low.within_one, low.within_5_mm) == (4, 0.5, 0.75, 0.75)
    assert low.is_rde_mm == pytest.approx(15 / 4)
    assert low.signed_mm == pytest.approx(-5 / 4)
    assert summarise(findings, 1).exact == 1
