"""Generated associations: what is right is kept byte by byte, what is wrong harms nothing."""

from __future__ import annotations

import os
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pynetdicom import _config

from node.config import NodeConfig
from node.inbox import Inbox
from node.incoming import PREAMBLE, is_whole
from node.scp import Receiver, start_scp
from node.state import Ledger
from tests.faults.pdus import (
    ABORT,
    RELEASE,
    associate_request,
    data_pdu,
    echo,
    fragments_of,
    read_pdu,
    status_of,
    store_command,
)
from tests.peers import wait_for

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
TIMEOUT_S = 2.0
INSTANCE = "1.2.3.4.5"
ACCEPT = 2
DATA = 4
GROWTH_MIB = 300

fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(slots=True)
class Listener:
    """Keeps what was told."""

    paths: list[Path] = field(default_factory=list)

    def stored(self, path: Path, association: int) -> None:
        del association
        self.paths.append(path)

    def closed(self, association: int) -> None:
        del association


@dataclass(slots=True)
class Port:
    """A receiver in this process."""

    number: int
    listener: Listener
    inbox: Inbox
    peak_kib: int

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.number), timeout=20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    folder = tmp_path_factory.mktemp("fuzz")
    config = NodeConfig(
        port=1,
        data_folder=folder,
        min_free_disk=0,
        accept_unknown_callers=True,
        network_timeout_s=TIMEOUT_S,
        max_object=1 << 20,
    ).model_copy(update={"port": 0})
    inbox, listener = Inbox(folder, Ledger(folder / "series"), 0), Listener()
    receiver = Receiver(
        config, inbox, listener, lambda _: (0, None), lambda _: (0, None), lambda *_: None
    )
    with pytest.MonkeyPatch.context() as patch:
        # the node sets them for its whole process; other tests have peers of their own in this one
        for name in ("UNRESTRICTED_STORAGE_SERVICE", "LOG_HANDLER_LEVEL"):
            patch.setattr(_config, name, getattr(_config, name))
        server = start_scp(receiver)
        try:
            yield Port(server.server_address[1], listener, inbox, peak_kib())
        finally:
            server.shutdown()
            server.ae.shutdown()


@fuzzed
@given(
    content=st.binary(min_size=1, max_size=5000),
    sizes=st.tuples(st.integers(1, 300), st.integers(1, 3000)),
    joined=st.integers(1, 4),
)
def test_any_fragmentation_is_kept_byte_by_byte(
    port: Port, content: bytes, sizes: tuple[int, int], joined: int
) -> None:
    values = fragments_of(store_command(INSTANCE), sizes[0], is_command=True)
    values += fragments_of(content, max(sizes[1], len(content) // 100 + 1), is_command=False)
    with port.connect() as connection:
        connection.sendall(associate_request())
        assert read_pdu(connection)[0] == ACCEPT
        for at in range(0, len(values), joined):
            connection.sendall(data_pdu(*values[at : at + joined]))
        kind, body = read_pdu(connection)
        assert (kind, status_of(body)) == (DATA, 0)
        wait_for(lambda: port.listener.paths, what="told")
        (kept,) = port.listener.paths
        port.listener.paths.clear()
        connection.sendall(RELEASE)
        read_pdu(connection)
    assert is_whole(kept)
    assert kept.read_bytes().endswith(content)


SMALL = st.binary(max_size=200)
HEADERS = st.builds(
    lambda kind, length: struct.pack(">BBL", kind, 0, length),
    st.integers(0, 9),
    st.sampled_from([0, 1, 6, 68, 4096, 1 << 20, (1 << 20) + 1, 1 << 31, (1 << 32) - 1]),
)
VALUES = st.builds(
    lambda length, context, control, data: struct.pack(">LBB", length, context, control) + data,
    st.sampled_from([0, 1, 2, 3, 50, 1 << 16, (1 << 32) - 1]),
    st.integers(0, 255),
    st.integers(0, 3),
    SMALL,
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw a few changed bytes into what is right."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content) - 1))
        content[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
        content = content or bytearray(b"\0")
    return bytes(content)


COMMAND = store_command(INSTANCE)
STORE = b"".join(
    [
        data_pdu(*fragments_of(COMMAND, len(COMMAND), is_command=True)),
        data_pdu(*fragments_of(b"some data", 100, is_command=False)),
    ]
)
BEGUN = data_pdu(*fragments_of(COMMAND, len(COMMAND), is_command=True))
PIECES = st.one_of(
    SMALL,
    HEADERS,
    st.builds(data_pdu, VALUES),
    st.builds(data_pdu, VALUES, VALUES),
    damaged(STORE),
    damaged(associate_request()),
    st.builds(lambda data: data_pdu(*fragments_of(data, 1000, is_command=True)), damaged(COMMAND)),
    st.sampled_from([STORE, BEGUN, ABORT, RELEASE, associate_request()]),
)


@fuzzed
@given(greets=st.booleans(), pieces=st.lists(PIECES, max_size=5), resets=st.booleans())
def test_nonsense_harms_nobody(port: Port, greets: bool, pieces: list[bytes], resets: bool) -> None:
    with port.connect() as connection:
        if resets:  # RST instead of FIN
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            if greets:
                connection.sendall(associate_request())
                read_pdu(connection)
            for piece in pieces:
                connection.sendall(piece)
            if not resets:
                connection.shutdown(socket.SHUT_WR)
                while read_pdu(connection)[0]:
                    pass
    assert echo(port.number)


def test_nothing_is_left_of_it(port: Port) -> None:
    assert peak_kib() - port.peak_kib < GROWTH_MIB * 1024
    wait_for(lambda: threads_of_associations() == 0, 20.0, "threads ended")
    wait_for(lambda: unfinished(port.inbox) == [], what="half files gone")


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def threads_of_associations() -> int:
    return sum(
        "Acceptor" in item.name and "Server" not in item.name for item in threading.enumerate()
    )


def unfinished(inbox: Inbox) -> list[Path]:
    whole = set(inbox.waiting())
    return [path for path in inbox.incoming.iterdir() if path not in whole and path.stat().st_size]


def test_object_over_the_limit_is_refused_and_the_association_goes_on(port: Port) -> None:
    too_large = bytes((1 << 20) + 1)
    for content, expected in ((too_large, 0xA700), (b"small", 0), (too_large, 0xA700)):
        with port.connect() as connection:
            connection.sendall(associate_request())
            read_pdu(connection)
            for data, is_command in ((COMMAND, True), (content, False)):
                for value in fragments_of(data, 16000, is_command=is_command):
                    connection.sendall(data_pdu(value))
            assert status_of(read_pdu(connection)[1]) == expected


@fuzzed
@given(content=st.one_of(SMALL, damaged(b"DICM" + bytes(200))))
def test_any_bytes_are_sorted(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("sort")
    inbox = Inbox(folder, Ledger(folder / "series"), 0)
    (arrival,) = inbox.sort([inbox.store(bytes(PREAMBLE), content)])
    assert arrival is not None
