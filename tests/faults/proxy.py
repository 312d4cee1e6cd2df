"""A TCP proxy that misbehaves as it is told, between the node and a peer."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from enum import StrEnum


class Mode(StrEnum):
    """What happens to a connection."""

    PASS = "pass"
    """All is forwarded."""
    HANG = "hang"
    """It is accepted, and nothing is read or answered."""
    RESET = "reset"
    """It is reset after some hundred bytes."""
    HALF = "half"
    """Some hundred bytes are forwarded, then it is closed."""
    MUTE = "mute"
    """All is forwarded to the peer, its answers after the first are not."""
    SLOW = "slow"
    """It is forwarded in small pieces with pauses."""


SOME = 600
PIECE = 100
PAUSE_S = 0.02


class Proxy:
    """Forwards connections to a port; runs in a thread of its own.

    Parameters
    ----------
    target : int
        Port on this machine.
    """

    def __init__(self, target: int) -> None:
        self.mode = Mode.PASS
        self.connections = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._stopping = asyncio.Event()
        self._thread.start()

    def stop(self) -> None:
        """Close everything."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._on_connection, sock=self._socket)
        await self._stopping.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        mode = self.mode
        try:
            if mode is Mode.HANG:
                await self._stopping.wait()
            else:
                await self._forward(reader, writer, mode)
        finally:
            if mode is Mode.RESET:
                _make_abrupt(writer)
            writer.close()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mode: Mode
    ) -> None:
        theirs, sink = await asyncio.open_connection("127.0.0.1", self._target)
        limit = SOME if mode in {Mode.RESET, Mode.HALF} else None
        answers = 1 if mode is Mode.MUTE else None
        tasks = [
            asyncio.create_task(_pump(reader, sink, mode, limit)),
            asyncio.create_task(_pump(theirs, writer, mode, None, answers)),
        ]
        try:
            wanted = asyncio.FIRST_COMPLETED if limit else asyncio.ALL_COMPLETED
            await asyncio.wait(tasks, return_when=wanted)
        finally:
            for task in tasks:
                task.cancel()
            sink.close()


async def _pump(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    mode: Mode,
    limit: int | None,
    reads: int | None = None,
) -> None:
    done = times = 0
    with suppress(ConnectionError):
        while data := await source.read(PIECE if mode is Mode.SLOW or limit else 65536):
            done, times = done + len(data), times + 1
            if limit is not None and done > limit:
                return
            if reads is None or times <= reads:
                sink.write(data)
                await sink.drain()
            if mode is Mode.SLOW:
                await asyncio.sleep(PAUSE_S)
        if sink.can_write_eof():
            sink.write_eof()


def _make_abrupt(writer: asyncio.StreamWriter) -> None:
    """Let closing send RST."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
