"""Means, intervals and tests against other ways to get them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation.statistics import PairedTest, describe, holm, mean_interval, paired_test

NAN = float("nan")


def test_describe_leaves_out_what_is_missing() -> None:
    found = describe([0.7, NAN, 0.9, 0.8, math.inf], seed=1)
    assert (found.n, found.least, found.median, found.greatest) == (3, 0.7, 0.8, 0.9)
    assert found.mean == pytest.approx(0.8)
    assert found.sd == pytest.approx(0.1)
    assert found.interval == pytest.approx((0.7, 0.9))


def test_nothing_to_describe() -> None:
    found = describe([NAN], seed=1)
    assert found.n == 0
    assert math.isnan(found.mean)
    alone = describe([0.5], seed=1)
    assert (alone.n, alone.mean) == (1, 0.5)
    assert math.isnan(alone.sd)
    assert math.isnan(alone.interval[0])


def test_the_interval_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.05, 400)
    low, high = mean_interval(values, seed=3)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert (low, high) == mean_interval(values, seed=3)
    assert (low, high) != mean_interval(values, seed=4)


def test_paired_tests_are_those_of_scipy() -> None:
    rng = np.random.default_rng(5)
    second = rng.uniform(0.8, 0.9, 20)
    first = second + rng.normal(0.02, 0.02, 20)
    found = paired_test([*first, NAN, 0.9], [*second, 0.9, NAN], seed=1)
    assert found.n == 20
    assert found.p_t == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert found.p_wilcoxon == pytest.approx(stats.wilcoxon(first, second).pvalue)
    assert found.interval[0] < found.difference < found.interval[1]


def test_paired_tests_at_the_edges() -> None:
    same = paired_test([0.8, 0.9, 0.7], [0.8, 0.9, 0.7], seed=1)
    assert (same.difference, same.p_t, same.p_wilcoxon) == (0, 1, 1)
    constant = paired_test([0.9, 0.8, 0.7], [0.8, 0.7, 0.6], seed=1)
    assert math.isnan(constant.p_t)
    assert constant.p_wilcoxon == 0.25
    assert paired_test([0.9], [0.8], seed=1).difference == pytest.approx(0.1)
    assert paired_test([], [], seed=1).n == 0


def single(p_t: float, p_wilcoxon: float) -> PairedTest:
    return PairedTest(n=9, difference=0.0, interval=(0.0, 0.0), p_t=p_t, p_wilcoxon=p_wilcoxon)


def test_holm_by_hand() -> None:
    tests = {"a": single(0.01, 0.04), "b": single(NAN, 0.03), "c": single(0.03, 0.5)}
    found = holm(tests)
    # two are defined: the least times 2, the other times 1
    assert found["a"].holm_t == pytest.approx(0.02)
    assert found["c"].holm_t == pytest.approx(0.03)
    assert math.isnan(found["b"].holm_t)
    # 0.03 x 3, then 0.04 x 2 but no less than that, then 0.5
    assert found["b"].holm_wilcoxon == pytest.approx(0.09)
    assert found["a"].holm_wilcoxon == pytest.approx(0.09)
    assert found["c"].holm_wilcoxon == pytest.approx(0.5)
