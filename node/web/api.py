"""The REST API, ``/api/v1``: what the pages can do, for programs."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, Field

from node.errors import ConfigError
from node.state import Generation, SeriesRecord
from node.web.desk import Desk
from node.web.receive import receive_upload
from node.web.system import PeerView, SystemView, peer_views, system_view
from node.web.uploads import Uploads
from node.web.views import Page, Selection, SeriesView, view_of

Key = Annotated[str, Path(pattern="^[0-9a-f]{24}$", description="Key of a series, from the list.")]
Number = Annotated[int, Path(ge=1, le=1_000_000, description="Number of a computation.")]
Verb = Literal["retry", "resend", "reprocess", "cancel"]

NO_STORE: Final = {"Cache-Control": "no-store"}
PICTURE: Final = {"Cache-Control": "private, max-age=600"}


class Problem(BaseModel):
    """Why something was not done."""

    detail: str


class Asked(BaseModel):
    """The node was asked; it does it within a second."""

    series: str
    asked: str


class Levels(BaseModel):
    """Two slices, 0-based from inferior to superior."""

    ganglionic: Annotated[int, Field(ge=0, le=100_000)]
    supraganglionic: Annotated[int, Field(ge=0, le=100_000)]


class Echo(BaseModel):
    """What a peer answered to C-ECHO."""

    peer: str
    answered: bool
    reason: str
    milliseconds: float


class UploadBegun(BaseModel):
    """Number of the upload that was opened."""

    upload: int


class UploadTaken(BaseModel):
    """What came of one file or zip."""

    stored: int
    skipped: int
    series: list[str]


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem} for status in statuses}


_PNG: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
    **_problems(404),
}
_JSON_OBJECT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/json": {"schema": {"type": "object"}}}},
    **_problems(404),
}


def find(desk: Desk, key: str) -> SeriesRecord:
    """Return a series' record, or answer 404."""
    record = desk.record(key)
    if record is None:
        raise HTTPException(404, "there is no such series")
    return record


def find_generation(desk: Desk, key: str, number: int) -> tuple[SeriesRecord, Generation]:
    """Return a series' record and one of its generations, or answer 404."""
    record = find(desk, key)
    try:
        return record, record.generation(number)
    except KeyError as error:
        raise HTTPException(404, "there is no such computation of the series") from error


def api_router(desk: Desk, uploads: Uploads) -> APIRouter:
    """Return the routes of ``/api/v1``."""
    router = APIRouter(prefix="/api/v1")
    _add_reading(router, desk)
    _add_pictures(router, desk)
    _add_asking(router, desk)
    _add_peers(router, desk)
    _add_uploads(router, uploads)
    return router


def _add_reading(router: APIRouter, desk: Desk) -> None:
    @router.get("/series", tags=["series"])
    def list_series(
        group: Literal["all", "working", "done", "attention"] = "all",
        text: Annotated[str, Query(max_length=64)] = "",
        first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
        count: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> Page:
        """List the series, the newest first."""
        return desk.page(Selection(group=group, text=text, first=first, count=count))

    @router.get("/series/{key}", tags=["series"], responses=_problems(404))
    def get_series(key: Key) -> SeriesView:
        """Return all about a series: state, deliveries, history."""
        return view_of(find(desk, key))

    @router.get("/series/{key}/{number}", tags=["series"], responses=_problems(404))
    def get_generation(key: Key, number: Number) -> SeriesView:
        """Return the same, of an earlier computation."""
        find_generation(desk, key, number)
        return view_of(find(desk, key), number)

    @router.get("/series/{key}/{number}/result", tags=["series"], responses=_JSON_OBJECT)
    def get_result(key: Key, number: Number) -> Response:
        """Return ``result.json``: levels, regions, quality, provenance."""
        result = desk.result(*find_generation(desk, key, number))
        if result is None:
            raise HTTPException(404, "this computation has no result")
        return _json(result)

    @router.get("/system", tags=["system"])
    def get_system() -> SystemView:
        """Return queue, disk, versions, atlas and weights."""
        return system_view(desk)


def _json(content: dict[str, Any]) -> Response:
    from fastapi.responses import JSONResponse

    return JSONResponse(content)


def _add_pictures(router: APIRouter, desk: Desk) -> None:
    @router.get(
        "/series/{key}/{number}/slices/{index}",
        tags=["pictures"],
        response_class=Response,
        responses=_PNG,
    )
    async def get_slice(
        key: Key,
        number: Number,
        index: Annotated[int, Path(ge=0, le=100_000)],
        window: Literal["w40", "w30", "w80"] = "w40",
    ) -> Response:
        """Return one slice in the radiologist's view; slices count from inferior, 0-based."""
        drawing = desk.drawing(*find_generation(desk, key, number))
        png = await desk.pictures.draw(drawing, index, window)
        if png is None:
            raise HTTPException(404, "there is no such slice, or it cannot be drawn")
        return Response(png, media_type="image/png", headers=PICTURE)

    @router.get("/series/{key}/{number}/outlines", tags=["pictures"], responses=_JSON_OBJECT)
    async def get_outlines(key: Key, number: Number) -> Response:
        """Return the regions that were sent as SVG paths on the pictures of their slices."""
        record, generation = find_generation(desk, key, number)
        segmentation = desk.segmentation(record, generation)
        traced = await desk.pictures.trace(desk.drawing(record, generation), segmentation)
        if not traced:
            raise HTTPException(404, "the series cannot be drawn")
        return _json(traced)


def _add_asking(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/series/{key}/levels",
        tags=["asking"],
        status_code=202,
        responses=_problems(400, 404, 409),
    )
    def choose_levels(request: Request, key: Key, levels: Levels) -> Asked:
        """Compute a series again on two slices that a person chose; the result supersedes."""
        record = find(desk, key)
        argument = f"{levels.ganglionic},{levels.supraganglionic}"
        why = desk.ask(record, "levels", argument, request.scope.get("user", ""))
        if why is not None:
            raise HTTPException(409, why)
        return Asked(series=key, asked="levels")

    @router.post(
        "/series/{key}/{verb}", tags=["asking"], status_code=202, responses=_problems(404, 409)
    )
    def ask(
        request: Request,
        key: Key,
        verb: Verb,
        to: Annotated[str, Query(max_length=64, description="One destination of resend.")] = "",
    ) -> Asked:
        """Try again, send again, compute again, or stop."""
        record = find(desk, key)
        why = desk.ask(record, verb, to, request.scope.get("user", ""))
        if why is not None:
            raise HTTPException(409, why)
        return Asked(series=key, asked=verb)


def _add_peers(router: APIRouter, desk: Desk) -> None:
    @router.get("/peers", tags=["system"])
    def list_peers() -> list[PeerView]:
        """List the peers of the configuration."""
        return peer_views(desk)

    @router.post("/peers/{name}/echo", tags=["system"], responses=_problems(404))
    def echo(name: Annotated[str, Path(pattern="^[A-Za-z0-9_.-]{1,64}$")]) -> Echo:
        """Ask a peer whether it is there (C-ECHO)."""
        try:
            answered, reason, seconds = desk.ask_peer(name)
        except ConfigError as error:
            raise HTTPException(404, "there is no such peer") from error
        return Echo(
            peer=name, answered=answered, reason=reason, milliseconds=round(1000 * seconds, 1)
        )


_FILE: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
Upload = Annotated[int, Path(ge=1, le=1_000_000_000)]


def _add_uploads(router: APIRouter, uploads: Uploads) -> None:
    @router.post("/uploads", tags=["uploads"], status_code=201)
    def begin_upload() -> UploadBegun:
        """Open an upload; the series that it brings are waited for until it is closed."""
        return UploadBegun(upload=uploads.begin())

    @router.post(
        "/uploads/{upload}",
        tags=["uploads"],
        openapi_extra=_FILE,
        responses=_problems(400, 404, 413, 415, 507),
    )
    async def upload_file(request: Request, upload: Upload) -> UploadTaken:
        """Hand over one DICOM file or a zip of them, as the body of the request."""
        taken = await receive_upload(uploads, upload, request)
        return UploadTaken(stored=taken.stored, skipped=taken.skipped, series=sorted(taken.series))

    @router.delete("/uploads/{upload}", tags=["uploads"], status_code=204, responses=_problems(404))
    def end_upload(upload: Upload) -> None:
        """Close an upload: its series are computed at once."""
        uploads.end(upload)
