"""The body of an upload, piece by piece to disk."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from node.web.uploads import Taken, UploadError, Uploads


async def receive_upload(uploads: Uploads, number: int, request: Request) -> Taken:
    """Receive one file or zip and take it in.

    Raises
    ------
    UploadError
        It is refused.
    """
    path = uploads.new_file()
    try:
        await _receive(path, request, uploads.room(number))
        return await run_in_threadpool(uploads.take, number, path)
    except ClientDisconnect as error:
        raise UploadError("the browser went away", 400) from error
    finally:
        path.unlink(missing_ok=True)


async def _receive(path: Path, request: Request, room: int) -> None:
    with path.open("xb") as file:
        path.chmod(0o600)
        async for piece in request.stream():
            room -= len(piece)
            if room < 0:
                raise UploadError("the upload is larger than web.max_upload", 413)
            if piece:
                await run_in_threadpool(file.write, piece)
        _require_content(file)


def _require_content(file: IO[bytes]) -> None:
    if file.tell() == 0:
        raise UploadError("the body is empty: send the file as the body of the request", 400)
