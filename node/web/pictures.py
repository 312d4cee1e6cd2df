"""The drawing process, seen from the node."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

LOG = logging.getLogger(__name__)

T = TypeVar("T")

WINDOWS: Final[dict[str, tuple[float, float]]] = {
    "w40": (40.0, 40.0),
    "w30": (35.0, 30.0),
    "w80": (40.0, 80.0),
}
"""Centre and width in HU of the windows that pages offer."""

_LIMIT_S: Final = 60.0


class Drawing(NamedTuple):
    """What `node.web.slices.Scan` is made from, without importing it here."""

    folder: Path
    names: tuple[str, ...]
    levels: tuple[int, ...]


class Pictures:
    """One process that draws; begun when it is first needed, replaced after a crash."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._is_stopped = False

    async def draw(self, drawing: Drawing, index: int, window: str) -> bytes | None:
        """Return a slice as PNG; None where there is none, or it cannot be drawn."""
        return await self._run(_draw, drawing, index, WINDOWS[window])

    async def trace(self, drawing: Drawing, segmentation: Path | None) -> dict[str, Any]:
        """Return the outlines; see `node.web.slices.trace`. Empty where there are none."""
        return await self._run(_trace, drawing, segmentation) or {}

    def stop(self) -> None:
        """End the process at once."""
        with self._lock:
            self._is_stopped = True
            self._drop()

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T | None:
        try:
            future = self._submit(function, *arguments)
            return await asyncio.wait_for(asyncio.wrap_future(future), _LIMIT_S)
        except (BrokenProcessPool, TimeoutError, RuntimeError) as error:
            LOG.warning("not_drawn", extra={"code": type(error).__name__})
            with self._lock:
                self._drop()
        except Exception:  # an image can be broken in any way
            LOG.exception("not_drawn")
        return None

    def _submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        with self._lock:
            if self._is_stopped:
                raise RuntimeError("the node is stopping")
            if self._executor is None:
                self._executor = ProcessPoolExecutor(
                    1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
                )
            return self._executor.submit(function, *arguments)

    def _drop(self) -> None:
        executor, self._executor = self._executor, None
        if executor is None:
            return
        processes = list((getattr(executor, "_processes", None) or {}).values())
        executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:  # one that hangs does not end by itself
            process.kill()


def _begin() -> None:
    from node.web import slices

    slices.begin()


def _draw(drawing: Drawing, index: int, window: tuple[float, float]) -> bytes | None:
    from node.web import slices

    return slices.draw(slices.Scan(*drawing), index, window)


def _trace(drawing: Drawing, segmentation: Path | None) -> dict[str, Any]:
    from node.web import slices

    return slices.trace(slices.Scan(*drawing), segmentation)
