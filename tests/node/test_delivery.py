from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from node.config import Delivery, make_config
from node.delivery import delay_s, destinations
from tests.peers import peer

PEERS = [peer("pacs", "PACS", 1), peer("ct", "CT1", 2, destination=False), peer("ws", "WS", 3)]


def route(calling_ae: str, **more: object) -> tuple[str, ...]:
    return destinations(make_config({"peers": PEERS, **more}, Path("x")), calling_ae)


def test_results_go_back_to_the_sender() -> None:
    assert route("PACS", default_peer="ws") == ("pacs",)


def test_padded_title_is_the_same_title() -> None:
    assert route("PACS    ", default_peer="ws") == ("pacs",)


def test_unknown_sender_means_default_peer() -> None:
    assert route("NOBODY", default_peer="ws") == ("ws",)


def test_sender_that_takes_no_results_means_default_peer() -> None:
    assert route("CT1", default_peer="pacs") == ("pacs",)


def test_more_destinations_come_once_each() -> None:
    assert route("PACS", also_send_to=["ws", "pacs"]) == ("pacs", "ws")


def test_no_destination() -> None:
    assert route("NOBODY") == ()


@given(st.integers(1, 10_000), st.integers())
def test_delay_stays_within_its_bounds(attempts: int, seed: int) -> None:
    settings = Delivery(first_delay_s=2, factor=3, longest_delay_s=100, jitter=0.1)
    plain = min(2 * 3 ** min(attempts - 1, 10), 100)
    assert 0.9 * plain <= delay_s(settings, attempts, random.Random(seed)) <= 1.1 * plain
