"""The web application: pages, REST API, metrics and health together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from node.errors import StorageError
from node.web.accounts import Accounts
from node.web.api import api_router
from node.web.desk import Desk
from node.web.feed import Feed
from node.web.log_in import log_in_router
from node.web.pages import HERE, Pages, pages_router
from node.web.security import Guard
from node.web.uploads import UploadError, Uploads

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def create_app(
    desk: Desk,
    uploads: Uploads,
    feed: Feed,
    metrics: Callable[[], bytes],
    more: Iterable[APIRouter] = (),
) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    desk : Desk
    uploads : Uploads
    feed : Feed
    metrics : callable
        Returns the text of ``/metrics``.
    more : iterable of APIRouter
        Routes of other parts of the node; guarded like all others.
    """
    settings = desk.config.web
    accounts = None
    if settings.users_file is not None:
        accounts = Accounts(settings.users_file, settings.session_hours * 3600)
    app = FastAPI(
        title="aspects-node",
        version=desk.versions["aspects-node"],
        description="Maps the ASPECTS regions on head CT. Supports reading; never decides.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    pages = Pages(desk)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.include_router(api_router(desk, uploads))
    app.include_router(_monitoring(desk, metrics))
    for router in more:
        app.include_router(router)
    app.include_router(log_in_router(desk, pages, accounts))
    app.include_router(pages_router(desk, pages, feed))
    _add_errors(app, pages)
    app.add_middleware(Guard, settings=settings, accounts=accounts)
    return app


def _monitoring(desk: Desk, metrics: Callable[[], bytes]) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/metrics")
    def get_metrics() -> Response:
        return Response(metrics(), headers={"Content-Type": METRICS_TYPE})

    @router.get("/healthz")
    def healthz() -> Response:
        return PlainTextResponse("alive\n")

    @router.get("/readyz")
    def readyz() -> Response:
        found = desk.readiness()
        codes = {"problems": [item.code for item in found.problems],
                 "warnings": [item.code for item in found.warnings]}  # fmt: skip
        status = HTTPStatus.OK if found.is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": found.is_ready, **codes}, status_code=status)

    return router


def _add_errors(app: FastAPI, pages: Pages) -> None:
    """Answer errors as a page to people, as JSON to programs."""

    def answer(request: Request, status: int, detail: str, headers: Any = None) -> Response:
        is_api = request.url.path.startswith("/api/")
        if is_api or "text/html" not in request.headers.get("Accept", ""):
            return JSONResponse({"detail": detail}, status_code=status, headers=headers)
        title = HTTPStatus(status).phrase
        detail = "There is no such page." if detail == title else detail
        return pages.show(request, "error", status, title=title, detail=detail, back="/")

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
        return answer(request, error.status_code, str(error.detail), error.headers)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
        if request.url.path.startswith("/api/"):
            places = [{"loc": item["loc"], "msg": item["msg"], "type": item["type"]}
                      for item in error.errors()]  # fmt: skip
            return JSONResponse({"detail": places}, status_code=422)
        return answer(request, 404, "there is no such page")

    async def on_upload(request: Request, error: Exception) -> Response:
        status = error.status if isinstance(error, UploadError) else 507
        return answer(request, status, str(error))

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(UploadError, on_upload)
    app.add_exception_handler(StorageError, on_upload)
