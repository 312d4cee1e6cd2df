"""The pages for people."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.concurrency import run_in_threadpool

from node.audit_message import Happened
from node.errors import ConfigError
from node.state import SeriesRecord
from node.web import words
from node.web.api import PICTURE, Key, Number, Verb, find, find_generation
from node.web.desk import Desk
from node.web.feed import Feed
from node.web.patient import read_patient
from node.web.report import NOTES, report_of
from node.web.system import peer_views, system_view
from node.web.uploads import CALLING_AE
from node.web.views import GROUPS, Selection, view_of

HERE: Final = FilePath(__file__).parent
PER_PAGE: Final = 50

_LARGEST_FORM: Final = 16 << 10
_DONE: Final = {
    "retry": "The series will be tried again.",
    "resend": "The results will be sent again.",
    "reprocess": "The series will be computed again.",
    "cancel": "The work on the series will be stopped.",
    "levels": "The series will be computed again on the slices that you chose.",
}


class Pages:
    """Renders templates.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=select_autoescape(default=True),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for name in ("state", "clock", "iso", "duration", "size", "hu"):
            self._environment.filters[name] = getattr(words, name)
        self._environment.globals.update(notes=NOTES, version=desk.versions["aspects-node"])

    def show(self, request: Request, name: str, status: int = 200, **values: Any) -> Response:
        """Return a page."""
        settings = self._desk.config.web
        html = self._environment.get_template(f"{name}.html").render(
            page=name,
            user=request.scope.get("user", ""),
            logs_in=settings.users_file is not None,
            node=self._desk.config.ae_title,
            **values,
        )
        return Response(html, status_code=status, media_type="text/html")


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a small urlencoded form."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_FORM:
            raise HTTPException(413, "the form is too large")
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def pages_router(desk: Desk, pages: Pages, feed: Feed) -> APIRouter:
    """Return the routes of the pages."""
    router = APIRouter(include_in_schema=False)
    _add_worklist(router, desk, pages, feed)
    _add_series(router, desk, pages)
    _add_asking(router, desk, pages)
    _add_node(router, desk, pages)
    return router


def _add_worklist(router: APIRouter, desk: Desk, pages: Pages, feed: Feed) -> None:
    @router.get("/")
    def worklist(
        request: Request,
        group: str = "all",
        text: Annotated[str, Query(max_length=64)] = "",
        first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    ) -> Response:
        since = desk.changes.number
        group = group if group in GROUPS else "all"
        found = desk.page(Selection(group=group, text=text, first=first, count=PER_PAGE))
        return pages.show(
            request,
            "worklist",
            since=since,
            found=found,
            group=group,
            text=text,
            per_page=PER_PAGE,
        )

    @router.get("/events")
    async def events(
        request: Request, since: Annotated[int | None, Query(ge=0)] = None
    ) -> Response:
        if feed.is_full:
            raise HTTPException(503, "too many pages are open")
        last = request.headers.get("Last-Event-ID", "")
        known = int(last) if last.isdecimal() else since
        return StreamingResponse(
            feed.stream(request, desk.changes.number if known is None else known),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


def _add_series(router: APIRouter, desk: Desk, pages: Pages) -> None:
    def show(
        request: Request, key: str, number: int | None, status: int = 200, **more: Any
    ) -> Response:
        since = desk.changes.number
        record = find(desk, key)
        latest = record.latest
        generation = latest if number is None else find_generation(desk, key, number)[1]
        report = report_of(desk.result(record, generation)) if generation else None
        patient = None
        if desk.config.web.show_patient_name:
            patient = read_patient(desk.ledger.images(key))
        return pages.show(
            request,
            "series",
            status,
            since=since,
            series=view_of(record, generation.number if generation else None),
            shown=generation.number if generation else 0,
            is_latest=generation is latest,
            report=report,
            has_outlines=generation is not None
            and desk.segmentation(record, generation) is not None,
            patient=patient,
            may_choose=record.latest is not None and desk.refuses_levels(record) is None,
            **more,
        )

    @router.get("/series/{key}")
    def series(
        request: Request,
        key: Key,
        computation: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
        asked: str = "",
    ) -> Response:
        answer = show(request, key, computation, said=_DONE.get(asked, ""))
        # a page that loads itself again was seen before
        if request.headers.get("Sec-Fetch-Dest", "document") == "document":
            _account(request, desk, find(desk, key))
        return answer

    @router.get("/series/{key}/{number}/levels.png")
    def picture(key: Key, number: Number) -> Response:
        record, generation = find_generation(desk, key, number)
        path = desk.ledger.results(record.key, generation.number) / "levels.png"
        if not path.is_file():
            raise HTTPException(404, "there is no picture")
        return FileResponse(path, media_type="image/png", headers=PICTURE)


def _account(request: Request, desk: Desk, record: SeriesRecord) -> None:
    desk.account(
        Happened(
            what="viewed",
            source=request.client.host if request.client else "",
            study_uid=record.study_uid,
            series_uid=record.series_uid,
            by=request.scope.get("user", "") or "web",
        )
    )


def _add_asking(router: APIRouter, desk: Desk, pages: Pages) -> None:
    async def ask(request: Request, key: str, verb: str, argument: str) -> Response:
        record = find(desk, key)
        why = await run_in_threadpool(
            desk.ask, record, verb, argument, request.scope.get("user", "")
        )
        if why is not None:
            return pages.show(
                request, "error", 409, title="Not now", detail=why, back=f"/series/{key}"
            )
        return RedirectResponse(f"/series/{key}?asked={verb}", status_code=303)

    @router.post("/series/{key}/levels")
    async def choose_levels(request: Request, key: Key) -> Response:
        form = await read_form(request)
        slices = (form.get("ganglionic", ""), form.get("supraganglionic", ""))
        # people count slices from 1
        parts = [str(int(text) - 1) if text.isdecimal() else text for text in slices]
        return await ask(request, key, "levels", ",".join(parts))

    @router.post("/series/{key}/{verb}")
    async def do(request: Request, key: Key, verb: Verb) -> Response:
        form = await read_form(request)
        return await ask(request, key, verb, form.get("to", ""))


def _add_node(router: APIRouter, desk: Desk, pages: Pages) -> None:
    @router.get("/peers")
    def peers(request: Request) -> Response:
        return pages.show(request, "peers", peers=peer_views(desk), config=desk.config, answer=None)

    @router.post("/peers/{name}/echo")
    async def echo(request: Request, name: str) -> Response:
        try:
            answered, reason, seconds = await run_in_threadpool(desk.ask_peer, name)
        except ConfigError as error:
            raise HTTPException(404, "there is no such peer") from error
        answer = {"name": name, "answered": answered, "reason": reason, "seconds": seconds}
        return pages.show(
            request, "peers", peers=peer_views(desk), config=desk.config, answer=answer
        )

    @router.get("/system")
    def system(request: Request) -> Response:
        since = desk.changes.number
        return pages.show(request, "system", since=since, system=system_view(desk))

    @router.get("/upload")
    def upload(request: Request) -> Response:
        return pages.show(
            request,
            "upload",
            most_bytes=desk.config.web.max_upload,
            calling_ae=CALLING_AE,
            destination=desk.config.default_peer,
        )
