"""One result for a study: which of its series is computed, and why not the others.

A series without a doubt is computed as soon as it is complete: nobody waits for
what else may come. One with doubts waits a little, as long as other series of
its study are on their way. What is not chosen is kept and says why; it is
computed after all where the chosen one turns out to be no head CT.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from node.config import NodeConfig
from node.evidence import place_of
from node.heads import read_head
from node.objects import is_note
from node.presentation import CT_CLASSES
from node.series_rules import GOOD, TEXTS, SeriesFacts, Suitability, Use, as_text, judge
from node.state import Generation, Ledger, SeriesRecord, State, now_s

LOG = logging.getLogger(__name__)

OTHER_SERIES: Final = "other-series"
"""Code of a series of whose study another one was chosen."""
BY_RULE: Final = "rule"
"""Code of a series that a rule excludes."""

_CHOSEN: Final = frozenset({State.COMPUTING, State.DELIVERING, State.DONE})
_PENDING: Final = frozenset({State.RECEIVING, State.QUEUED, State.CANCELLED})

Submit = Callable[[str, int], None]


class Chooser:
    """Stands between complete series and the work on them.

    Parameters
    ----------
    config : NodeConfig
    ledger : Ledger
    submit : callable
        Starts the work on a generation; a second time it does nothing.
    """

    def __init__(self, config: NodeConfig, ledger: Ledger, submit: Submit) -> None:
        self._config = config
        self._ledger = ledger
        self._submit = submit
        self._lock = threading.RLock()
        self._held: dict[tuple[str, int], float] = {}
        records = [ledger.get(key) for key in ledger.keys_of_all()]
        self._to_replace = {item.study_uid for item in records if item and _is_passed_over(item)}
        ledger.subscribe(self._hear)

    def offer(self, key: str, number: int) -> None:
        """Take a complete series: it is computed, held, or not chosen."""
        with self._lock:
            record = self._ledger.get(key)
            if record is None or record.generation(number).state is not State.QUEUED:
                self._submit(key, number)
                return
            record, found = self._judged(record, number)
            if found.use is Use.NEVER:
                self._pass_over(record, number, BY_RULE, f"rule {found.rule} excludes it")
            elif self._needs_no_choice(record, number):
                self._submit(key, number)
            else:
                self._choose(record, number, found)

    def look(self) -> None:
        """Decide about series whose wait is over; called now and then."""
        with self._lock:
            for (key, number), until in list(self._held.items()):
                record = self._ledger.get(key)
                if record is None or record.generation(number).state is not State.QUEUED:
                    del self._held[key, number]
                elif until <= now_s() or not self._is_expecting(record):
                    self._decide(record)
            self._replace_rejected()

    def _judged(self, record: SeriesRecord, number: int) -> tuple[SeriesRecord, Suitability]:
        """Judge a series once, and keep what was found."""
        generation = record.generation(number)
        images = self._ledger.images(record.key)
        found = judge(facts_of(record, generation, images), self._config.series_rules)
        with self._ledger.change(record.key) as changed:
            generation = changed.generation(number)
            generation.suitability, generation.score = found.describe(), found.score
            generation.preferred, generation.urgent = found.use is Use.PREFER, found.urgent
        return changed, found

    def _needs_no_choice(self, record: SeriesRecord, number: int) -> bool:
        earlier = [item for item in record.generations if item.number < number]
        was_chosen = any(item.state is not State.IGNORED for item in earlier)
        is_ct = bool(set(record.sop_classes) & set(CT_CLASSES))
        return (
            self._config.results_per_study == "all"
            or not record.study_uid
            or not is_ct
            or was_chosen
        )

    def _choose(self, record: SeriesRecord, number: int, found: Suitability) -> None:
        siblings = self._siblings(record)
        rivals = [item for item in siblings if self._is_chosen(item)]
        best = max(rivals, key=_rank, default=None)
        if best is not None and found.rank <= _rank(best):
            self._lose(record, number, best)
            return
        for rival in rivals:
            self._replace(record, number, rival)
        waits = any(item.state is State.RECEIVING for item in siblings)
        is_good = found.use is Use.PREFER or found.score >= GOOD
        if is_good or not waits:
            self._held[record.key, number] = 0.0
            self._decide(record)
        else:
            self._held[record.key, number] = now_s() + self._config.study_wait_s

    def _replace(self, record: SeriesRecord, number: int, rival: SeriesRecord) -> None:
        """Let a better series take the place of the one that was chosen."""
        if rival.latest is not None and rival.latest.state is State.QUEUED:
            winner = self._ledger.get(record.key)
            if winner is not None and self._lose(rival, rival.latest.number, winner):
                return
        # it is computed, and its report may be out: the new one names it as predecessor
        with self._ledger.change(record.key) as changed:
            changed.generation(number).replaces = rival.key

    def _is_chosen(self, record: SeriesRecord) -> bool:
        """Tell whether it is, or is about to be, the study's series."""
        latest = record.latest
        if latest is None or record.state is State.RECEIVING:
            return False
        is_held = (record.key, latest.number) in self._held
        return latest.state in _CHOSEN or (latest.state is State.QUEUED and not is_held)

    def _decide(self, record: SeriesRecord) -> None:
        """Compute the best of a study's series that wait; pass over the others."""
        waiting = [
            (found, number)
            for key, number in list(self._held)
            if (found := self._ledger.get(key)) is not None
            and found.study_uid == record.study_uid
            and found.generation(number).state is State.QUEUED
        ]
        best, number = max(
            waiting, key=lambda item: (_rank_of(item[0].generation(item[1])), item[0].key)
        )
        for found, other in waiting:
            del self._held[found.key, other]
            if found.key != best.key:
                self._lose(found, other, best)
        extra = {"series": best.series_uid, "generation": number}
        LOG.info("chosen", extra={**extra, "reason": best.generation(number).suitability})
        self._submit(best.key, number)

    def _lose(self, record: SeriesRecord, number: int, chosen: SeriesRecord) -> bool:
        mine, other = record.generation(number), chosen.latest
        theirs = other.suitability if other else ""
        return self._pass_over(
            record,
            number,
            OTHER_SERIES,
            f"series {chosen.series_uid} of the study was chosen: {theirs}; "
            f"this one: {mine.suitability}",
        )

    def _pass_over(self, record: SeriesRecord, number: int, code: str, reason: str) -> bool:
        """Do not compute a series; return False where that began already."""
        with self._ledger.change(record.key) as changed:
            generation = changed.generation(number)
            if generation.state is not State.QUEUED:
                return False
            generation.state, generation.code, generation.reason = State.IGNORED, code, reason
        LOG.info(
            "not_chosen",
            extra={"series": record.series_uid, "generation": number, "code": code,
                   "reason": reason},
        )  # fmt: skip
        return True

    def _siblings(self, record: SeriesRecord) -> list[SeriesRecord]:
        return [
            found
            for key in self._ledger.keys_of_study(record.study_uid)
            if key != record.key and (found := self._ledger.get(key)) is not None
        ]

    def _is_expecting(self, record: SeriesRecord) -> bool:
        """Tell whether another series of the study is on its way."""
        return any(item.state is State.RECEIVING for item in self._siblings(record))

    def _hear(self, before: SeriesRecord | None, after: SeriesRecord) -> None:
        """Note a study whose chosen series came to nothing; called by the ledger."""
        was = None if before is None else before.state
        if after.state is not was and _came_to_nothing(after):
            self._to_replace.add(after.study_uid)

    def _replace_rejected(self) -> None:
        """Compute the next best series of a study whose chosen one was none."""
        while self._to_replace:
            study = self._to_replace.pop()
            records = [self._ledger.get(key) for key in self._ledger.keys_of_study(study)]
            known = [item for item in records if item is not None]
            passed = [item for item in known if _is_passed_over(item)]
            best = max(passed, key=_rank, default=None)
            is_open = any(self._is_chosen(item) or item.state in _PENDING for item in known)
            if best is None or is_open or not any(_came_to_nothing(item) for item in known):
                continue
            self._take_up(best)

    def _take_up(self, record: SeriesRecord) -> None:
        number = record.generations[-1].number
        with self._ledger.change(record.key) as changed:
            generation = changed.generation(number)
            generation.state, generation.code, generation.reason = State.QUEUED, "", ""
        LOG.info(
            "chosen",
            extra={"series": record.series_uid, "generation": number,
                   "reason": "the series that was chosen first came to nothing"},
        )  # fmt: skip
        self._submit(record.key, number)


def facts_of(record: SeriesRecord, generation: Generation, images: Path) -> SeriesFacts:
    """Read what there is to know of a series from one of its headers."""
    names = generation.images
    head = None
    try:
        keywords = [*TEXTS.values(), "ImagePositionPatient", "ImageOrientationPatient"]
        path = images / names[len(names) // 2]
        head = read_head(path, keywords)
        texts = {name: as_text(head.get(keyword)) for name, keyword in TEXTS.items()}
        place = place_of(head.get("ImagePositionPatient"), head.get("ImageOrientationPatient"))
    # the computation says what is wrong with such a file
    except Exception:  # noqa: BLE001
        texts, place = dict.fromkeys(TEXTS, ""), None
    thickness = texts.pop("thickness")
    return SeriesFacts(
        calling_ae=record.calling_ae.strip(),
        images=len(names),
        thickness_mm=_number(thickness),
        normal_z=None if place is None else place.normal[2],
        missing=generation.missing,
        **texts,
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _came_to_nothing(record: SeriesRecord) -> bool:
    """Tell whether a series was rejected, or its computation failed."""
    latest = record.latest
    if latest is None or record.state is State.RECEIVING:
        return False
    is_failed = latest.state is State.FAILED and (not latest.objects or is_note(latest.objects))
    return latest.state is State.REJECTED or is_failed


def _is_passed_over(record: SeriesRecord) -> bool:
    latest = record.latest
    return latest is not None and latest.state is State.IGNORED and latest.code == OTHER_SERIES


def _rank(record: SeriesRecord) -> tuple[bool, float]:
    return (False, 0.0) if record.latest is None else _rank_of(record.latest)


def _rank_of(generation: Generation) -> tuple[bool, float]:
    return generation.preferred, generation.score
