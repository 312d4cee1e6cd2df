"""Codes are fixed, complete and never shared between objects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.encode import codes
from pipeline.encode.words import atlas_sentence, certainty, version_sentences
from pipeline.quality import Verdict
from pipeline.regions import REGION_SIDES
from tests.pipeline.encode.builders import ct_series, levels, provenance


def test_every_region_has_its_codes() -> None:
    found = {str(item.region): codes.region_type(item) for item in REGION_SIDES}
    assert {name: concept.value for name, concept in found.items()} == {
        "C": "11000004",
        "L": "L",
        "IC": "85637007",
        "I": "36169008",
        **{f"M{number}": f"M{number}" for number in range(1, 7)},
    }
    for item in REGION_SIDES:
        private = codes.region_type(item).scheme == codes.PRIVATE_SCHEME
        cortical = item.region.startswith("M")
        assert private == (cortical or item.region == "L")
        assert codes.region_category(item).value == ("309825002" if cortical else "91723000")
        assert codes.laterality(item).meaning == {"R": "Right", "L": "Left"}[item.side]


def test_code_values_fit_their_type() -> None:
    for concept in vars(codes).values():
        if isinstance(concept, codes.Concept):
            assert len(concept.value) <= 16
            assert len(concept.meaning) <= 64


def test_each_code_is_a_new_object() -> None:
    assert codes.BRAIN.to_code() is not codes.BRAIN.to_code()


@pytest.mark.parametrize("value", list(Verdict))
def test_every_verdict_has_a_code(value: Verdict) -> None:
    assert codes.verdict(value).value == value.upper()


def test_unknown_family_is_refused() -> None:
    with pytest.raises(KeyError):
        codes.algorithm_family("magic")


def test_sentences_say_what_is_a_makeshift() -> None:
    assert "not known" in atlas_sentence(provenance(age_flag="age-unknown"))
    by_person = replace(levels(ct_series()).ganglionic, runner_up_index=None)
    assert certainty(by_person) == "chosen by a person"
    assert version_sentences(provenance(libraries={}))[-1] == "Algorithm registration 0.9."
